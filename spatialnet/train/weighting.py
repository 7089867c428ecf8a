"""How the tasks' losses become one step: fixed, learned or random weights, or surgery on their gradients.

A step, in one part or several, on one process or several:

    weighting.begin_step(step, known)             # known: of the whole step, `MultiTaskLoss.known` summed over its parts
    for part in parts:
        losses = loss(logits, targets, weights, norm=known)
        weighting.backward(losses, shared, last=part is the last)
    optimizer.step()                              # the weighting's own parameters are among the optimiser's
    weighting.after_step(lambda: losses of the same chips again)

and `weighting.end_epoch(mean loss per task)` after each epoch. Whatever is random follows from the recipe's seed and the step,
so that a resumed run draws what an uninterrupted one does. Tasks without known targets in a step take no part in it: they get
no gradient, no share of the weights, and no change of their own state.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from spatialnet.model.losses import Losses
from spatialnet.recipe import Recipe

Reduce = Callable[[Tensor], None]
"""Sums a tensor over all processes, in place."""

_LEAST = 1e-8


class Weighting(nn.Module):
    """Fixed weights, and what all ways of weighting share. For `static` and `unscaled` (which differ in the losses).

    Args:
        names: the tasks.
        fixed: what a task's loss counts beside everything else; 1 for tasks that are not named.
        seed: of random choices.
    """

    def __init__(self, names: Sequence[str], fixed: Mapping[str, float], seed: int) -> None:
        super().__init__()
        self.names = tuple(names)
        self.fixed = {name: float(fixed.get(name, 1.0)) for name in names}
        self.seed, self.step = seed, 0
        self._known: Mapping[str, Tensor] | None = None
        self._used: dict[str, Tensor] = {}
        self._heard: Mapping[str, Tensor] = {}

    def begin_step(self, step: int, known: Mapping[str, Tensor] | None = None) -> None:
        """Say which step follows.

        Args:
            step: of the whole run, from 0.
            known: per task the known weight of the whole step; needed where a step has several parts or processes, else the
                losses say it themselves.
        """
        self.step, self._known, self._used = step, known, {}

    def total(self, losses: Losses) -> Tensor:
        """One scalar whose gradient is the step's (for `pcgrad`: before surgery), with `task_weights` applied.

        Args:
            losses: of the step, or of a part of it.
        """
        if not losses.tasks:
            return torch.zeros(())
        self._heard = losses.known if self._known is None else self._known
        factors, extra = self._factors(losses)
        device = next(iter(losses.tasks.values())).device
        total = torch.zeros((), device=device)
        for name, value in losses.tasks.items():
            total = total + self.fixed[name] * (factors[name] * value + extra.get(name, 0.0))
            self._used[name] = self.fixed[name] * torch.as_tensor(factors[name], device=device).detach()
        return total

    def backward(
        self,
        losses: Losses,
        shared: Sequence[nn.Parameter],
        scale: float = 1.0,
        *,
        last: bool = True,
        reduce: Reduce | None = None,
    ) -> None:
        """Add the gradient of a step, or of a part of it, to the parameters.

        Args:
            losses: of the part.
            shared: the parameters that all tasks use; only `pcgrad` asks for them.
            scale: factor on the gradient.
            last: whether this is the step's last part; only `pcgrad` asks, whose surgery needs the whole step.
            reduce: sums over processes; only `pcgrad` uses it, which then leaves gradients of `shared` that are already
                summed, alike on all processes.
        """
        del shared, last, reduce
        total = self.total(losses) * scale
        if total.requires_grad:
            torch.autograd.backward(total)

    def after_step(self, losses_of: Callable[[], Losses] | None, reduce: Reduce | None = None) -> None:
        """Look at the step that the optimiser made; only `famo` does.

        Args:
            losses_of: the losses of the step's chips with the changed model; called at most once, without gradients.
            reduce: sums over processes.
        """

    def end_epoch(self, means: Mapping[str, float]) -> None:
        """Hear an epoch's mean loss per task; only `dwa` does."""

    @property
    def weights(self) -> dict[str, float]:
        """What each task's loss counted in the last step, `task_weights` included; tasks that took no part are missing."""
        return {
            name: float(value)
            for name, value in self._used.items()
            if name in self._heard and float(self._heard[name]) > 0
        }

    def _factors(self, losses: Losses) -> tuple[Mapping[str, Tensor | float], Mapping[str, Tensor | float]]:
        """Per task the factor on its loss, and what is added to the product."""
        return dict.fromkeys(losses.tasks, 1.0), {}

    def _there(self, losses: Losses) -> Tensor:
        """(tasks,) bool: which tasks have known targets in the step."""
        known = self._known if self._known is not None else losses.known
        device = next(iter(losses.known.values())).device
        none = torch.zeros((), device=device)
        return torch.stack([known[n].detach().float() if n in known else none for n in self.names]) > 0

    def _row(self, values: Mapping[str, Tensor], like: Tensor) -> Tensor:
        """(tasks,) detached; 0 for tasks without an entry."""
        return torch.stack([values[n].detach() if n in values else like.new_zeros(()) for n in self.names])


