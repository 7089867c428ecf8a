"""Training and inference on a GPU, beside that GPU's own limits measured in the same call.

Figures:
    vit_b16_224_train_of_matmul   arithmetic of training ViT-B/16 at 224 px, 3 bands, over the matrix-product ceiling (target 0.45)
    vit_b16_224_infer_of_matmul   the same of inference (target 0.50)
    vit_s8_64_train_of_roofline   chips per second of training ViT-S/8 at 64 px, 13 bands, over the serial roofline (target 0.65)
    vit_s8_64_infer_of_roofline   the same of inference (target 0.65)
    augment_over_copy             bytes per second through the default augmentation over those of a copy (target 0.5)
    epoch_over_plain              time of an epoch without augmentation over one with it (target 0.95)
    peak_gib                      most GPU memory used; the target is what the GPU has

Training is our own loop at its defaults on packed synthetic chips that lie on the GPU: gathering, augmentation, forward in bfloat16,
three losses, backward, clipping, AdamW and averaged weights all count as time, only the plain transformer's arithmetic as work
(three times the forward pass). Inference has weights in bfloat16. The ceilings are the best bfloat16 product of square matrices and
the best copy (read plus written). The serial roofline adds the time for the arithmetic at the one ceiling to that for 72 x width bytes
per token and block at the other; training counts three times.

It needs a GPU, PyTorch, timm, NumPy and safetensors, nothing else. Without a GPU it says so. It leaves out what does not fit into
eight minutes, and says so.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.figures import CannotRun, Figure, Result

if TYPE_CHECKING:
    import torch

    from spatialnet.train.loop import Training

MOST_SECONDS = 420
"""No new part is begun after this long."""

_TOKEN_BYTES = 72
"""Bytes moved per token, block and unit of width, in bfloat16, forward."""


@dataclass(frozen=True)
class Network:
    """A model, its chips, and what it is measured against."""

    label: str
    preset: str
    sensor: str
    side: int
    chips: int
    train_batch: int
    infer_batches: tuple[int, ...]
    against: str
    train_target: float
    infer_target: float


@dataclass(frozen=True)
class Sizes:
    """How much is measured; a test measures next to nothing.

    Attributes:
        networks: what is trained and asked.
        matrix: sides of the square matrices whose product is the ceiling.
        copied: bytes of the copy.
        steps: training steps per round.
        rounds: of which the best counts.
        compile: as in a recipe.
    """

    networks: tuple[Network, ...]
    matrix: tuple[int, ...] = (8192,)
    copied: int = 4 << 30
    steps: int = 16
    rounds: int = 3
    compile: str = "auto"


FULL = Sizes((
    Network("vit_s8_64", "small", "sentinel2_l1c", 64, 8192, 1024, (512, 1024, 2048), "roofline", 0.65, 0.65),
    Network("vit_b16_224", "base", "rgb", 224, 2048, 256, (128, 256, 512), "matmul", 0.45, 0.50),
))  # fmt: skip


@dataclass(frozen=True)
class Ceilings:
    """What the device can do: operations per second, and bytes read plus written per second."""

    matmul: float
    copy: float


def run(shared: Path | None) -> Result:  # noqa: ARG001 - this one needs no shared data
    """Measure on the first GPU."""
    import torch

    if not torch.cuda.is_available():
        raise CannotRun("It needs a CUDA GPU that PyTorch can use.")
    return measure(torch.device("cuda", 0), FULL)


def measure(device: torch.device, sizes: Sizes) -> Result:
    """All figures on a device; on a processor they mean nothing, but every line runs.

    Args:
        device: where.
        sizes: how much.
    """
    import torch

    began = time.monotonic()
    limits = _ceilings(device, sizes)
    rows = {
        "device": f"{torch.cuda.get_device_name(device) if device.type == 'cuda' else 'processor'}, PyTorch {torch.__version__}",
        "matrix product, bfloat16": f"{limits.matmul / 1e12:.4g} TFLOP/s",
        "copy, read + written": f"{limits.copy / 1e12:.4g} TB/s",
    }
    figures: list[Figure] = []
    for number, network in enumerate(sizes.networks):
        if time.monotonic() - began > MOST_SECONDS:
            rows[network.label] = "left out: no time was left"
            continue
        with tempfile.TemporaryDirectory() as folder:
            found, shown = _network(Path(folder), device, network, sizes, limits, with_epoch=number == 0)
        figures += found
        rows |= shown
    total = 0.0
    if device.type == "cuda":
        total = torch.cuda.get_device_properties(device).total_memory / 2**30
        peak = torch.cuda.max_memory_allocated(device) / 2**30
        figures.append(Figure("peak_gib", peak, "GiB", "lower", total, 1, (peak, peak)))
    return Result(figures, rows)


def _network(
    folder: Path, device: torch.device, network: Network, sizes: Sizes, limits: Ceilings, *, with_epoch: bool
) -> tuple[list[Figure], dict[str, str]]:
    import torch

    from benchmarks.generated import noise
    from spatialnet.recipe import Recipe
    from spatialnet.sensors import SENSORS

    data = noise(folder / "chips", SENSORS[network.sensor], network.chips, network.side)
    recipe = Recipe(
        preset=network.preset, batch_size=network.train_batch, precision="bfloat16", compile=sizes.compile, epochs=1000
    )
    training = _training(folder / "augmented", data, recipe, device)
    work = forward_flops(training.model)
    sides = {"augmented": _steps(training, sizes.steps)}
    if with_epoch:
        without = replace(recipe, flips=False, brightness=0.0, noise=0.0)
        sides["plain"] = _steps(_training(folder / "plain", data, without, device), sizes.steps)
    seconds = _timed(sides, device, sizes.rounds, warm=2)
    rates = [network.train_batch * sizes.steps / s for s in seconds["augmented"]]
    figures = [_figure(network, "train", rates, network.train_target, 3 * work, training.model, limits)]
    rows = {f"{network.label} training": _said(rates, network.train_batch)}
    if with_epoch:
        value = min(seconds["plain"]) / min(seconds["augmented"])
        paired = [a / b for a, b in zip(seconds["plain"], seconds["augmented"], strict=True)]
        figures.append(
            Figure(
                "epoch_over_plain",
                value,
                "x",
                "higher",
                0.95,
                sizes.rounds,
                (min([value, *paired]), max([value, *paired])),
            )
        )
        more, shown = _augmentation(training, device, sizes, limits)
        figures.append(more)
        rows |= shown
    del sides
    model = training.model
    del training
    if device.type == "cuda":
        torch.cuda.empty_cache()
    asked = {batch: _asked(model, network, device, batch, sizes) for batch in network.infer_batches}
    best = max(asked, key=lambda batch: max(asked[batch]))
    figures.append(_figure(network, "infer", asked[best], network.infer_target, work, model, limits))
    rows[f"{network.label} inference"] = _said(asked[best], best)
    return figures, rows


def _figure(
    network: Network, kind: str, rates: Sequence[float], target: float, flops: float, model: Any, limits: Ceilings
) -> Figure:
    """A figure from chips per second."""
    times = 3 if kind == "train" else 1
    top = limits.matmul / flops
    if network.against == "roofline":
        top = 1 / (flops / limits.matmul + times * forward_bytes(model) / limits.copy)
    shares = [rate / top for rate in rates]
    return Figure(
        f"{network.label}_{kind}_of_{network.against}",
        max(shares),
        "x",
        "higher",
        target,
        len(shares),
        (min(shares), max(shares)),
    )


def _said(rates: Sequence[float], batch: int) -> str:
    return f"{max(rates):,.0f} chips/s (lowest {min(rates):,.0f}), {batch} at once"


def forward_flops(model: Any) -> float:
    """Operations (two per multiplication) of a plain vision transformer of the model's size on one chip: patches, products with
    weights, attention. What our model has beside them is not counted as work.
    """  # noqa: D205 - one thought
    patches = model.grid[0] * model.grid[1]
    tokens, width = patches + model.prefix, model.dim
    bands = sum(len(sensor.bands) for sensor in model.sensors.values())
    blocks = len(model.blocks) * (24 * tokens * width**2 + 4 * tokens**2 * width)
    return float(blocks + 2 * patches * model.patch**2 * bands * width)


def forward_bytes(model: Any) -> float:
    """Bytes that a forward pass of one chip moves in bfloat16 where nothing is fused with the products."""
    return float(_TOKEN_BYTES * model.dim * (model.grid[0] * model.grid[1] + model.prefix) * len(model.blocks))


def _ceilings(device: torch.device, sizes: Sizes) -> Ceilings:
    import torch

    products = []
    for side in sizes.matrix:
        a, b = (torch.randn(side, side, device=device, dtype=torch.bfloat16) for _ in range(2))
        seconds = _timed({"": lambda a=a, b=b: _repeat(lambda: a @ b, 8)}, device, 2 * sizes.rounds)[""]  # type: ignore[misc]
        products.append(8 * 2 * side**3 / min(seconds))
    source = torch.zeros(sizes.copied // 4, device=device)
    target = torch.empty_like(source)
    seconds = _timed({"": lambda: _repeat(lambda: target.copy_(source), 4)}, device, 2 * sizes.rounds)[""]
    return Ceilings(max(products), 4 * 2 * source.nbytes / min(seconds))


def _repeat(work: Callable[[], object], times: int) -> None:
    for _ in range(times):
        work()


def _timed(
    sides: dict[str, Callable[[], None]], device: torch.device, rounds: int, *, warm: int = 1
) -> dict[str, list[float]]:
    """Wall seconds of each side, interleaved, each waited for."""
    import torch

    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(rounds + warm):
        for name, work in sides.items():
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            start = time.perf_counter()
            work()
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            if number >= warm:
                seconds[name].append(time.perf_counter() - start)
    return seconds


def _training(folder: Path, data: Any, recipe: Any, device: torch.device) -> Training:
    from spatialnet.train.loop import Training

    folder.mkdir()
    training = Training(folder, [data], recipe, device, folder)
    training.make_ready(lambda _: False)
    return training


def _steps(training: Training, steps: int) -> Callable[[], None]:
    return lambda: _repeat(training.step, steps)


def _augmentation(
    training: Training, device: torch.device, sizes: Sizes, limits: Ceilings
) -> tuple[Figure, dict[str, str]]:
    """The default augmentation alone; crops beside it."""
    from spatialnet.train.augment import augment

    chips = training.sets[0].train
    images = chips.batch(torch_range(len(chips))).images
    moved = 2 * sum(pixels.nbytes for pixels in images.values())

    def through(recipe: Any) -> Callable[[], None]:
        return lambda: _repeat(lambda: augment(images, training.model.sensors, recipe, training.generator), 4)

    sides = {"default": through(training.recipe), "with crops": through(replace(training.recipe, crop=0.5))}
    seconds = _timed(sides, device, 2 * sizes.rounds, warm=2)
    shares = {name: [4 * moved / s / limits.copy for s in times] for name, times in seconds.items()}
    value = max(shares["default"])
    rows = {
        f"augmentation, {name}": f"{max(times) * limits.copy / 1e12:.4g} TB/s, {max(times):.2f} of the copy"
        for name, times in shares.items()
    }
    spread = (min(shares["default"]), value)
    return Figure("augment_over_copy", value, "x", "higher", 0.5, len(shares["default"]), spread), rows


def torch_range(count: int) -> torch.Tensor:
    """The numbers from 0."""
    import torch

    return torch.arange(count)


def _asked(model: Any, network: Network, device: torch.device, batch: int, sizes: Sizes) -> list[float]:
    """Chips per second of the forward pass in bfloat16 at a batch size."""
    import torch

    model.eval().to(torch.bfloat16)
    bands = sum(len(sensor.bands) for sensor in model.sensors.values())
    images = torch.randn(batch, bands, network.side, network.side, device=device, dtype=torch.bfloat16)

    @torch.inference_mode()
    def ask() -> None:
        for _ in range(sizes.steps):
            model(images)

    return [batch * sizes.steps / s for s in _timed({"": ask}, device, sizes.rounds, warm=2)[""]]
