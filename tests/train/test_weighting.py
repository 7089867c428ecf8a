import math

import pytest
import torch
from torch import nn

from spatialnet.model.losses import Losses
from spatialnet.recipe import WEIGHTINGS, Recipe
from spatialnet.train.weighting import gradient_conflicts, make_weighting

NAMES = ("a", "b", "c")


def weighting(method, names=NAMES, counts=(), **options):
    return make_weighting(Recipe(weighting=method, **options), names, counts)


def losses(**values):
    """Losses of a whole step; None: the task has no known target."""
    zero = torch.zeros(())
    tasks = {name: zero if value is None else torch.as_tensor(value) for name, value in values.items()}
    known = {name: torch.tensor(0.0 if value is None else 4.0) for name, value in values.items()}
    return Losses(tasks, known, {name: (amount > 0).float() for name, amount in known.items()})


@pytest.mark.parametrize("method", ["static", "unscaled"])
def test_fixed_weights_are_the_recipes(method):
    fixed = weighting(method, task_weights={"b": 0.25})
    assert fixed.total(losses(a=1.0, b=2.0, c=None)).item() == pytest.approx(1.5)
    assert fixed.weights == {"a": 1.0, "b": 0.25}
    # Known elsewhere in the step, though not in this part.
    fixed.begin_step(0, {"a": torch.tensor(4.0), "b": torch.tensor(4.0), "c": torch.tensor(1.0)})
    fixed.total(losses(a=1.0, b=2.0, c=None))
    assert fixed.weights == {"a": 1.0, "b": 0.25, "c": 1.0}


def test_uncertainty_costs_what_its_formula_says():
    learned = weighting("uncertainty", counts=("c",), task_weights={"b": 2.0})
    with torch.no_grad():
        for name, value in zip(NAMES, (0.0, 0.4, -0.6), strict=True):
            learned.log_variance[name].fill_(value)
    total = learned.total(losses(a=1.0, b=2.0, c=3.0))
    expected = 1.0 + 2 * (math.exp(-0.4) * 2 + 0.2) + 0.5 * math.exp(0.6) * 3 - 0.3
    assert total.item() == pytest.approx(expected)
    assert learned.weights == pytest.approx({"a": 1.0, "b": 2 * math.exp(-0.4), "c": 0.5 * math.exp(0.6)})
    total.backward()
    assert learned.log_variance["b"].grad.item() == pytest.approx(2 * (0.5 - 2 * math.exp(-0.4)))


def test_uncertainty_counts_its_own_term_once_over_the_parts_of_a_step():
    learned = weighting("uncertainty", names=("a",))
    learned.log_variance["a"].data.fill_(0.5)
    parts = [
        Losses({"a": torch.tensor(v)}, {"a": torch.tensor(s)}, {"a": torch.tensor(s)})
        for v, s in ((0.3, 0.25), (0.9, 0.75))
    ]
    for part in parts:
        learned.backward(part, [])
    assert learned.log_variance["a"].grad.item() == pytest.approx(0.5 - 1.2 * math.exp(-0.5))


def test_dynamic_average_weighs_by_how_slowly_losses_fell():
    average = weighting("dwa")
    average.total(losses(a=1.0, b=1.0, c=1.0))
    assert average.weights == {"a": 1.0, "b": 1.0, "c": 1.0}
    average.end_epoch({"a": 1.0, "b": 1.0})
    average.end_epoch({"a": 0.5, "b": 1.0, "c": 1.0})
    average.total(losses(a=1.0, b=1.0, c=1.0))
    slow, fast = math.exp(1 / 2), math.exp(0.5 / 2)
    assert average.weights == pytest.approx({"a": 2 * fast / (slow + fast), "b": 2 * slow / (slow + fast), "c": 1.0})
    average.total(losses(a=1.0, b=None, c=1.0))
    assert average.weights["a"] == pytest.approx(1.0)
    average.end_epoch({"b": 0.1})
    assert average.newer.tolist() == pytest.approx([0.5, 0.1, 1.0])
    assert average.older[:2].tolist() == pytest.approx([1.0, 1.0])


def test_random_weights_follow_from_seed_and_step():
    def drawn(seed, step, **values):
        control = weighting("rlw", seed=seed)
        control.begin_step(step)
        control.total(losses(**values))
        return control.weights

    everything = {"a": 1.0, "b": 1.0, "c": 1.0}
    assert drawn(3, 7, **everything) == drawn(3, 7, **everything)
    assert drawn(3, 7, **everything) != drawn(3, 8, **everything)
    assert drawn(3, 7, **everything) != drawn(4, 7, **everything)
    assert sum(drawn(3, 7, **everything).values()) == pytest.approx(3)
    assert min(drawn(3, 7, **everything).values()) > 0
    partial = drawn(3, 7, a=1.0, b=None, c=1.0)
    assert "b" not in partial
    assert partial["a"] + partial["c"] == pytest.approx(2)


