"""What an explanation costs, and how faithful the default one is beside Integrated Gradients.

Figures:
    default_units               CPU time of the default method (the first in `METHODS`) for a batch of chips, through the public
                                function with its checks, over one forward and backward pass (to the pixels) of the same model and
                                batch (target 1.2)
    gradient_attention_units    the same for gradient-weighted attention (target 1.15)
    rollout_units               the same for attention rollout (target 0.55)
    default_over_ig50           insertion minus deletion of the default method over that of Integrated Gradients with 50 steps, mean
                                over chips of a model that has learnt to tell an even square from noise (target 1)
    hit_rate                    how often the default method's strongest patch lies on the pattern that decides (target 0.95)
    hit_rate_randomised         the same for random weights, of five models; at most chance plus two standard errors
    randomised_correlation      rank correlation (Spearman's, its size) of the default method's map with that of the same network with
                                shuffled weights, mean over the same chips (target 0.1)

Costs: preset tiny, six bands, 64 px, 16 chips; they do not depend on the weights, so these are random. Rows: one chip of preset nano,
and all methods' insertion minus deletion.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from captum.attr import IntegratedGradients

from benchmarks.figures import Figure, Result, cpu_seconds, matmul_gflops, one_thread, ratio_of_minima
from spatialnet.explain.attribute import attribute
from spatialnet.explain.faithfulness import faithfulness
from spatialnet.explain.methods import METHODS
from spatialnet.explain.stability import stability
from spatialnet.model import SpatialNetViT, score
from spatialnet.sensors import SENSORS
from spatialnet.tasks import Task

ROUNDS, ONE_CHIP_ROUNDS = 7, 40
BATCH = 16
TASK = Task("land_use", "multiclass", ("water", "forest", "developed"))
DEFAULT = next(iter(METHODS))
COSTS = {
    DEFAULT: ("default_units", 1.2),
    "gradient_attention": ("gradient_attention_units", 1.15),
    "attention_rollout": ("rollout_units", 0.55),
}

SIDE, PATCH, SQUARE = 24, 4, 8
STEPS, CHIPS, UNTRAINED = 200, 96, 5
LEARNT = Task("object", "multiclass", ("none", "first", "second"))
Chips = Callable[[int, int], tuple[torch.Tensor, torch.Tensor, npt.NDArray[np.bool_]]]
"""Images (count, 3, side, side), classes, and where the object is that decides, from a count and a seed."""


def run(shared: Path | None) -> Result:  # noqa: ARG001 - this one needs no shared data
    """Measure; about a minute."""
    rows, figures = {"float32 matrix product, 1 thread": f"{matmul_gflops():.0f} GFLOP/s"}, []
    with one_thread():
        for preset, size, batch, rounds in (("tiny", 64, BATCH, ROUNDS), ("nano", 16, 1, ONE_CHIP_ROUNDS)):
            seconds = cpu_seconds(_sides(preset, size, batch), rounds=rounds)
            unit = min(seconds["forward and backward"])
            for side, values in seconds.items():
                rows[f"{preset}, {size} px, {batch} chips: {side}"] = (
                    f"{1e3 * min(values):.2f} ms  ({min(values) / unit:.2f} units)"
                )
            for method, (label, target) in COSTS.items() if batch > 1 else ():
                value, spread = ratio_of_minima(seconds[method], seconds["forward and backward"])
                figures.append(Figure(label, value, "x", "lower", target, rounds, spread))
        figures += [*_faithful(rows), *_pointing(rows)]
    return Result(figures, rows)


def _sides(preset: str, size: int, batch: int) -> dict[str, Callable[[], object]]:
    torch.manual_seed(0)
    sensor = SENSORS["landsat7"]
    model = SpatialNetViT([sensor], [TASK], preset, chip_size=size, gsd_m=30.0).eval()
    pixels = torch.randn(batch, len(sensor.bands), size, size)

    def forward() -> object:
        with torch.no_grad():
            return model(pixels)

    def forward_backward() -> object:
        leaf = pixels.clone().requires_grad_()
        return torch.autograd.grad(score(model(leaf)[TASK.name], TASK, 0).sum(), leaf)

    sides: dict[str, Callable[[], object]] = {"forward": forward, "forward and backward": forward_backward}
    for method in COSTS:
        sides[method] = lambda method=method: attribute(model, {sensor.name: pixels}, TASK.name, 0, method)  # type: ignore[misc]
    return sides


def _faithful(rows: dict[str, str]) -> list[Figure]:
    """Deletion and insertion on even squares: a pattern is so plain that every good method marks the same patches."""
    model = _learnt(_even_squares)
    images, kinds, _ = _even_squares(CHIPS, 1)
    chosen = [chip for chip in range(CHIPS) if kinds[chip]]
    gains: dict[str, list[float]] = {name: [] for name in (*METHODS, "ig50")}
    for chip in chosen:
        pixels, kind = images[chip : chip + 1], int(kinds[chip])
        for name, found in gains.items():
            values = _ig50(model, pixels, kind) if name == "ig50" else _values(model, pixels, kind, name)
            measured = faithfulness(model, {"rgb": pixels}, LEARNT.name, kind, values, draws=1)
            found.append(measured.insertion - measured.deletion)
    rows["even squares"] = f"{_right(model, images, kinds)}; {len(chosen)} chips with one"
    for name, found in gains.items():
        rows[f"insertion minus deletion: {name}"] = f"{np.mean(found):.3f}"
    ours, theirs = np.array(gains[DEFAULT]), np.array(gains["ig50"])
    draws = _draws(len(chosen))
    ratios = ours[draws].mean(1) / theirs[draws].mean(1)
    value = float(ours.mean() / theirs.mean())
    return [Figure("default_over_ig50", value, "x", "higher", 1.0, len(chosen), _ends(ratios))]


def _pointing(rows: dict[str, str]) -> list[Figure]:
    model = _learnt(_patterns)
    images, kinds, masks = _patterns(CHIPS, 1)
    chosen = [chip for chip in range(CHIPS) if kinds[chip]]
    rows["patterns"] = f"{_right(model, images, kinds)}; {len(chosen)} chips with one"

    def hits(network: SpatialNetViT) -> list[float]:
        found = []
        for chip in chosen:
            values = _values(network, images[chip : chip + 1], int(kinds[chip]), DEFAULT)[0]
            cells = values.reshape(SIDE // PATCH, PATCH, SIDE // PATCH, PATCH).sum((1, 3))
            row, column = (PATCH * int(at) for at in np.unravel_index(cells.argmax(), cells.shape))
            found.append(float(masks[chip, row, column]))
        return found

    trained, random = np.array(hits(model)), np.array([hits(_model(seed)) for seed in range(UNTRAINED)])
    shuffled = np.array([_correlation(model, images[chip : chip + 1], int(kinds[chip])) for chip in chosen])
    draws, chance = _draws(len(chosen)), (SQUARE / SIDE) ** 2
    error = (chance * (1 - chance) / random.size) ** 0.5
    return [
        Figure("hit_rate", float(trained.mean()), "", "higher", 0.95, trained.size, _ends(trained[draws].mean(1))),
        Figure("hit_rate_randomised", float(random.mean()), "", "lower", chance + 2 * error, random.size,
               _ends(random.mean(0)[draws].mean(1))),
        Figure("randomised_correlation", float(shuffled.mean()), "", "lower", 0.1, shuffled.size, _ends(shuffled[draws].mean(1))),
    ]  # fmt: skip


def _values(model: SpatialNetViT, pixels: torch.Tensor, kind: int, method: str) -> npt.NDArray[np.float32]:
    return attribute(model, {"rgb": pixels}, LEARNT.name, kind, method).values


def _correlation(model: SpatialNetViT, pixels: torch.Tensor, kind: int) -> float:
    values = _values(model, pixels, kind, DEFAULT)
    return stability(model, {"rgb": pixels}, LEARNT.name, kind, DEFAULT, values).randomised


@torch.inference_mode()
def _right(model: SpatialNetViT, images: torch.Tensor, kinds: torch.Tensor) -> str:
    right = model(images)[LEARNT.name].argmax(1).eq(kinds).float().mean()
    return f"the model is right on {100 * float(right):.0f} % of {len(images)}"


def _draws(chips: int) -> npt.NDArray[np.int64]:
    return np.random.default_rng(0).integers(0, chips, (1000, chips))


def _ends(values: npt.NDArray[np.float64]) -> tuple[float, float]:
    low, high = np.quantile(values, [0.025, 0.975])
    return float(low), float(high)


def _ig50(model: SpatialNetViT, pixels: torch.Tensor, kind: int) -> npt.NDArray[np.float32]:
    method = IntegratedGradients(lambda images: score(model(images)[LEARNT.name], LEARNT, kind))
    found: torch.Tensor = method.attribute(pixels, n_steps=50, internal_batch_size=32)
    return found.sum(1).float().numpy()


def _model(seed: int = 0) -> SpatialNetViT:
    torch.manual_seed(seed)
    return SpatialNetViT([SENSORS["rgb"]], [LEARNT], "nano", chip_size=SIDE, gsd_m=1.0, patch=PATCH).eval()


def _learnt(chips: Chips) -> SpatialNetViT:
    """A model that has learnt which of two objects a chip holds, or none."""
    model = _model().train()
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, STEPS)
    for step in range(STEPS):
        images, kinds, _ = chips(32, 100 + step)
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(images)[LEARNT.name], kinds).backward()
        optimizer.step()
        schedule.step()
    return model.eval()


def _noise(count: int, seed: int) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """Noise (count, 3, side, side), a class for each, and where its object goes, on whole patches."""
    generator = np.random.default_rng(seed)
    images = generator.normal(0, 1, (count, 3, SIDE, SIDE)).astype(np.float32)
    kinds = generator.integers(0, 3, count)
    masks = np.zeros((count, SIDE, SIDE), bool)
    for chip in np.flatnonzero(kinds):
        row, column = generator.integers(0, (SIDE - SQUARE) // PATCH + 1, 2) * PATCH
        masks[chip, row : row + SQUARE, column : column + SQUARE] = True
    return images, kinds, masks


def _even_squares(count: int, seed: int) -> tuple[torch.Tensor, torch.Tensor, npt.NDArray[np.bool_]]:
    """Noise in which one band is even over a square; which band decides the class."""
    images, kinds, masks = _noise(count, seed)
    for chip in np.flatnonzero(kinds):
        images[chip, kinds[chip] - 1][masks[chip]] = 1.0
    return torch.from_numpy(images), torch.from_numpy(kinds), masks


def _patterns(count: int, seed: int) -> tuple[torch.Tensor, torch.Tensor, npt.NDArray[np.bool_]]:
    """Noise that holds one of two patterns as strong as itself, so that only a model that has learnt them can tell."""
    patterns = np.random.default_rng(0).normal(0, 1, (2, 3, SQUARE**2))
    images, kinds, masks = _noise(count, seed)
    for chip in np.flatnonzero(kinds):
        images[chip][:, masks[chip]] = patterns[kinds[chip] - 1]
    return torch.from_numpy(images), torch.from_numpy(kinds), masks
