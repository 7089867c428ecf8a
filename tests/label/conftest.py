import uuid
from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa

from spatialnet.database import open_database
from spatialnet.datasets.packed import PackedChips
from spatialnet.label import LabelEvent, LabelStore
from spatialnet.tasks import Task

TASKS = (
    Task("land_use", "multiclass", ("forest", "water", "built")),
    Task("presence", "multilabel", ("road", "house")),
    Task("rural_urban", "binary", ("rural", "urban")),
    Task("ships", "count", ("ship", "boat")),
)


@pytest.fixture
def engine(tmp_path: Path):
    engine = open_database(f"sqlite:///{tmp_path / 'labels.sqlite'}")
    yield engine
    engine.dispose()


@pytest.fixture
def store(engine: sa.Engine) -> LabelStore:
    return LabelStore(engine)


@pytest.fixture
def data(tmp_path: Path) -> PackedChips:
    return PackedChips(tmp_path, {"name": "hills", "chips": 10, "tasks": [task.to_dict() for task in TASKS]})


@pytest.fixture
def say() -> Callable[..., LabelEvent]:
    """Makes an event with sensible defaults."""

    def make(chip: int = 0, value=None, *, kind: str | None = None, **fields) -> LabelEvent:
        kind = kind or ("undo" if "undoes" in fields else "label")
        defaults = {"uuid": str(uuid.uuid4()), "person": "Ann", "dataset": "hills", "task": "land_use"}
        return LabelEvent(**defaults | {"kind": kind, "chip": chip, "value": value} | fields)

    return make