class Uncertainty(Weighting):
    """Learned weights: exp(-s) L + s / 2 per task, half the first term for tasks of kind `count`.

    Source: Kendall et al., 2018 (arXiv 1705.07115).
    """

    def __init__(
        self, names: Sequence[str], fixed: Mapping[str, float], seed: int, halved: frozenset[str] = frozenset()
    ) -> None:
        super().__init__(names, fixed, seed)
        self.halved = halved
        self.log_variance = nn.ParameterDict({name: nn.Parameter(torch.zeros(())) for name in names})

    def _factors(self, losses: Losses) -> tuple[Mapping[str, Tensor | float], Mapping[str, Tensor | float]]:
        factors: dict[str, Tensor | float] = {}
        extra: dict[str, Tensor | float] = {}
        for name in losses.tasks:
            s = self.log_variance[name]
            factors[name] = torch.exp(-s) * (0.5 if name in self.halved else 1.0)
            # The share makes the parts of a step add up to one s / 2, and a task without targets to none.
            extra[name] = 0.5 * s * losses.share[name]
        return factors, extra


class DynamicAverage(Weighting):
    """Weights by how slowly a task's loss falls: tasks x softmax((L of the last epoch / L of the one before) / 2).

    Source: Liu et al., 2019 (arXiv 1803.10704), DWA.
    """

    older: Tensor
    newer: Tensor
    temperature = 2.0

    def __init__(self, names: Sequence[str], fixed: Mapping[str, float], seed: int) -> None:
        super().__init__(names, fixed, seed)
        self.register_buffer("older", torch.full((len(names),), math.nan))
        self.register_buffer("newer", torch.full((len(names),), math.nan))

    def end_epoch(self, means: Mapping[str, float]) -> None:
        """Remember the means of the last two epochs in which a task was seen."""
        for i, name in enumerate(self.names):
            if name in means:
                self.older[i] = self.newer[i]
                self.newer[i] = means[name]

    def _factors(self, losses: Losses) -> tuple[Mapping[str, Tensor | float], Mapping[str, Tensor | float]]:
        rates = self.newer / self.older.clamp_min(_LEAST)
        heard = ~rates.isnan() & self._there(losses).to(rates.device)
        weights = torch.where(heard, _softmax(rates / self.temperature, heard) * heard.sum(), 1.0)
        return {name: weights[self.names.index(name)] for name in losses.tasks}, {}


class Random(Weighting):
    """Weights drawn anew in each step: tasks x softmax of normal numbers. A control: what does not beat it is noise.

    Source: Lin et al., 2022 (arXiv 2111.10603), RLW.
    """

    def _factors(self, losses: Losses) -> tuple[Mapping[str, Tensor | float], Mapping[str, Tensor | float]]:
        there = self._there(losses)
        drawn = np.random.default_rng((self.seed, self.step, 4)).standard_normal(len(self.names))
        weights = _softmax(torch.from_numpy(drawn).float().to(there.device), there) * there.sum()
        return {name: weights[self.names.index(name)] for name in losses.tasks}, {}


