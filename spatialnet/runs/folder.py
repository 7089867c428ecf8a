"""One run as a folder, and the list of them. `spatialnet.runs` says what a run folder holds."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spatialnet.atomic import full_disk_said, remove, replacing
from spatialnet.errors import PathRefused, RunNotFound
from spatialnet.joint import part_of
from spatialnet.settings import Settings, inside
from spatialnet.tasks import Task


@dataclass(frozen=True)
class Run:
    """One training.

    Attributes:
        folder: the run folder; its name is the run's identifier.
        info: the content of `run.json`.
    """

    folder: Path
    info: dict[str, Any]

    @property
    def name(self) -> str:
        """The run's identifier."""
        return self.folder.name

    @property
    def title(self) -> str:
        """What people read."""
        return str(self.info.get("title") or self.name)

    @property
    def dataset(self) -> str:
        """The data set that it was trained on; the first where there are several."""
        return str(self.info["dataset"])

    @property
    def datasets(self) -> tuple[str, ...]:
        """Every data set that it was trained on."""
        named = self.info.get("datasets")
        return tuple(map(str, named)) if isinstance(named, list) and named else (self.dataset,)

    @property
    def parent(self) -> str | None:
        """The run that it started from, if any."""
        return self.info.get("parent") or None

    @property
    def created_at(self) -> float:
        """Seconds since 1970, UTC."""
        return float(self.info["created_at"])

    @property
    def tasks(self) -> tuple[Task, ...]:
        """The tasks that the run answers."""
        return tuple(Task.from_dict(values) for values in self.info["tasks"])

    @property
    def done(self) -> bool:
        """Whether metrics, predictions and maps are all there."""
        return (self.folder / "report.json").exists()

    @property
    def report(self) -> dict[str, Any]:
        """Metrics beside baselines, see `spatialnet.evaluate.report`.

        Raises:
            RunNotFound: the run is not done.
        """
        return _read_report(self.folder)

    def part(self, dataset: str) -> Path:
        """The folder with what belongs to one of its data sets: predictions, report, maps, targets.

        Raises:
            DataSetInvalid: the run's joint tasks cannot be read.
        """
        return part_of(self.folder, dataset)

    def report_on(self, dataset: str) -> dict[str, Any]:
        """Metrics on one of its data sets, in that data set's own classes.

        Raises:
            RunNotFound: there are none (yet).
            DataSetInvalid: the run's joint tasks cannot be read.
        """
        return _read_report(self.part(dataset))

    def fingerprint(self, dataset: str) -> str:
        """The state of a data set that it was trained on; empty where the run does not say."""
        many = self.info.get("fingerprints")
        if isinstance(many, dict) and dataset in many:
            return str(many[dataset])
        return str(self.info.get("fingerprint", "")) if dataset == self.dataset else ""

    def history(self) -> list[dict[str, Any]]:
        """What the training loop reported so far, oldest first; a last line that is half written is left out."""
        try:
            lines = (self.folder / "history.jsonl").read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return []
        reports = []
        for line in lines:
            try:
                reports.append(json.loads(line))
            except ValueError:
                break
        return reports


def create_run(settings: Settings, info: dict[str, Any], recipe_toml: str) -> Run:
    """Make a new run folder with its `run.json` and `recipe.toml`.

    Args:
        settings: the workspace.
        info: what `run.json` holds; needs `dataset`, `tasks` and `title`.
        recipe_toml: the recipe.

    Raises:
        NotEnoughDisk: the disk is full; no run was made.
    """
    now = time.time()
    with full_disk_said("the run"):
        folder = new_folder(settings.runs, time.strftime("run-%Y%m%d-%H%M%S", time.gmtime(now)))
    info = {**info, "run": folder.name, "created_at": now}
    try:
        with replacing(folder / "recipe.toml") as partial:
            partial.write_text(recipe_toml, encoding="utf-8")
        write_json(folder / "run.json", info)
    except BaseException:
        remove(folder)
        raise
    return Run(folder, info)


def new_folder(parent: Path, stem: str) -> Path:
    """Make a folder called `stem`, or with a number behind it where that is taken."""
    number, folder = 1, parent / stem
    while True:
        try:
            folder.mkdir()
        except FileExistsError:
            number += 1
            folder = parent / f"{stem}-{number}"
        else:
            return folder


def list_runs(settings: Settings, dataset: str | None = None) -> list[Run]:
    """All runs, newest first, of one data set or of all. A folder that cannot be read is left out."""
    found = []
    for folder in settings.runs.iterdir():
        try:
            run = open_run(settings, folder.name)
        except (PathRefused, RunNotFound):
            continue
        if dataset is None or dataset in run.datasets:
            found.append(run)
    return sorted(found, key=lambda run: run.created_at, reverse=True)


def open_run(settings: Settings, name: str) -> Run:
    """The run called `name`.

    Raises:
        PathRefused: not a valid name.
        RunNotFound: none of this name.
    """
    return open_run_in(settings.runs, name)


def open_run_in(parent: Path, name: str) -> Run:
    """The run called `name` in a folder of runs; raises as `open_run`."""
    folder = inside(parent, name)
    info = read_json(folder / "run.json")
    if not isinstance(info, dict) or not {"dataset", "created_at"} <= info.keys():
        raise RunNotFound(f"{folder.name}/run.json does not say what was trained on what. Choose a listed run.")
    return Run(folder, info)


def write_json(path: Path, values: Any) -> None:
    """Write JSON; the file is whole or as it was.

    Raises:
        NotEnoughDisk: the disk is full.
    """
    with replacing(path) as partial:
        partial.write_text(json.dumps(values, indent=1), encoding="utf-8")


def _read_report(folder: Path) -> dict[str, Any]:
    report = read_json(folder / "report.json")
    if not isinstance(report, dict) or not isinstance(report.get("tasks"), dict):
        raise RunNotFound(
            f"{folder.name}/report.json holds no metrics of tasks. Choose another run, or train it again."
        )
    return report


def read_json(path: Path) -> Any:
    """A JSON file of a run folder.

    Raises:
        RunNotFound: it is not there or cannot be read.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise RunNotFound(f"{path.parent.name} has no {path.name} that can be read. Choose a listed run.") from error
