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

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from spatialnet.datasets.packed import PackedChips
from spatialnet.errors import DataSetInvalid, SpatialNetError
from spatialnet.model import save_model
from spatialnet.model.checkpoint import read_tensors
from spatialnet.recipe import Recipe
from spatialnet.train.devices import faults_said, peak_memory_gib, resolve_device
from spatialnet.train.distributed import joined
from spatialnet.train.features import Stopped
from spatialnet.train.loop import MODEL, Training
from spatialnet.train.sets import Measured, mean_over_sets
from spatialnet.train.state import HEADS

CHECKPOINT, HISTORY = "checkpoint.safetensors", "history.jsonl"

_SAVE_SECONDS, _REPORT_SECONDS = 60.0, 2.0

_AGREE_STEPS = 8
"""Several processes ask each other this often whether to stop; each time costs a GPU a wait."""

_GO, _STOP, _ENOUGH, _FAILED = range(4)


def train(
    run: Path,
    data: PackedChips | Sequence[PackedChips],
    *,
    device: str = "auto",
    should_stop: Callable[[], bool] | None = None,
    heartbeat: Callable[[dict[str, Any]], None] | None = None,
    weights_folder: Path | None = None,
    parts: int | None = None,
) -> dict[str, Any]:
    """Train the run in a folder, or go on with it; a finished run is left as it is.

    A run that was stopped or killed goes on from its checkpoint and ends with the same weights as if it had
    not been. Where a launcher such as torchrun started several processes, each takes a share of every step's chips, and only
    the first writes.

    Args:
        run: the run's folder, holding `recipe.toml`.
        data: the data set; or several, in the order of the run's `joint.json`.
        device: `auto`, `cpu`, `cuda` or `cuda:<index>`.
        should_stop: asked before every step; once it says True, a checkpoint is written and the call returns.
        heartbeat: called with each line of the history, at least every few seconds.
        weights_folder: where `file:` weights lie; default `weights` beside the folder of runs.
        parts: into how many parts a step is cut, in place of the recipe's `accumulate`: the same steps in less memory.

    Returns:
        JSON-ready: `state` (`finished` or `stopped`), `step`, `steps`, `epochs`, `best_epoch`, `validation`
        (metrics of the model that is kept), `seconds`, `weights` (what it started from), `device`,
        `precision`, `parameters`, `skipped_tasks` (without any training target), `memory_gib`, `processes`.

    Raises:
        RecipeInvalid: the recipe cannot be used.
        DataSetInvalid: the data set changed since the run was made, or others were given than it was made for.
        NothingToRead: there is nothing to learn from.
        CheckpointDoesNotFit: the checkpoint or the parent's model does not fit.
        WeightsUnavailable: pretrained weights cannot be had.
        TrainingDiverged: the loss is no longer a number; the last good checkpoint is kept.
        OutOfMemory: memory ran out; the last checkpoint is kept.
        DeviceUnavailable: the GPU stopped answering; the last checkpoint is kept.
        NotEnoughDisk: the disk is full; the last checkpoint is whole.
    """
    several = [data] if isinstance(data, PackedChips) else list(data)
    about = _about(run, several)
    if (run / MODEL).exists():
        _, metadata = read_tensors(run / MODEL)
        return dict(metadata["extra"]["summary"])
    recipe = Recipe.load(run / "recipe.toml")
    chosen = resolve_device(device)
    devices = [chosen.index or 0] if chosen.type == "cuda" else []
    with torch.random.fork_rng(devices=devices), faults_said(run.name), joined(chosen):
        folder = weights_folder or run.parent.parent / "weights"
        training = Training(run, several, recipe, chosen, folder, parts)
        try:
            return _Sitting(run, training, about, heartbeat).work(should_stop or (lambda: False))
        finally:
            training.close()


