"""A training end to end, beside its own bare step, a plain timm loop, and TorchGeo with Lightning.

Figures:
    train_over_bare_tiny_fp32, train_over_bare_tiny_bf16     steps per second end to end over those of the same step on a random
    train_over_bare_small_fp32, train_over_bare_small_bf16   batch that lies ready (target 0.95)
    train_over_timm      steps per second of our default recipe over those of a plain timm loop on the same files (target 1.5)
    train_over_torchgeo  the same over TorchGeo's `ClassificationTask` under Lightning (target 1.4)
    points_over_timm     accuracy of ours minus that of the timm loop after as many steps, in points (target -1.5: that is as
                         near as the held-out chips can tell)

End to end is the default recipe on packed chips that are read from disk in every step: gathering, normalising, augmentation,
forward, loss of three tasks, backward, clipping, AdamW, averaged weights, and the look whether all is a number. The bare step is
forward, loss, backward, clipping and AdamW. `tiny` has 32 chips of 64 px and 13 bands per step, `small` 16 of 112 px and 3.

The timm loop is what one writes first: one GeoTIFF per chip, `DataLoader`, float32, `torch.optim.AdamW` as it comes; TorchGeo's has
the same model, files and loader. Ours is preset tiny, which is the same transformer with our tokens and heads, on the same chips
packed. All train from random weights for as many steps of 32 chips, 13 bands of 64 x 64, on a made task of eight spectral
signatures. Beside it, as rows: half of the patches dropped, and only the last two blocks trained.

CPU time of one thread; all sides but TorchGeo's, which Lightning drives, are interleaved.
"""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import rasterio
import torch
from torch.utils.data import DataLoader, Dataset

from benchmarks.figures import Figure, Result, cpu_seconds, matmul_gflops, one_thread, ratio_of_minima
from benchmarks.generated import noise, packed
from spatialnet.datasets.packed import PackedChips
from spatialnet.recipe import Recipe
from spatialnet.sensors import SENSORS
from spatialnet.tasks import Task
from spatialnet.train import batches
from spatialnet.train.loop import Training

BARE = (("tiny", "sentinel2_l1c", 64, 32, 7), ("small", "rgb", 112, 16, 5))
"""Preset, sensor, side, chips per step, rounds."""

CLASSES, BATCH, STEPS, ROUNDS = 8, 32, 6, 7
TRAINED, HELD_OUT = 768, 384
RECIPE = Recipe(preset="tiny", batch_size=BATCH, learning_rate=1e-3, epochs=2)
OURS = {
    "ours": RECIPE,
    "ours, half of the patches": replace(RECIPE, patch_drop=0.5),
    "ours, last two blocks": replace(RECIPE, tune="last", tuned_blocks=2),
}


