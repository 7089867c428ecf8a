"""How far to trust an attribution: does the answer change when the marked places are removed?

Deletion removes places in the order of the map, most evidence first; insertion adds them to an empty chip. Both are
measured against random maps of equal smoothness, because a smooth map removes whole objects and so beats scattered
noise by its smoothness alone; and beside a map of the chip's edges, which knows nothing of the model.

Source: Petsiuk, Das and Saenko, "RISE", BMVC 2018, arXiv 1806.07421 (deletion and insertion); random maps by phase
randomisation: Theiler et al., "Testing for nonlinearity in time series", Physica D 58, 1992.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from spatialnet.errors import ExplanationFailed
from spatialnet.explain.question import Question, ask, left_as_found
from spatialnet.model import SpatialNetViT

Verdict = Literal["faithful", "weak", "no better than chance"]
Curves = npt.NDArray[np.float64]

FILL = "training mean of each band"
"""What removed places show: 0 in normalised units."""

DRAWS = 16
"""Random maps. Each also counts upside down, where deletion and insertion change places and the gain its sign: free."""

FAITHFUL, WEAK = 0.03, 0.06
"""Largest chance, for each verdict, that a random map does as well. With 16 maps: better than all, than all but one.

A rank, because the spread of random maps says little here: it is wide where one place decides, and a perfect map is
then only about 2.5 standard deviations away.
"""

STEPS = 8
"""Places are removed in this many equal parts."""

MOST_CELLS = 16
"""At most this many places along a side of the chip; a place is a patch, or several."""

LEAST_CHANGE = 0.005
"""Changes of the answer below this (0.5 points of probability) are not told apart."""

FORWARD_BATCH = 64


@dataclass(frozen=True)
class Faithfulness:
    """What removing and showing the marked places does to the answer, beside random places of equal smoothness.

    The answer is the probability of the class; for `count` tasks the count.

    Attributes:
        deletion: mean answer while places are removed, most evidence first; lower is better.
        insertion: mean answer while places are shown, most evidence first; higher is better.
        edge_gain: insertion minus deletion of the chip's edges, in the unit of the answer.
        random_deletion: mean of the random maps' deletion.
        random_insertion: mean of the random maps' insertion.
        margin: gain (insertion minus deletion) in standard deviations of the random maps' gains, whose mean is 0.
        chance: how often a random map would gain as much, from the rank among the random maps: 1 / 34 is the least.
        verdict: `faithful` if `chance` is at most 0.03 and the edges gain less, `weak` if at most 0.06, else `no better than
            chance`.
        sentence: the same for people.
        fill: what removed places show.
        draws: how many random maps.
        curves: for plotting, lists of equal length: `fraction` removed or shown 0..1, `deletion`, `insertion`, and
            the edges' `edge_deletion`, `edge_insertion`, and the random maps' means `random_deletion`, `random_insertion`.
        randomised: see `spatialnet.explain.stability.Stability`; None where it was not checked.
        noise: the same.
    """

    deletion: float
    insertion: float
    edge_gain: float
    random_deletion: float
    random_insertion: float
    margin: float
    chance: float
    verdict: Verdict
    sentence: str
    fill: str
    draws: int
    curves: dict[str, list[float]]
    randomised: float | None = None
    noise: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """The result as JSON-ready values."""
        return asdict(self)


def faithfulness(
    model: SpatialNetViT,
    images: Mapping[str, Tensor],
    task: str,
    class_index: int,
    values: npt.NDArray[np.floating[Any]],
    *,
    present: Mapping[str, Tensor] | None = None,
    gsd: Tensor | None = None,
    seed: int = 0,
    draws: int = DRAWS,
    against: int | None = None,
) -> Faithfulness:
    """Measure one chip's attribution by deletion and insertion. The model is left exactly as found.

    Args:
        model: the run's model.
        images: what `model.prepare` gave, for one chip: per sensor (1, bands, height, width).
        task: name of the task.
        class_index: index into the task's classes.
        values: the attribution, (height, width) or (1, height, width); higher = more evidence for the class.
        present: (1,) bool per sensor; default True.
        gsd: (1,) metres per pixel; default the model's own.
        seed: of the random maps and of the order among equal values.
        draws: random maps; with fewer than 16 none can be called faithful.
        against: another class; the answer is then the probability of the one where it is one of these two.

    Raises:
        ExplanationFailed: more than one chip, or values that do not fit it or are not finite.
    """
    question = ask(model, images, task, class_index, present=present, gsd=gsd, against=against)
    chip_map = np.asarray(values[0] if values.ndim == 3 and len(values) == 1 else values, np.float64)
    if question.batch != 1 or chip_map.shape != question.size or not np.isfinite(chip_map).all():
        raise ExplanationFailed(
            f"Faithfulness needs one chip and its map of finite values; {question.batch} chips of {question.size} px "
            f"and a map of shape {values.shape} were given. Pass one chip at a time."
        )
    rows, columns = (max(1, min(MOST_CELLS, round(side / model.patch))) for side in question.size)
    cells = F.adaptive_avg_pool2d(torch.from_numpy(chip_map)[None], (rows, columns))[0].numpy()
    generator = np.random.default_rng(seed)
    edges = F.adaptive_avg_pool2d(edge_map(question)[None], (rows, columns))[0].numpy()
    ordered = [cells, *random_maps(cells, draws, generator), edges]
    orders = [_order(one, generator) for one in ordered]
    with torch.inference_mode(), left_as_found(model):
        fraction, deletion, insertion = _curves(question, np.stack(orders), (rows, columns))
    return _judge(fraction, deletion, insertion, flat=bool(np.ptp(cells) == 0))


def edge_map(question: Question) -> Tensor:
    """How strongly the pixels of one chip change from place to place, (height, width) float64: Sobel's gradient, mean over bands.

    A map of the chip alone: what does no better than this says little about the model.
    """
    kernel = torch.tensor([[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]], dtype=torch.float64)
    found = []
    for tensor in question.inputs:
        bands = F.pad(tensor[0].detach().cpu().double()[:, None], (1, 1, 1, 1), mode="replicate")
        across, down = (F.conv2d(bands, k[None, None]) for k in (kernel, kernel.T))
        found.append(F.interpolate(torch.hypot(across, down).mean(0)[None], size=question.size, mode="nearest-exact"))
    return torch.stack(found).mean(0)[0, 0]


def random_maps(
    values: npt.NDArray[np.floating[Any]], draws: int, generator: np.random.Generator
) -> npt.NDArray[np.float64]:
    """Random maps with the spatial autocorrelation of `values`.

    The amplitudes of its Fourier transform are kept, so the power spectrum and with it the (circular) autocorrelation
    is the same; the phases are those of white noise. A flat map gives white noise.

    Args:
        values: (height, width).
        draws: how many.
        generator: the source of randomness.

    Returns:
        (draws, height, width), each with mean 0.
    """
    amplitude = np.abs(np.fft.fft2(values - values.mean()))
    if amplitude.max() <= 1e-12 * (np.abs(values).max() + 1e-300):
        amplitude = np.ones_like(amplitude)
        amplitude[0, 0] = 0.0
    noise = np.fft.fft2(generator.standard_normal((draws, *values.shape)))
    return np.fft.ifft2(amplitude * np.exp(1j * np.angle(noise))).real


def _order(cells: npt.NDArray[np.floating[Any]], generator: np.random.Generator) -> npt.NDArray[np.int64]:
    """Indices of the cells, most evidence first, equal values in random order."""
    flat = cells.ravel()
    return np.lexsort((generator.random(flat.size), -flat))


def _curves(question: Question, orders: npt.NDArray[np.int64], grid: tuple[int, int]) -> tuple[Curves, Curves, Curves]:
    """Fractions (steps + 1,), and the answers while deleting and inserting (orders, steps + 1)."""
    count = orders.shape[1]
    cuts = np.unique(np.rint(np.linspace(0, count, STEPS + 1)).astype(int))
    rank = np.argsort(orders, axis=1)
    marked = rank[:, None, :] < cuts[None, :, None]  # (orders, steps + 1, cells): the first so many of each order
    # Nothing or everything is marked at the ends, the same for all orders: two of them stand for all.
    inner = marked[:, 1:-1].reshape(-1, count)
    shown = np.concatenate([~inner, inner, ~marked[:1, 0], marked[:1, 0]])
    answers = _answers(question, torch.from_numpy(shown.reshape(-1, *grid)))
    middle = answers[:-2].reshape(2, len(orders), len(cuts) - 2)
    whole, blank = np.full((len(orders), 1), answers[-2]), np.full((len(orders), 1), answers[-1])
    deletion = np.concatenate([whole, middle[0], blank], 1)
    insertion = np.concatenate([blank, middle[1], whole], 1)
    return cuts / count, deletion, insertion


def _answers(question: Question, shown: Tensor) -> npt.NDArray[np.float64]:
    """The class's probability or count for the chip with only some cells shown: (masks, rows, columns) -> (masks,)."""
    parts = []
    for start in range(0, len(shown), FORWARD_BATCH):
        some = shown[start : start + FORWARD_BATCH, None].to(question.model.device)
        masked = []
        for tensor in question.inputs:
            mask = F.interpolate(some.float(), size=tensor.shape[-2:], mode="nearest-exact") > 0
            masked.append(torch.where(mask, tensor, 0.0))
        context = [tensor.expand(len(some)) for tensor in question.context]
        parts.append(question.probability(question.logits(*masked, *context)))
    answers = torch.cat(parts).double().cpu().numpy()
    if not np.isfinite(answers).all():
        raise ExplanationFailed("The model's answer for this chip is not a number. Train the run again.")
    return answers


