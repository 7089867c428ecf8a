"""A run folder is trained: history, log and checkpoints on disk, stopping on request, going on where it was.

Files in a run folder:
    recipe.toml               the recipe
    run.json                  which data set, label version and parent; optional on a machine without the app
    targets/<task>.npy        targets with people's corrections, where there are any
    weights/<task>.npy        (chips,) float32, how much each target counts
    history.jsonl             one line per report; lines with `validation` end an epoch
    log.txt                   the same for people
    checkpoint.safetensors    everything to go on; gone when the run is finished
    model.safetensors         the finished model
"""

from __future__ import annotations

import errno
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from spatialnet.datasets.packed import PackedChips
from spatialnet.errors import DataSetInvalid, NotEnoughDisk
from spatialnet.model import save_model
from spatialnet.model.checkpoint import read_tensors
from spatialnet.recipe import Recipe
from spatialnet.train.loop import MODEL, Measured, Training, resolve_device

CHECKPOINT, HISTORY = "checkpoint.safetensors", "history.jsonl"

_SAVE_SECONDS, _REPORT_SECONDS = 60.0, 2.0


def train(
    run: Path,
    data: PackedChips,
    *,
    device: str = "auto",
    should_stop: Callable[[], bool] | None = None,
    heartbeat: Callable[[dict[str, Any]], None] | None = None,
    weights_folder: Path | None = None,
) -> dict[str, Any]:
    """Train the run in a folder, or go on with it; a finished run is left as it is.

    A run that was stopped or killed goes on from its checkpoint and ends with the same weights as if it had
    not been.

    Args:
        run: the run's folder, holding `recipe.toml`.
        data: the data set.
        device: `auto`, `cpu`, `cuda` or `cuda:<index>`.
        should_stop: asked before every step; once it says True, a checkpoint is written and the call returns.
        heartbeat: called with each line of the history, at least every few seconds.
        weights_folder: where `file:` weights lie; default `weights` beside the folder of runs.

    Returns:
        JSON-ready: `state` (`finished` or `stopped`), `step`, `steps`, `epochs`, `best_epoch`, `validation`
        (metrics of the model that is kept), `seconds`, `weights` (what it started from), `device`,
        `precision`, `parameters`.

    Raises:
        RecipeInvalid: the recipe cannot be used.
        DataSetInvalid: the data set changed since the run was made.
        CheckpointDoesNotFit: the checkpoint or the parent's model does not fit.
        WeightsUnavailable: pretrained weights cannot be had.
        NotEnoughDisk: the disk is full; the last checkpoint is whole.
    """
    about = _about(run, data)
    if (run / MODEL).exists():
        _, metadata = read_tensors(run / MODEL)
        return dict(metadata["extra"]["summary"])
    recipe = Recipe.load(run / "recipe.toml")
    chosen = resolve_device(device)
    with torch.random.fork_rng(devices=[chosen.index or 0] if chosen.type == "cuda" else []), _disk_errors(run):
        training = Training(run, data, recipe, device, weights_folder or run.parent.parent / "weights")
        sitting = _Sitting(run, training, about, heartbeat)
        return sitting.work(should_stop or (lambda: False))


