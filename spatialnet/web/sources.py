"""Finds data sets, runs and their rasters by id. The only place where a name of a request becomes a path."""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

from spatialnet.datasets.packed import PackedChips
from spatialnet.errors import DataSetNotFound, RunNotFound
from spatialnet.jobs.area_prediction import AreaPrediction, kept_prediction
from spatialnet.jobs.why_map import kept_why_map, why_map_raster
from spatialnet.joint import part_of
from spatialnet.sensors import Sensor
from spatialnet.settings import Settings, inside
from spatialnet.tasks import Task
from spatialnet.web.answers import NotHere

CACHE_BYTES = 64 << 20


class Sources:
    """What the workspace holds, and a cache of the pictures made from it. Safe for many threads."""

    def __init__(self, settings: Settings, cache_bytes: int = CACHE_BYTES) -> None:
        self.settings = settings
        self._datasets: dict[str, tuple[int, PackedChips]] = {}
        self._pictures: OrderedDict[tuple[object, ...], bytes] = OrderedDict()
        self._room = cache_bytes
        self._lock = threading.Lock()

    def dataset(self, name: str) -> PackedChips:
        """The data set of this name, as it is on disk now.

        Raises:
            PathRefused: the name is not a valid identifier.
            DataSetNotFound: there is none.
        """
        folder = inside(self.settings.datasets, name)
        manifest = folder / "dataset.json"
        stamp = manifest.stat().st_mtime_ns if manifest.exists() else 0
        known = self._datasets.get(name)
        if known is None or known[0] != stamp:
            known = self._datasets[name] = (stamp, PackedChips.open(folder))
        return known[1]

    def run(self, name: str, dataset: str = "") -> tuple[Path, PackedChips]:
        """The folder of a run that holds what belongs to a data set, and the data set.

        Args:
            name: identifier of the run.
            dataset: one of the data sets that it was trained on; default its first.

        Raises:
            PathRefused: the name is not a valid identifier.
            RunNotFound: there is none.
            DataSetNotFound: the data set is gone, or the run was not trained on it.
            DataSetInvalid: the run's joint tasks cannot be read.
        """
        folder = inside(self.settings.runs, name)
        try:
            facts = json.loads((folder / "run.json").read_text(encoding="utf-8"))
            known = [str(name) for name in facts.get("datasets") or [facts["dataset"]]]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise RunNotFound(f"No run called {name} is in the workspace. Choose one of the listed.") from error
        if dataset and dataset not in known:
            raise DataSetNotFound(f"Run {name} was not trained on {dataset[:64]!r}. Choose {' or '.join(known)[:200]}.")
        chosen = dataset or known[0]
        return part_of(folder, chosen), self.dataset(chosen)

    def why_map(self, key: str) -> tuple[Path, dict[str, Any]]:
        """The raster of a Why-map and what is known of it.

        Raises:
            NotHere: there is none of this key.
        """
        facts = kept_why_map(self.settings, key)
        if facts is None:
            raise NotHere("This Why-map is not in the cache any more. Ask for it again beside a chip on the map.")
        return why_map_raster(self.settings, key), facts

    def prediction(self, key: str) -> AreaPrediction:
        """A prediction over a place or an area, finished or under way.

        Raises:
            NotHere: there is none of this key.
        """
        found = kept_prediction(self.settings, key)
        if found is None:
            raise NotHere("This prediction is not in the workspace any more. Predict the area again on the map.")
        return found

    def rendered(self, key: tuple[object, ...], render: Callable[[], bytes]) -> bytes:
        """A picture from the cache, else from `render`; the least used pictures go when room runs out."""
        with self._lock:
            if key in self._pictures:
                self._pictures.move_to_end(key)
                return self._pictures[key]
        picture = render()
        with self._lock:
            if key not in self._pictures:
                self._pictures[key] = picture
                self._room -= len(picture)
            while self._room < 0:
                self._room += len(self._pictures.popitem(last=False)[1])
        return picture


def task_of(data: PackedChips, name: str) -> Task:
    """A task by its name in an address (hyphens for underscores).

    Raises:
        NotHere: the data set has no such task.
    """
    found = [task for task in data.tasks if task.name == name.replace("-", "_")]
    if not found:
        raise NotHere(
            f"Data set {data.name} has no task {name[:64]!r}; it has {', '.join(t.name for t in data.tasks)}."
        )
    return found[0]


def sensor_of(data: PackedChips, name: str | None) -> Sensor:
    """A sensor by its name in an address (hyphens for underscores); None is the first.

    Raises:
        NotHere: the data set has no such sensor.
    """
    found = [sensor for sensor in data.sensors if name is None or sensor.name == name.replace("-", "_")]
    if not found:
        known = ", ".join(sensor.name for sensor in data.sensors)
        raise NotHere(f"Data set {data.name} has no sensor {str(name)[:64]!r}; it has {known}.")
    return found[0]