def _judge(fraction: Curves, deletion: Curves, insertion: Curves, *, flat: bool) -> Faithfulness:
    """The verdict from the curves; row 0 is the map, the last one the edges, those between are random."""
    edges = deletion[-1], insertion[-1]
    edge_gain = float(np.trapezoid(edges[1] - edges[0], fraction))
    deletion, insertion = deletion[:-1], insertion[:-1]
    below, above = (np.asarray(np.trapezoid(curve, fraction, axis=1)) for curve in (deletion, insertion))
    gain = above - below
    # Counts have no upper end: there the least change is a fraction of the answer.
    least = LEAST_CHANGE * max(1.0, abs(float(deletion[0, 0])))
    spread = float(np.sqrt((gain[1:] ** 2).mean()))
    chance = float((1 + (np.abs(gain[1:]) >= gain[0]).sum()) / (2 * len(gain))) if gain[0] > least else 1.0
    verdict: Verdict = "no better than chance"
    if not flat and chance <= WEAK:
        verdict = "faithful" if chance <= FAITHFUL else "weak"
    by_edges = verdict == "faithful" and edge_gain > gain[0] - least
    # Upside down a random map swaps its curves, so both have one mean.
    random = (deletion[1:].mean(0) + insertion[1:, ::-1].mean(0)) / 2
    random_area = float(np.trapezoid(random, fraction))
    whole = float(deletion[0, 0])
    sentence = _sentence(verdict, whole - float(below[0]), whole - random_area, least)
    if by_edges:
        verdict = "weak"
        sentence += " The chip's edges alone do as well."
    return Faithfulness(
        deletion=float(below[0]),
        insertion=float(above[0]),
        edge_gain=edge_gain,
        random_deletion=random_area,
        random_insertion=random_area,
        margin=float(gain[0]) / max(spread, least),
        chance=chance,
        verdict=verdict,
        sentence=sentence,
        fill=FILL,
        draws=len(below) - 1,
        curves={
            "fraction": fraction.tolist(),
            "deletion": deletion[0].tolist(),
            "insertion": insertion[0].tolist(),
            "edge_deletion": edges[0].tolist(),
            "edge_insertion": edges[1].tolist(),
            "random_deletion": random.tolist(),
            "random_insertion": random[::-1].tolist(),
        },
    )


def _sentence(verdict: Verdict, fall: float, random_fall: float, least: float) -> str:
    """One plain sentence; `fall` is how far the answer falls on average while marked places are removed."""
    random = "random places of the same smoothness"
    if verdict == "no better than chance":
        return f"Removing what this map marks does not change the answer clearly more than removing {random}."
    hint = "" if verdict == "faithful" else ", little more than chance allows"
    if random_fall > least and fall / random_fall >= 1.1:
        times = f"{min(fall / random_fall, 99.0):.1f}"
        return f"Removing what this map marks changes the answer {times} times as much as removing {random}{hint}."
    if fall > least and random_fall <= least:
        amount = f"{fall:.2f} on average"
        return f"Removing what this map marks lowers the answer by {amount}, removing {random} does not{hint}."
    return f"Showing only what this map marks brings back more of the answer than showing {random}{hint}."