class _Sitting:
    """One stretch of work on a training, from start or checkpoint to stop or end."""

    def __init__(
        self, run: Path, training: Training, about: dict[str, Any], heartbeat: Callable[[dict[str, Any]], None] | None
    ) -> None:
        self.run, self.training, self.about, self.heartbeat = run, training, about, heartbeat
        self.state, self.main = training.state, training.processes.main
        if (run / CHECKPOINT).exists():
            self.state.load(run / CHECKPOINT)
            device = training.device
            training.sums = {name: torch.tensor(pair, device=device) for name, pair in self.state.progress.sums.items()}
        training.processes.wait()
        if self.main:
            _keep_lines(run / HISTORY, self.state.progress.step)
        self.started, self.before = time.monotonic(), self.state.progress.seconds
        self.saved = self.reported = self.started
        self.first, self.spent = self.state.progress.step, 0.0
        self.failure: Exception | None = None

    def work(self, should_stop: Callable[[], bool]) -> dict[str, Any]:
        training = self.training
        self._log_start()
        enough = False
        while self.state.progress.step < training.steps:
            code = _ENOUGH if enough else _STOP if should_stop() else _GO
            code = self._agreed(_FAILED if self.failure else code, wanted=enough)
            if code == _ENOUGH:
                break
            if code == _STOP:
                return self._stopped(self._save)
            try:
                training.make_ready(lambda share: self._waiting(share) or should_stop())
            except Stopped:
                return self._stopped(lambda: None)
            if self.state.progress.step in (training.head_steps, self.first):
                self.first, self.spent = self.state.progress.step, 0.0
            begun = time.monotonic()
            training.step()
            self.spent += time.monotonic() - begun
            enough = self._after_step()
        self._agreed(_FAILED if self.failure else _GO, wanted=True)
        return self._finish()

    def _after_step(self) -> bool:
        """Report and save where it is time to; True where the run has learnt enough."""
        training, progress, now = self.training, self.state.progress, time.monotonic()
        if progress.step % training.batches == 0:
            losses = training.mean_losses()
            measured: dict[str, Measured] = {}
            self._guarded(lambda: measured.update(training.end_epoch()))
            if self.failure:
                return False
            if self.main:
                self._guarded(lambda: self._report(losses, measured))
                if progress.step < training.steps:
                    self._guarded(self._save)
            return self._worn_out()
        if self.main and now - self.reported >= _REPORT_SECONDS:
            self._guarded(lambda: self._report(training.mean_losses(), None))
        if self.main and now - self.saved >= _SAVE_SECONDS:
            self._guarded(self._save)
        return False

    def _guarded(self, work: Callable[[], None]) -> None:
        """Among several processes an error of one is told to the others before it is raised: they would wait for ever."""
        try:
            with faults_said(self.run.name):
                work()
        except Exception as error:
            if self.training.processes.count == 1:
                raise
            self.failure = error

    def _agreed(self, code: int, *, wanted: bool) -> int:
        """What the processes do next: the gravest of what each wants."""
        training, step = self.training, self.state.progress.step
        if training.processes.count == 1:
            return code
        if not wanted and step % _AGREE_STEPS and step % training.batches:
            return _GO
        code = training.processes.largest(code)
        if code == _FAILED:
            raise self.failure or SpatialNetError("Another process of this training stopped; its message says why.")
        return code

    def _worn_out(self) -> bool:
        recipe, progress = self.training.recipe, self.state.progress
        if not self.main or not recipe.patience or recipe.keep != "best":
            return False
        if progress.stage == HEADS and recipe.epochs:
            return False
        since = max(progress.best_epoch, recipe.head_epochs if recipe.epochs else 0)
        return progress.step // self.training.batches - since >= recipe.patience

    def _seconds(self) -> float:
        return self.before + time.monotonic() - self.started

    def _save(self) -> None:
        if not self.main:
            return
        self.training.check()
        progress = self.state.progress
        progress.seconds = self._seconds()
        progress.sums = {name: [float(v) for v in pair] for name, pair in self.training.sums.items()}
        self.state.save(self.run / CHECKPOINT)
        self.saved = time.monotonic()

    def _stopped(self, save: Callable[[], None]) -> dict[str, Any]:
        save()
        self._log(f"stopped at step {self.state.progress.step}")
        return self._summary("stopped")

    def _waiting(self, share: float) -> bool:
        """Tell the heartbeat how far the features are; such lines are no part of the history. Never asks to stop."""
        now = time.monotonic()
        if self.heartbeat is not None and self.main and now - self.reported >= _REPORT_SECONDS:
            self.reported, training = now, self.training
            recipe = training.recipe
            self.heartbeat({
                "epoch": 0, "epochs": recipe.head_epochs + recipe.epochs, "step": self.state.progress.step, "steps": training.steps,
                "stage": "features", "share": share, "seconds": self._seconds(),
            })  # fmt: skip
        return False

    def _report(self, losses: dict[str, float], measured: dict[str, Measured] | None) -> None:
        training, progress = self.training, self.state.progress
        step, recipe = progress.step, training.recipe
        self.reported = time.monotonic()
        pace = self.spent / max(1, step - self.first)
        stage = training.stage_of(step - 1)
        line: dict[str, Any] = {
            "epoch": (step - 1) // training.batches + 1,
            "epochs": recipe.head_epochs + recipe.epochs,
            "step": step,
            "steps": training.steps,
            "stage": stage,
            "loss": sum(losses.values()),
            "losses": losses,
            "weights": training.weighting.weights,
            "learning_rate": training.rate(step - 1),
            "chips_per_second": min(recipe.batch_size, training.chips) / pace if pace else 0.0,
            "memory_gib": round(peak_memory_gib(training.device), 3),
            "seconds": self._seconds(),
            "eta_seconds": None if stage == HEADS and recipe.epochs else pace * (training.steps - step),
        }
        if training.conflicts:
            line["conflicts"], training.conflicts = training.conflicts, {}
        if measured is not None:
            line["validation"] = mean_over_sets(measured, training.sets)
            if len(measured) > 1:
                line["validation_sets"] = measured
            self._log(
                f"epoch {line['epoch']} of {line['epochs']}: loss {line['loss']:.3f}, "
                f"{_main(training, line['validation'])}"
            )
        with (self.run / HISTORY).open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        if self.heartbeat is not None:
            self.heartbeat(line)

    def _finish(self) -> dict[str, Any]:
        training, summary = self.training, self._summary("finished")

        def keep() -> None:
            self.state.keep_best()
            extra = {**self.about, "recipe": training.recipe.to_toml(), "weights": training.origin, "summary": summary}
            save_model(self.run / MODEL, training.model, extra=extra)

        if self.main:
            self._guarded(keep)
        self._agreed(_FAILED if self.failure else _GO, wanted=True)
        if self.main:
            (self.run / CHECKPOINT).unlink(missing_ok=True)
            self._log(f"finished after {summary['seconds']:.0f} s; kept epoch {summary['best_epoch']}")
        return summary

    def _summary(self, state: str) -> dict[str, Any]:
        training, progress = self.training, self.state.progress
        return {
            "state": state,
            "step": progress.step,
            "steps": training.steps,
            "epochs": training.recipe.head_epochs + training.recipe.epochs,
            "best_epoch": progress.best_epoch,
            "validation": progress.best_metrics,
            "seconds": self._seconds(),
            "weights": training.origin,
            "device": str(training.device),
            "precision": str(training.precision).removeprefix("torch."),
            "parameters": sum(p.numel() for p in training.model.parameters()),
            "skipped_tasks": training.skipped,
            "memory_gib": round(peak_memory_gib(training.device), 3),
            "processes": training.processes.count,
        }

    def _log_start(self) -> None:
        training, step = self.training, self.state.progress.step
        self._log(
            f"{'going on at' if step else 'starting,'} step {step} of {training.steps}, "
            f"{training.device}, {training.precision}, weights {training.origin['name']}"
        )
        if training.skipped:
            self._log(f"not learnt, because no training chip has a target: {', '.join(training.skipped)}")
        idle = [name for name, _ in training.recipe.task_weights if name not in training.model.tasks]
        if idle:
            self._log(
                f"task_weights names tasks that are not learnt here, which changes nothing: {', '.join(idle)}; "
                f"learnt are {', '.join(training.model.tasks)}"
            )

    def _log(self, text: str) -> None:
        if self.main:
            with (self.run / "log.txt").open("a", encoding="utf-8") as file:
                file.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {text}\n")


def _about(run: Path, data: Sequence[PackedChips]) -> dict[str, Any]:
    first = data[0]
    facts: dict[str, Any] = {"dataset": first.name, "fingerprint": first.fingerprint, "label_version": 0, "parent": ""}
    if len(data) > 1:
        facts["datasets"] = [one.name for one in data]
        facts["fingerprints"] = {one.name: one.fingerprint for one in data}
    path = run / "run.json"
    if path.exists():
        stored = json.loads(path.read_text(encoding="utf-8"))
        facts |= {key: stored[key] for key in facts if stored.get(key) is not None}
        then = {first.name: facts["fingerprint"], **facts.get("fingerprints", {})}
        for one in data:
            if then.get(one.name, one.fingerprint) != one.fingerprint:
                raise DataSetInvalid(
                    f"Data set {one.name} changed since this run was made ({then[one.name]} then, "
                    f"{one.fingerprint} now). Start a new run."
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
