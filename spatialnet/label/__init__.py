"""Label events: what people say about chips, appended and never changed, and what follows from it."""

from spatialnet.label.events import KINDS, EventsRefused, LabelEvent, StoredEvent
from spatialnet.label.store import Answer, AppendResult, Conflict, LabelCounts, LabelsBusy, LabelStore
from spatialnet.label.validation import check_events, read_events

__all__ = [
    "KINDS",
    "Answer",
    "AppendResult",
    "Conflict",
    "EventsRefused",
    "LabelCounts",
    "LabelEvent",
    "LabelStore",
    "LabelsBusy",
    "StoredEvent",
    "check_events",
    "read_events",
]