class Pair(nn.Module):
    """Two squared distances from one point, the second task's a hundred times as large."""

    def __init__(self):
        super().__init__()
        self.point = nn.Parameter(torch.tensor([0.0, 0.0]))

    def forward(self, **unknown):
        large = 100 * (self.point[0] - 1) ** 2 + 1e-3
        small = (self.point[1] - 1) ** 2 + 1e-3
        return losses(**({"a": large, "b": small} | unknown))


def famo_trained(steps=60, method="famo"):
    model, balanced = Pair(), weighting(method, names=("a", "b"))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.004)
    for step in range(steps):
        balanced.begin_step(step)
        optimizer.zero_grad()
        balanced.backward(model(), [])
        optimizer.step()
        balanced.after_step(model)
    return model, balanced


def test_famo_lowers_the_worst_task_further_than_fixed_weights():
    worst = {m: max((1 - famo_trained(method=m)[0].point).abs().tolist()) for m in ("famo", "static")}
    assert worst["famo"] < 0.8 * worst["static"]


def test_famo_combines_gradients_by_z_over_loss_and_moves_to_the_task_that_fell_less():
    balanced = weighting("famo", names=("a", "b"))
    balanced.begin_step(0)
    balanced.total(losses(a=2.0, b=0.5))
    assert balanced.weights == pytest.approx({"a": 2 * 0.5 / 2.5, "b": 2 * 2 / 2.5})
    balanced.after_step(lambda: losses(a=1.0, b=0.5))
    # Adam's first move is the rate, whatever the gradient's size.
    assert balanced.logits.tolist() == pytest.approx([-0.025, 0.025], rel=1e-4)


def test_famo_adds_up_over_parts_and_processes():
    def step(*parts, reduce=None):
        balanced = weighting("famo", names=("a", "b"))
        for number in range(3):
            balanced.begin_step(number)
            for part in parts:
                balanced.total(part)
            balanced.after_step(lambda: losses(a=0.9, b=0.7), reduce)
        return balanced.logits

    def part(a, b, share):
        amount = {name: torch.tensor(share) for name in "ab"}
        return Losses({"a": torch.tensor(a * share), "b": torch.tensor(b * share)}, amount, amount)

    whole = step(losses(a=1.25, b=0.75))
    torch.testing.assert_close(step(part(2.0, 0.0, 0.25), part(1.0, 1.0, 0.75)), whole)
    torch.testing.assert_close(step(losses(a=1.25, b=0.75), reduce=lambda pairs: pairs.mul_(2)), whole)


@pytest.mark.parametrize("method", ["dwa", "rlw", "famo", "uncertainty"])
def test_a_task_without_targets_gets_no_gradient_and_keeps_its_state(method):
    torch.manual_seed(0)
    method_of = weighting(method)
    value = torch.tensor(1.0, requires_grad=True)
    for step in range(3):
        method_of.begin_step(step)
        found = losses(a=value * 1.0, b=None, c=value * 2.0)
        method_of.backward(found, [])
        method_of.after_step(lambda: losses(a=0.5, b=None, c=1.9))
        method_of.end_epoch({"a": 1.0 / (step + 1), "c": 1.0})
    assert math.isfinite(value.grad)
    state = method_of.state_dict()
    if method == "famo":
        assert state["logits"][1] == state["moves"][1] == state["first"][1] == 0
        assert state["moves"][0] == 3
    if method == "dwa":
        assert math.isnan(state["newer"][1])
    if method == "uncertainty":
        assert method_of.log_variance["b"].grad == 0
        assert method_of.log_variance["c"].grad != 0


@pytest.mark.parametrize("method", WEIGHTINGS)
def test_nothing_known_at_all_gives_zero(method):
    nothing = weighting(method)
    nothing.begin_step(0)
    assert nothing.total(losses(a=None, b=None, c=None)).item() == 0
    nothing.begin_step(1)
    shared = nn.Parameter(torch.ones(2))
    nothing.backward(Losses({}, {}, {}), [shared])
    nothing.backward(losses(a=0 * shared.sum(), b=None, c=None), [shared])
    assert shared.grad is None or (shared.grad == 0).all()