def run(shared: Path | None) -> Result:  # noqa: ARG001 - this one needs no shared data
    """Measure. The chips are generated."""
    figures, rows = [], {}
    with tempfile.TemporaryDirectory() as name, one_thread(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        folder = Path(name)
        for preset, sensor, side, batch, rounds in BARE:
            data = noise(folder / f"noise-{side}", SENSORS[sensor], 256, side)
            for short, precision in (("fp32", "float32"), ("bf16", "bfloat16")):
                recipe = Recipe(preset=preset, batch_size=batch, precision=precision, epochs=100)
                seconds = cpu_seconds(_bare(folder / f"{preset}-{short}", data, recipe), rounds=rounds)
                value, spread = ratio_of_minima(seconds["bare"], seconds["end to end"])
                label = f"train_over_bare_{preset}_{short}"
                figures.append(Figure(label, value, "x", "higher", 0.95, rounds, spread))
                rows[f"{preset} {short}, {side} px"] = ", ".join(
                    f"{kind} {batch / min(times):.1f} chips/s" for kind, times in seconds.items()
                )
        more, shown = _over_others(folder)
    return Result(figures + more, rows | shown | {"matrix product, float32": f"{matmul_gflops():.0f} GFLOP/s"})


def _training(run: Path, data: PackedChips, recipe: Recipe) -> Training:
    """A training whose chips stay on disk, at its first step."""
    run.mkdir()
    with mock.patch.object(batches, "RESIDENT_BYTES", 0):
        training = Training(run, [data], recipe, torch.device("cpu"), run)
        training.make_ready(lambda _: False)
    return training


def _bare(run: Path, data: PackedChips, recipe: Recipe) -> dict[str, Callable[[], None]]:
    training = _training(run, data, recipe)
    model, optimizer = training.model, training.state.optimizer
    batch = training.sets[0].train.batch(torch.arange(recipe.batch_size))
    images = {name: torch.randn_like(pixels) for name, pixels in batch.images.items()}
    bf16 = recipe.precision == "bfloat16"

    def bare() -> None:
        model.train()
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            answers = model(images)
        losses = training.loss(answers, batch.targets, batch.weights)
        optimizer.zero_grad(set_to_none=True)
        torch.stack(list(losses.tasks.values())).sum().backward()
        torch.nn.utils.clip_grad_norm_(training.state.learnt, 1.0, foreach=True)
        optimizer.step()

    return {"end to end": training.step, "bare": bare}


def _over_others(folder: Path) -> tuple[list[Figure], dict[str, str]]:
    pixels, classes = _signatures()
    files = _write(folder / "files", pixels)
    task = Task("land_use", "multiclass", tuple(f"class {i}" for i in range(CLASSES)))
    data = packed(folder / "made", SENSORS["sentinel2_l1c"], pixels, [task], {"land_use": classes}, validation=HELD_OUT)
    mean, std = (torch.from_numpy(part)[:, None, None] for part in data.statistics("sentinel2_l1c"))
    loaders = [
        DataLoader(_Files(files[part], classes[part], mean, std), batch_size=BATCH, shuffle=trained, drop_last=trained)
        for part, trained in ((slice(TRAINED), True), (slice(TRAINED, None), False))
    ]
    trainings = {side: _training(folder / f"run-{i}", data, recipe) for i, (side, recipe) in enumerate(OURS.items())}
    sides: dict[str, Callable[[], None]] = {name: _steps(training) for name, training in trainings.items()}
    model = _timm()
    sides["timm"] = _timm_steps(model, loaders[0])
    seconds = cpu_seconds(sides, rounds=ROUNDS)
    right = {name: _our_accuracy(training) for name, training in trainings.items()}
    right["timm"] = _accuracy(model, loaders[1])
    peer = _torchgeo(loaders[0])
    if peer is not None:
        seconds["torchgeo"], trained = peer
        right["torchgeo"] = _accuracy(trained, loaders[1])
    rows = {}
    for side, times in seconds.items():
        ratio, (low, high) = ratio_of_minima(seconds["timm"], times)
        rows[side] = (
            f"{STEPS * BATCH / min(times):.1f} chips/s, {ratio:.2f} x timm ({low:.2f} to {high:.2f}); {100 * right[side]:.1f} % right "
            f"of {HELD_OUT} after {STEPS * (ROUNDS + 1)} steps"
        )
    rows["chance"] = f"{100 / CLASSES:.1f} % right"
    figures = [_ratio("train_over_timm", seconds["timm"], seconds["ours"], 1.5)]
    if peer is not None:
        figures.append(_ratio("train_over_torchgeo", seconds["torchgeo"], seconds["ours"], 1.4))
    else:
        rows["torchgeo"] = "left out; it needs TorchGeo beside the app: pip install -r requirements-torchgeo.txt"
    points = 100 * (right["ours"] - right["timm"])
    half = 196 * np.sqrt(sum(share * (1 - share) for share in (right["ours"], right["timm"])) / HELD_OUT)
    figures.append(
        Figure("points_over_timm", points, "points", "higher", -1.5, HELD_OUT, (points - half, points + half))
    )
    return figures, rows


def _ratio(label: str, above: list[float], below: list[float], target: float) -> Figure:
    value, spread = ratio_of_minima(above, below)
    return Figure(label, value, "x", "higher", target, len(below), spread)


def _signatures() -> tuple[np.ndarray, np.ndarray]:
    """Chips in which a class is a spectrum that comes and goes over the chip, among others that mean nothing."""
    generator = np.random.default_rng(0)
    chips = TRAINED + HELD_OUT
    classes = generator.integers(0, CLASSES, chips)

    def field() -> np.ndarray:
        return generator.normal(size=(chips, 1, 8, 8)).repeat(8, 2).repeat(8, 3)

    known = generator.normal(size=(CLASSES, 13, 1, 1))[classes]
    other = generator.normal(size=(chips, 13, 1, 1))
    pixels = 2000 + 300 * ((field() + 0.5) * known + field() * other) + generator.normal(0, 60, (chips, 13, 64, 64))
    return pixels.clip(0, 10_000).astype(np.uint16), classes


def _write(folder: Path, pixels: np.ndarray) -> list[Path]:
    folder.mkdir()
    files = [folder / f"{i}.tif" for i in range(len(pixels))]
    for path, chip in zip(files, pixels, strict=True):
        with rasterio.open(path, "w", driver="GTiff", count=13, height=64, width=64, dtype="uint16") as target:
            target.write(chip)
    return files


class _Files(Dataset[dict[str, torch.Tensor]]):
    """One GeoTIFF per chip, as most data sets are read."""

    def __init__(self, files: list[Path], classes: np.ndarray, mean: torch.Tensor, std: torch.Tensor) -> None:
        self.files, self.classes, self.mean, self.std = files, torch.from_numpy(classes), mean, std

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        with rasterio.open(self.files[index]) as source:
            pixels = torch.from_numpy(source.read().astype(np.float32))
        return {"image": (pixels - self.mean) / self.std, "label": self.classes[index]}


def _timm() -> torch.nn.Module:
    import timm

    torch.manual_seed(0)
    model: torch.nn.Module = timm.create_model(
        "vit_tiny_patch16_224", in_chans=13, img_size=64, patch_size=8, num_classes=CLASSES
    )
    return model


def _endless(loader: DataLoader[Any]) -> Iterator[dict[str, torch.Tensor]]:
    while True:
        yield from loader


def _timm_steps(model: torch.nn.Module, loader: DataLoader[Any]) -> Callable[[], None]:
    optimizer = torch.optim.AdamW(model.parameters(), lr=RECIPE.learning_rate)
    loss = torch.nn.CrossEntropyLoss()
    stream = _endless(loader)

    def steps() -> None:
        model.train()
        for _ in range(STEPS):
            batch = next(stream)
            optimizer.zero_grad()
            loss(model(batch["image"]), batch["label"]).backward()
            optimizer.step()

    return steps


def _steps(training: Training) -> Callable[[], None]:
    def steps() -> None:
        for _ in range(STEPS):
            training.step()

    return steps


def _our_accuracy(training: Training) -> float:
    training.state.swap_average()
    return training.validate()["made"]["land_use"]["accuracy"]


@torch.inference_mode()
def _accuracy(model: torch.nn.Module, loader: DataLoader[Any]) -> float:
    model.eval()
    right = [(model(batch["image"]).argmax(1) == batch["label"]).float() for batch in loader]
    return float(torch.cat(right).mean())


def _torchgeo(loader: DataLoader[Any]) -> tuple[list[float], torch.nn.Module] | None:
    """CPU seconds of every `STEPS` steps but the first ones, and the trained model; None where TorchGeo is not installed."""
    import time

    try:
        import lightning
        from torchgeo.trainers import ClassificationTask
    except ImportError:
        return None
    task = ClassificationTask(
        model="vit_tiny_patch16_224", in_channels=13, num_classes=CLASSES, lr=RECIPE.learning_rate
    )
    task.model = _timm()  # TorchGeo builds 224 px and 16 px patches only
    task.monitor = "train_loss"  # its schedule looks at the validation's, and there is none in between on any side
    marks = []

    class Clock(lightning.Callback):
        def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
            if trainer.global_step % STEPS == 0:
                marks.append(time.process_time())

    trainer = lightning.Trainer(
        accelerator="cpu", max_steps=STEPS * (ROUNDS + 1), max_epochs=-1, logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, callbacks=[Clock()],
    )  # fmt: skip
    trainer.fit(task, loader)
    return np.diff(marks).tolist(), task.model
