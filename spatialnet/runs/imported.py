"""Whether a folder that came from elsewhere is a run: what pages and commands read of one is there and of the right kind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from spatialnet.errors import RunRefused, SpatialNetError
from spatialnet.joint import JointTasks
from spatialnet.recipe import Recipe
from spatialnet.runs.folder import Run, read_json
from spatialnet.runs.rivals import rival_of
from spatialnet.settings import inside

_RIVALS = ("run", "majority", "band_statistics")
_NUMBER = (int, float)
_HISTORY = ("step", "steps", "epoch", "epochs", "loss", "chips_per_second")


def check_run(folder: Path) -> dict[str, Any]:
    """The content of a folder's `run.json`, once the folder is a run that is done.

    Raises:
        RunRefused: something is missing or of another kind; the message says what.
    """
    try:
        info = read_json(folder / "run.json")
        run = Run(folder, info)
        _need(isinstance(info.get("title", ""), str), "its title")
        _need(isinstance(info.get("parent", ""), str | None), "its parent")
        _need(all(isinstance(info.get(key, 0), int) for key in ("label_version", "corrections")), "its label version")
        _need(run.created_at > 0, "its time")
        for dataset in run.datasets:
            inside(folder, dataset)
        _need(run.dataset == run.datasets[0], "its data sets")
        _need(len(run.tasks) > 0, "its tasks")
        Recipe.load(folder / "recipe.toml")
        joint = JointTasks.load(folder)
        _need(joint is None or tuple(joint.shares) == run.datasets, "joint.json")
        _need((folder / "model.safetensors").is_file(), "model.safetensors")
        _check_report(run.report, "report.json")
        for dataset in run.datasets[1:]:
            _check_report(run.report_on(dataset), f"the report on {dataset}")
        for line in run.history():
            _need(isinstance(line, dict), "history.jsonl")
            _need(all(isinstance(line.get(name, 0), _NUMBER) for name in _HISTORY), "history.jsonl")
    except RunRefused:
        raise
    except (SpatialNetError, KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise RunRefused(f"What was exported is no run that is whole ({str(error)[:160]}). Export it again.") from error
    return dict(info)


def _check_report(report: dict[str, Any], what: str) -> None:
    _need(isinstance(report["split"], str), what)
    _need(all(isinstance(report[name], int) for name in ("chips", "blocks")), what)
    for values in report["tasks"].values():
        _need(isinstance(values["metric"], str) and isinstance(values["chips"], int), what)
        _need(isinstance(rival_of(values)["value"], _NUMBER), what)
        for name in (*_RIVALS, "margin"):
            _need(isinstance(values[name]["value"], _NUMBER), what)
            _need(all(isinstance(values[name][end], float | int | None) for end in ("low", "high")), what)
    training = report.get("training")
    if training is not None:
        _need(isinstance(training["weights"]["title"], str), what)
        _need(all(isinstance(training[name], _NUMBER) for name in ("seconds", "parameters")), what)
        _need(isinstance(training["device"], str), what)


def _need(fits: bool, what: str) -> None:
    if not fits:
        raise RunRefused(f"What was exported is no run that is whole: {what} cannot be read. Export it again.")