@pytest.mark.parametrize("method", WEIGHTINGS)
def test_a_state_that_was_put_away_goes_on_as_if_it_had_not(method):
    def run(there, steps):
        for step in steps:
            there.begin_step(step)
            total = there.total(losses(a=1.0 / (step + 1), b=0.7, c=2.0))
            there.after_step(lambda at=step: losses(a=0.9 / (at + 1), b=0.69, c=2.1))
            there.end_epoch({"a": 1.0 / (step + 1), "b": 0.7, "c": 2.0})
        return total

    uninterrupted = run(weighting(method), range(6))
    first = weighting(method)
    run(first, range(3))
    second = weighting(method)
    second.load_state_dict({name: value.clone() for name, value in first.state_dict().items()})
    assert torch.equal(run(second, range(3, 6)), uninterrupted)


def two_tasks(shared, heads):
    """Gradients on `shared`: (1, 0) and (-1, 1); on the heads 3 and 5."""
    return losses(a=shared[0].tanh() + 3 * heads[0], b=shared[1] - shared[0].tanh() + 5 * heads[1])


def test_surgery_takes_out_what_two_tasks_hold_against_each_other():
    shared, heads = nn.Parameter(torch.zeros(2)), nn.Parameter(torch.zeros(2))
    surgery = weighting("pcgrad", names=("a", "b"))
    surgery.begin_step(0)
    surgery.backward(two_tasks(shared, heads), [shared])
    # (1, 0) less its part along (-1, 1) is (0.5, 0.5); (-1, 1) less its part along (1, 0) is (0, 1).
    torch.testing.assert_close(shared.grad, torch.tensor([0.5, 1.5]))
    torch.testing.assert_close(heads.grad, torch.tensor([3.0, 5.0]))
    assert surgery.weights == pytest.approx({"a": 2.0, "b": 1.5})


def test_surgery_leaves_tasks_alone_that_agree_and_applies_fixed_weights_and_scale():
    shared = nn.Parameter(torch.zeros(2))
    surgery = weighting("pcgrad", names=("a", "b", "c"), task_weights={"b": 3.0})
    surgery.begin_step(0)
    surgery.backward(losses(a=shared[0] * 1.0, b=shared.sum(), c=None), [shared], 0.5)
    torch.testing.assert_close(shared.grad, torch.tensor([2.0, 1.5]))


def test_surgery_on_parts_and_processes_is_surgery_on_the_whole_step():
    shared, heads = nn.Parameter(torch.zeros(2)), nn.Parameter(torch.zeros(2))
    surgery = weighting("pcgrad", names=("a", "b"))
    surgery.begin_step(0)
    # The first part alone does not conflict.
    surgery.backward(losses(a=2 * shared[0], b=shared[1] + shared[0]), [shared], last=False)
    assert shared.grad is None
    surgery.backward(losses(a=-shared[0] + 3 * heads[0], b=-2 * shared[0] + 5 * heads[1]), [shared])
    torch.testing.assert_close(shared.grad, torch.tensor([0.5, 1.5]))
    shared.grad = None
    surgery.begin_step(1)
    surgery.backward(two_tasks(shared, heads), [shared], reduce=lambda part: part.mul_(2))
    torch.testing.assert_close(shared.grad, torch.tensor([1.0, 3.0]))


def test_surgery_draws_its_order_from_seed_and_step_and_nobody_elses_generator():
    def combined(step):
        shared = nn.Parameter(torch.zeros(3))
        rows = torch.randn(6, 3, generator=torch.Generator().manual_seed(1))
        surgery = weighting("pcgrad", names=tuple("abcdef"), seed=1)
        surgery.begin_step(step)
        surgery.backward(losses(**{n: row @ shared for n, row in zip("abcdef", rows, strict=True)}), [shared])
        return shared.grad

    torch.manual_seed(5)
    before = torch.get_rng_state()
    first = combined(0)
    assert torch.equal(before, torch.get_rng_state())
    torch.manual_seed(6)
    assert torch.equal(first, combined(0))
    assert any(not torch.equal(first, combined(step)) for step in range(1, 5))


def test_conflicts_are_cosines_and_leave_everything_as_it_was():
    shared, heads = nn.Parameter(torch.zeros(2)), nn.Parameter(torch.zeros(2))
    found = two_tasks(shared, heads)
    assert gradient_conflicts(found, [shared]) == pytest.approx({"a|b": -math.sqrt(0.5)})
    assert shared.grad is None
    weighting("static", names=("a", "b")).backward(found, [shared])
    torch.testing.assert_close(shared.grad, torch.tensor([0.0, 1.0]))


def test_conflicts_leave_out_tasks_without_targets_or_gradient():
    shared, other = nn.Parameter(torch.zeros(2)), nn.Parameter(torch.zeros(2))
    found = losses(a=shared.sum(), b=None, c=other.sum(), d=shared.sum() * 2)
    assert gradient_conflicts(found, [shared]) == pytest.approx({"a|d": 1.0})
