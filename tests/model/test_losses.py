import math

import pytest
import torch
from torch.nn import functional as F

from spatialnet.model.losses import MultiTaskLoss
from spatialnet.tasks import Task

TASKS = (
    Task("land_use", "multiclass", ("a", "b", "c")),
    Task("presence", "multilabel", ("x", "y")),
    Task("rural_urban", "binary", ("rural", "urban")),
    Task("cars", "count", ("cars",)),
)
NAN = math.nan
TARGETS = {
    "land_use": torch.tensor([0, 2, -100, 1]),
    "presence": torch.tensor([[1.0, 0.0], [0.0, NAN], [NAN, NAN], [1.0, 1.0]]),
    "rural_urban": torch.tensor([1.0, NAN, 0.0, 1.0]),
    "cars": torch.tensor([[0.0], [2.0], [NAN], [7.0]]),
}


def logits(batch=2):
    made = {
        "land_use": torch.zeros(batch, 3),
        "presence": torch.zeros(batch, 2),
        "rural_urban": torch.zeros(batch),
        "cars": torch.zeros(batch, 1),
    }
    return {name: value.requires_grad_() for name, value in made.items()}


def random_logits(batch=4):
    random = torch.Generator().manual_seed(1)
    return {name: torch.randn(value.shape, generator=random).requires_grad_() for name, value in logits(batch).items()}


def summed(losses):
    return torch.stack(list(losses.tasks.values())).sum()


def values(losses):
    return {name: value.item() for name, value in losses.tasks.items()}


def test_a_uniform_guess_costs_one_per_classification_task():
    targets = {
        "land_use": torch.tensor([0, 2]),
        "presence": torch.tensor([[1.0, 0.0], [0.0, 1.0]]),
        "rural_urban": torch.tensor([1.0, 0.0]),
        "cars": torch.tensor([[0.0], [0.0]]),
    }
    found = MultiTaskLoss(TASKS)(logits(), targets)
    assert [found.tasks[t.name].item() for t in TASKS] == pytest.approx([1, 1, 1, 0])


def test_each_kind_costs_what_its_formula_says():
    outputs = {
        "land_use": torch.tensor([[math.log(2.0), 0.0, 0.0]]),  # 1/2, 1/4, 1/4
        "presence": torch.tensor([[math.log(3.0), -math.log(3.0)]]),  # 3/4, 1/4
        "rural_urban": torch.tensor([math.log(4.0)]),  # 4/5
        "cars": torch.tensor([[math.log(3.0) + 0.5]]),
    }
    targets = {
        "land_use": torch.tensor([1]),
        "presence": torch.tensor([[1.0, 1.0]]),
        "rural_urban": torch.tensor([0.0]),
        "cars": torch.tensor([[2.0]]),
    }
    entropies = {
        "land_use": math.log(4),
        "presence": (math.log(4 / 3) + math.log(4)) / 2,
        "rural_urban": math.log(5),
    }
    scales = {"land_use": math.log(3), "presence": math.log(2), "rural_urban": math.log(2)}
    scaled = {name: entropies[name] / scales[name] for name in entropies} | {"cars": 0.5 * 0.5**2}
    assert values(MultiTaskLoss(TASKS)(outputs, targets)) == pytest.approx(scaled, rel=1e-5)
    plain = MultiTaskLoss(TASKS, unscaled=True)(outputs, targets)
    assert values(plain) == pytest.approx(entropies | {"cars": 0.25}, rel=1e-5)


def test_a_count_far_off_costs_its_distance_and_its_square_unscaled():
    outputs, targets = {"cars": torch.tensor([[3.0]])}, {"cars": torch.tensor([[0.0]])}
    assert values(MultiTaskLoss(TASKS)(outputs, targets))["cars"] == pytest.approx(2.5)
    assert values(MultiTaskLoss(TASKS, unscaled=True)(outputs, targets))["cars"] == pytest.approx(9)