class Famo(Weighting):
    """Weights that let the logarithms of all losses fall alike, learned from how much each fell in the last steps.

    The losses' own gradients are combined with z / L, made to sum to 1 times the number of tasks, where z is the softmax of
    learned numbers w. After the step the losses are looked at once more; w moves (Adam, rate 0.025, decay 0.001) from tasks
    that fell much to tasks that fell little. Where a step has several parts or processes, the means of L within each stand in
    for the step's in z / L.

    Source: Liu et al., 2023 (arXiv 2306.03792), FAMO, with the constants of its Algorithm 2.
    """

    logits: Tensor
    first: Tensor
    second: Tensor
    moves: Tensor
    rate, decay, betas = 0.025, 1e-3, (0.9, 0.999)

    def __init__(self, names: Sequence[str], fixed: Mapping[str, float], seed: int) -> None:
        super().__init__(names, fixed, seed)
        for name in ("logits", "first", "second", "moves"):
            self.register_buffer(name, torch.zeros(len(names)))
        self._before: tuple[Tensor, Tensor] | None = None

    def begin_step(self, step: int, known: Mapping[str, Tensor] | None = None) -> None:
        """Forget the step before."""
        super().begin_step(step, known)
        self._before = None

    def after_step(self, losses_of: Callable[[], Losses] | None, reduce: Reduce | None = None) -> None:
        """Move the weights by how much each loss fell."""
        if losses_of is None or self._before is None:
            return
        with torch.no_grad():
            again = losses_of()
            sums, shares = self._before
            now = torch.stack([self._row(again.tasks, sums), self._row(again.share, sums)])
            pairs = torch.stack([torch.stack([sums, shares]), now])
            if reduce is not None:
                reduce(pairs)
            there = (pairs[0, 1] > 0) & (pairs[1, 1] > 0)
            means = (pairs[:, 0] / pairs[:, 1].clamp_min(_LEAST)).clamp_min(_LEAST).log()
            fell = torch.where(there, means[0] - means[1], 0.0).to(self.logits.device)
            self._move(fell, there.to(self.logits.device))

    def _move(self, fell: Tensor, there: Tensor) -> None:
        z = _softmax(self.logits, there)
        gradient = z * (fell - (z * fell).sum()) + self.decay * self.logits
        low, high = self.betas
        self.moves += there
        self.first.copy_(torch.where(there, low * self.first + (1 - low) * gradient, self.first))
        self.second.copy_(torch.where(there, high * self.second + (1 - high) * gradient**2, self.second))
        count = self.moves.clamp_min(1)
        mean, square = self.first / (1 - low**count), self.second / (1 - high**count)
        self.logits -= torch.where(there, self.rate * mean / (square.sqrt() + _LEAST), 0.0)

    def _factors(self, losses: Losses) -> tuple[Mapping[str, Tensor | float], Mapping[str, Tensor | float]]:
        there = self._there(losses)
        sums = self._row(losses.tasks, next(iter(losses.known.values())))
        shares = self._row(losses.share, sums)
        past = self._before or (torch.zeros_like(sums), torch.zeros_like(shares))
        self._before = (past[0] + sums, past[1] + shares)
        means = (sums / shares.clamp_min(_LEAST)).clamp_min(_LEAST)
        weights = torch.where(there & (shares > 0), _softmax(self.logits.to(means.device), there) / means, 0.0)
        weights = weights / weights.sum().clamp_min(_LEAST) * there.sum()
        return {name: weights[self.names.index(name)] for name in losses.tasks}, {}


