"""A label writer of its own process: stores batches of three and prints what was acknowledged, batch by batch."""

import json
import sys
import uuid

from spatialnet.database import open_database
from spatialnet.label import LabelEvent, LabelStore


def main(url: str, person: str, events: int) -> None:
    store = LabelStore(open_database(url))
    for first in range(0, events, 3):
        batch = [
            LabelEvent(str(uuid.uuid4()), person, "label", "hills", number % 10, "land_use", number % 3)
            for number in range(first, min(first + 3, events))
        ]
        store.append(batch)
        store.append(batch)  # a client that retries
        print(json.dumps([event.uuid for event in batch]), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