def test_smoothing_mixes_in_the_uniform_answer():
    outputs = {"land_use": torch.tensor([[math.log(2.0), 0.0, 0.0]]), "rural_urban": torch.tensor([math.log(4.0)])}
    targets = {"land_use": torch.tensor([0]), "rural_urban": torch.tensor([1.0])}
    found = values(MultiTaskLoss(TASKS, label_smoothing=0.3)(outputs, targets))
    # Shares 0.8, 0.1, 0.1 and 0.85, 0.15.
    assert found["land_use"] == pytest.approx((0.8 * math.log(2) + 0.2 * math.log(4)) / math.log(3))
    assert found["rural_urban"] == pytest.approx((0.85 * math.log(5 / 4) + 0.15 * math.log(5)) / math.log(2))


def test_unknown_targets_take_no_part_in_value_or_gradient():
    outputs = random_logits()
    found = MultiTaskLoss(TASKS, label_smoothing=0.1)(outputs, TARGETS)
    summed(found).backward()
    unknown = {"land_use": 2, "presence": 2, "rural_urban": 1, "cars": 2}
    for name, row in unknown.items():
        gradient = outputs[name].grad
        assert torch.isfinite(gradient).all()
        assert (gradient[row] == 0).all()
        assert (gradient[0] != 0).all()
    assert outputs["presence"].grad[1, 1] == 0
    for name, row in unknown.items():
        kept = [i for i in range(4) if i != row]
        alone = MultiTaskLoss(TASKS, label_smoothing=0.1)({name: outputs[name][kept]}, {name: TARGETS[name][kept]})
        torch.testing.assert_close(found.tasks[name], alone.tasks[name])


@pytest.mark.parametrize("options", [{}, {"assumed_negative": 0.5}, {"unscaled": True}])
def test_a_task_without_any_target_is_zero_with_a_graph_and_zero_gradients(options):
    outputs = logits()
    targets = {
        "land_use": torch.full((2,), -100),
        "presence": torch.full((2, 2), NAN),
        "rural_urban": torch.full((2,), NAN),
        "cars": torch.full((2, 1), NAN),
    }
    found = MultiTaskLoss(TASKS, **options)(outputs, targets)
    assert set(values(found).values()) == {0.0}
    assert {float(v) for v in [*found.known.values(), *found.share.values()]} == {0.0}
    summed(found).backward()
    assert all((output.grad == 0).all() for output in outputs.values())
    rows = {"land_use": torch.full((2, 3), NAN)}
    assert values(MultiTaskLoss(TASKS)({"land_use": outputs["land_use"]}, rows)) == {"land_use": 0.0}


def test_shares_equal_classes_where_they_are_pure():
    outputs = {"land_use": torch.randn(2, 3)}
    hard = MultiTaskLoss(TASKS)(outputs, {"land_use": torch.tensor([2, -100])})
    soft = MultiTaskLoss(TASKS)(outputs, {"land_use": torch.tensor([[0.0, 0.0, 1.0], [NAN, NAN, NAN]])})
    torch.testing.assert_close(hard.tasks, soft.tasks)


def test_a_weight_of_zero_takes_a_chip_out_and_a_double_weight_counts_twice():
    outputs = {"rural_urban": torch.tensor([0.3, -1.0, 2.0])}
    targets = {"rural_urban": torch.tensor([1.0, 1.0, 0.0])}
    loss = MultiTaskLoss(TASKS)
    weighted = loss(outputs, targets, {"rural_urban": torch.tensor([2.0, 1.0, 0.0])})
    rows = torch.tensor([0, 0, 1])
    repeated = loss({"rural_urban": outputs["rural_urban"][rows]}, {"rural_urban": targets["rural_urban"][rows]})
    torch.testing.assert_close(weighted.tasks, repeated.tasks)
    assert weighted.known["rural_urban"] == 3