@contextmanager
def _disk_errors(run: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        raise NotEnoughDisk(f"The disk is full: run {run.name} stopped. Free some space and start it again.") from error


class _Sitting:
    """One stretch of work on a training, from start or checkpoint to stop or end."""

    def __init__(
        self, run: Path, training: Training, about: dict[str, Any], heartbeat: Callable[[dict[str, Any]], None] | None
    ) -> None:
        self.run, self.training, self.about, self.heartbeat = run, training, about, heartbeat
        self.state = training.state
        if (run / CHECKPOINT).exists():
            self.state.load(run / CHECKPOINT)
            device = training.device
            training.sums = {name: torch.tensor(pair, device=device) for name, pair in self.state.progress.sums.items()}
        _keep_lines(run / HISTORY, self.state.progress.step)
        self.started, self.before, self.first = time.monotonic(), self.state.progress.seconds, self.state.progress.step
        self.saved = self.reported = self.started

    def work(self, should_stop: Callable[[], bool]) -> dict[str, Any]:
        training, progress = self.training, self.state.progress
        self._log(
            f"{'going on at' if progress.step else 'starting,'} step {progress.step} of {training.steps}, "
            f"{training.device}, {training.precision}, weights {training.origin['name']}"
        )
        while progress.step < training.steps:
            if should_stop():
                self._save()
                self._log(f"stopped at step {progress.step}")
                return self._summary("stopped")
            training.step()
            now = time.monotonic()
            if progress.step % training.batches == 0:
                losses = training.mean_losses()
                self._report(losses, training.end_epoch())
                if progress.step < training.steps:
                    self._save()
                if self._worn_out():
                    break
            elif now - self.reported >= _REPORT_SECONDS:
                self._report(training.mean_losses(), None)
            if now - self.saved >= _SAVE_SECONDS:
                self._save()
        return self._finish()

    def _worn_out(self) -> bool:
        recipe, progress = self.training.recipe, self.state.progress
        waited = progress.step // self.training.batches - progress.best_epoch
        return bool(recipe.patience) and recipe.keep == "best" and waited >= recipe.patience

    def _seconds(self) -> float:
        return self.before + time.monotonic() - self.started

    def _save(self) -> None:
        progress = self.state.progress
        progress.seconds = self._seconds()
        progress.sums = {name: [float(v) for v in pair] for name, pair in self.training.sums.items()}
        self.state.save(self.run / CHECKPOINT)
        self.saved = time.monotonic()

    def _report(self, losses: dict[str, float], validation: Measured | None) -> None:
        training, step = self.training, self.state.progress.step
        self.reported = time.monotonic()
        pace = (self.reported - self.started) / max(1, step - self.first)
        line: dict[str, Any] = {
            "epoch": (step - 1) // training.batches + 1,
            "epochs": training.recipe.epochs,
            "step": step,
            "steps": training.steps,
            "loss": sum(losses.values()),
            "losses": losses,
            "learning_rate": training.rate(step - 1),
            "chips_per_second": min(training.recipe.batch_size, len(training.train_chips)) / pace,
            "seconds": self._seconds(),
            "eta_seconds": pace * (training.steps - step),
        }
        if validation is not None:
            line["validation"] = validation
            self._log(
                f"epoch {line['epoch']} of {line['epochs']}: loss {line['loss']:.3f}, {_main(training, validation)}"
            )
        with (self.run / HISTORY).open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        if self.heartbeat is not None:
            self.heartbeat(line)

    def _finish(self) -> dict[str, Any]:
        training = self.training
        training.model.load_state_dict(self.state.best)
        summary = self._summary("finished")
        extra = {**self.about, "recipe": training.recipe.to_toml(), "weights": training.origin, "summary": summary}
        save_model(self.run / MODEL, training.model, extra=extra)
        (self.run / CHECKPOINT).unlink(missing_ok=True)
        self._log(f"finished after {summary['seconds']:.0f} s; kept epoch {summary['best_epoch']}")
        return summary

    def _summary(self, state: str) -> dict[str, Any]:
        training, progress = self.training, self.state.progress
        return {
            "state": state,
            "step": progress.step,
            "steps": training.steps,
            "epochs": training.recipe.epochs,
            "best_epoch": progress.best_epoch,
            "validation": progress.best_metrics,
            "seconds": self._seconds(),
            "weights": training.origin,
            "device": str(training.device),
            "precision": str(training.precision).removeprefix("torch."),
            "parameters": sum(p.numel() for p in training.model.parameters()),
        }

    def _log(self, text: str) -> None:
        with (self.run / "log.txt").open("a", encoding="utf-8") as file:
            file.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {text}\n")


def _about(run: Path, data: PackedChips) -> dict[str, Any]:
    facts: dict[str, Any] = {"dataset": data.name, "fingerprint": data.fingerprint, "label_version": 0, "parent": ""}
    path = run / "run.json"
    if path.exists():
        stored = json.loads(path.read_text(encoding="utf-8"))
        facts |= {key: stored[key] for key in facts if stored.get(key) is not None}
        if facts["fingerprint"] != data.fingerprint:
            raise DataSetInvalid(
                f"Data set {data.name} changed since this run was made ({facts['fingerprint']} then, "
                f"{data.fingerprint} now). Start a new run."
            )
    return facts


def _keep_lines(path: Path, step: int) -> None:
    """Take lines beyond `step` out of the history: those steps are done again."""
    if path.exists():
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        kept = [line for line in lines if line.endswith("\n") and json.loads(line)["step"] <= step]
        part = path.with_name(f".{path.name}.part")
        part.write_text("".join(kept), encoding="utf-8")
        part.replace(path)


def _main(training: Training, validation: Measured) -> str:
    tasks = training.model.tasks.values()
    shown = [(t, validation.get(t.name, {}).get(t.main_metric)) for t in tasks]
    return ", ".join(f"{t.name} {t.main_metric} {value:.3f}" for t, value in shown if value is not None)