class Surgery(Weighting):
    """Each task's gradient on the shared parameters loses what points against another's, then they are added.

    One backward pass per task through the shared parameters, and one copy of their gradients per task. Parameters that are
    not shared get plain gradients. The projections are torchjd's, on the products between the gradients.

    Source: Yu et al., 2020 (arXiv 2001.06782), PCGrad.
    """

    def __init__(self, names: Sequence[str], fixed: Mapping[str, float], seed: int) -> None:
        super().__init__(names, fixed, seed)
        self._rows: dict[str, list[Tensor]] = {}

    def begin_step(self, step: int, known: Mapping[str, Tensor] | None = None) -> None:
        """Forget the step before."""
        super().begin_step(step, known)
        self._rows = {}

    def backward(
        self,
        losses: Losses,
        shared: Sequence[nn.Parameter],
        scale: float = 1.0,
        *,
        last: bool = True,
        reduce: Reduce | None = None,
    ) -> None:
        """One backward pass per task; the surgery after the last part."""
        self._heard = losses.known if self._known is None else self._known
        held = [parameter.grad for parameter in shared]
        values = [(name, value) for name, value in losses.tasks.items() if value.requires_grad]
        for i, (name, value) in enumerate(values):
            for parameter in shared:
                parameter.grad = None
            torch.autograd.backward(value * (self.fixed[name] * scale), retain_graph=i + 1 < len(values))
            row = [torch.zeros_like(p) if p.grad is None else p.grad for p in shared]
            if name in self._rows:
                torch._foreach_add_(self._rows[name], row)
            else:
                self._rows[name] = row
        for parameter, gradient in zip(shared, held, strict=True):
            parameter.grad = gradient
        if last:
            self._operate(shared, reduce)

    def _operate(self, shared: Sequence[nn.Parameter], reduce: Reduce | None) -> None:
        # Every process must know of the same tasks, or their sums would not meet.
        names = self.names if reduce is not None else tuple(n for n in self.names if n in self._rows)
        rows = [self._rows.get(n) or [torch.zeros_like(p) for p in shared] for n in names]
        self._rows = {}
        if not rows or not len(shared):
            return
        if reduce is not None:
            for row in rows:
                for part in row:
                    reduce(part)
        weights = self._projected(_products(rows))
        for i, parameter in enumerate(shared):
            combined = torch.stack([row[i] for row in rows], -1) @ weights.to(rows[0][i].dtype)
            parameter.grad = combined if parameter.grad is None else parameter.grad + combined
        self._used = {n: self.fixed[n] * weight for n, weight in zip(names, weights, strict=True)}

    def _projected(self, products: Tensor) -> Tensor:
        from torchjd.aggregation import PCGradWeighting  # only this way of weighting needs it

        seed = int(np.random.SeedSequence((self.seed, self.step, 5)).generate_state(1)[0])
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)  # torchjd draws the order of the projections from the process's generator
            return PCGradWeighting()(products)


def make_weighting(recipe: Recipe, names: Sequence[str], counts: Sequence[str] = ()) -> Weighting:
    """The weighting that a recipe asks for.

    Args:
        recipe: its `weighting`, `task_weights` and `seed` are used.
        names: the tasks that are learnt.
        counts: those of kind `count`.
    """
    fixed = dict(recipe.task_weights)
    if recipe.weighting == "uncertainty":
        return Uncertainty(names, fixed, recipe.seed, frozenset(counts))
    kind = {"dwa": DynamicAverage, "rlw": Random, "famo": Famo, "pcgrad": Surgery}.get(recipe.weighting, Weighting)
    return kind(names, fixed, recipe.seed)


def gradient_conflicts(losses: Losses, shared: Sequence[nn.Parameter]) -> dict[str, float]:
    """Cosine between the tasks' gradients on the parameters they share, -1..1; below 0 one task's step harms the other.

    Pairs with a task that has no gradient are missing. Leaves graphs and gradients as they are.

    Args:
        losses: with their graphs.
        shared: the parameters.

    Returns:
        By `<task>|<task>`, in the order of the losses.
    """
    rows, names = [], []
    for name, value in losses.tasks.items():
        if value.requires_grad and float(losses.known[name]) > 0:
            found = torch.autograd.grad(value, list(shared), retain_graph=True, allow_unused=True)
            rows.append([torch.zeros_like(p) if g is None else g for g, p in zip(found, shared, strict=True)])
            names.append(name)
    if len(rows) < 2:
        return {}
    products = _products(rows).double().cpu()
    lengths = products.diagonal().sqrt()
    return {
        f"{names[i]}|{names[j]}": float(products[i, j] / (lengths[i] * lengths[j]))
        for i in range(len(names))
        for j in range(i + 1, len(names))
        if lengths[i] > 0 and lengths[j] > 0
    }


def _products(rows: Sequence[Sequence[Tensor]]) -> Tensor:
    """(rows, rows) inner products over all tensors of a row."""
    total = torch.zeros(len(rows), len(rows), device=rows[0][0].device)
    for parts in zip(*rows, strict=True):
        stacked = torch.stack([part.flatten().float() for part in parts])
        total += stacked @ stacked.T
    return total


def _softmax(values: Tensor, mask: Tensor) -> Tensor:
    """Softmax over the entries in `mask`; 0 elsewhere, also where it is empty."""
    return torch.where(mask, values.masked_fill(~mask, -math.inf).softmax(0), 0.0)