@pytest.mark.parametrize("options", [{}, {"assumed_negative": 0.2, "label_smoothing": 0.1}])
def test_the_parts_of_a_step_add_up_to_the_whole(options):
    loss = MultiTaskLoss(TASKS, **options)
    outputs = random_logits()
    weights = {"presence": torch.tensor([1.0, 5.0, 1.0, 2.0])}
    whole = loss(outputs, TARGETS, weights)
    gradients = torch.autograd.grad(summed(whole), list(outputs.values()), retain_graph=True)
    norm = loss.known(TARGETS, weights)
    assert {n: float(v) for n, v in norm.items()} == {n: float(v) for n, v in whole.known.items()}
    parts = [
        loss(
            {n: v[rows] for n, v in outputs.items()},
            {n: v[rows] for n, v in TARGETS.items()},
            {n: v[rows] for n, v in weights.items()},
            norm=norm,
        )
        for rows in (slice(0, 1), slice(1, 4))
    ]
    for name in whole.tasks:
        assert sum(values(part)[name] for part in parts) == pytest.approx(values(whole)[name], rel=1e-5)
        assert float(parts[0].share[name] + parts[1].share[name]) == pytest.approx(1)
        assert whole.share[name] == 1
    for part in parts:
        summed(part).backward()
    for output, gradient in zip(outputs.values(), gradients, strict=True):
        torch.testing.assert_close(output.grad, gradient)


def test_an_assumed_negative_counts_as_a_weak_no_where_the_chip_was_asked():
    outputs = {"presence": torch.tensor([[0.0, 0.4], [1.0, -1.0]])}
    targets = {"presence": torch.tensor([[1.0, NAN], [NAN, NAN]])}
    loss = MultiTaskLoss(TASKS, assumed_negative=0.2)
    found = loss(outputs, targets)
    no = F.softplus(torch.tensor(0.4)).item() / math.log(2)
    assert found.known["presence"] == pytest.approx(1.2)
    assert found.tasks["presence"].item() == pytest.approx((1.0 + 0.2 * no) / 1.2)


def test_full_balance_makes_the_frequent_class_no_better_guess():
    task = TASKS[2:3]
    loss = MultiTaskLoss(task, priors={"rural_urban": torch.tensor([0.9, 0.1])}, balance_binary=1.0)
    bias = torch.zeros(1, requires_grad=True)
    targets = {"rural_urban": torch.tensor([0.0] * 9 + [1.0])}
    summed(loss({"rural_urban": bias.expand(10)}, targets)).backward()
    assert bias.grad.item() == pytest.approx(0, abs=1e-6)
    plain = torch.zeros(1, requires_grad=True)
    summed(MultiTaskLoss(task)({"rural_urban": plain.expand(10)}, targets)).backward()
    assert plain.grad.item() > 0.1


def fitted(loss, name, shape, targets):
    """The outputs, alike for all chips, that cost least."""
    outputs = torch.zeros(shape, requires_grad=True)
    # Not an optimiser that makes a large step of a small gradient: that would hide a class that is never pushed down.
    optimizer = torch.optim.SGD([outputs], lr=2.0)
    for _ in range(1000):
        optimizer.zero_grad()
        summed(loss({name: outputs.expand(len(targets), *shape)}, {name: targets})).backward()
        optimizer.step()
    return outputs.detach()


def test_balance_lifts_a_class_with_one_sample_and_never_one_with_none():
    targets = torch.tensor([0] * 60 + [1])
    priors = {"land_use": torch.tensor([60 / 61, 1 / 61, 0.0])}
    balanced = fitted(MultiTaskLoss(TASKS, priors=priors, balance=1.0), "land_use", (3,), targets)
    plain = fitted(MultiTaskLoss(TASKS), "land_use", (3,), targets)
    assert plain.softmax(-1)[1] < 0.03
    assert balanced.softmax(-1)[:2].tolist() == pytest.approx([0.5, 0.5], abs=0.02)
    assert balanced.softmax(-1)[2] < 0.02


def test_a_yes_or_no_that_was_only_ever_answered_no_learns_to_say_no():
    targets = torch.zeros(20)
    priors = {"rural_urban": torch.tensor([1.0, 0.0])}
    found = fitted(MultiTaskLoss(TASKS, priors=priors, balance_binary=1.0), "rural_urban", (), targets)
    assert found.sigmoid() < 0.05


def test_what_balances_is_not_in_the_checkpoint():
    loss = MultiTaskLoss(TASKS, priors={"land_use": torch.tensor([0.5, 0.25, 0.25])}, balance=0.5)
    assert not loss.state_dict()
    assert not list(loss.parameters())
