import math

import pytest
import torch

from spatialnet.model.losses import MultiTaskLoss
from spatialnet.tasks import Task

TASKS = (
    Task("land_use", "multiclass", ("a", "b", "c")),
    Task("presence", "multilabel", ("x", "y")),
    Task("rural_urban", "binary", ("rural", "urban")),
    Task("cars", "count", ("cars",)),
)
NAN = math.nan


def logits(batch=2):
    made = {
        "land_use": torch.zeros(batch, 3),
        "presence": torch.zeros(batch, 2),
        "rural_urban": torch.zeros(batch),
        "cars": torch.zeros(batch, 1),
    }
    return {name: value.requires_grad_() for name, value in made.items()}


def test_a_uniform_guess_costs_one_per_classification_task():
    targets = {
        "land_use": torch.tensor([0, 2]),
        "presence": torch.tensor([[1.0, 0.0], [0.0, 1.0]]),
        "rural_urban": torch.tensor([1.0, 0.0]),
        "cars": torch.tensor([[0.0], [0.0]]),
    }
    found = MultiTaskLoss(TASKS)(logits(), targets)
    assert [found.tasks[t.name].item() for t in TASKS] == pytest.approx([1, 1, 1, 0])
    assert found.total.item() == pytest.approx(3)


def test_unknown_targets_take_no_part_in_value_or_gradient():
    outputs = {name: torch.randn_like(value).requires_grad_() for name, value in logits().items()}
    known = {
        "land_use": torch.tensor([0, -100]),
        "presence": torch.tensor([[1.0, NAN], [NAN, NAN]]),
        "rural_urban": torch.tensor([1.0, NAN]),
        "cars": torch.tensor([[3.0], [NAN]]),
    }
    found = MultiTaskLoss(TASKS)(outputs, known)
    found.total.backward()
    for output in outputs.values():
        assert torch.isfinite(output.grad).all()
        assert (output.grad[1] == 0).all()
        assert (output.grad[0] != 0).any()
    assert outputs["presence"].grad[0, 1] == 0
    first = {name: value[:1] for name, value in outputs.items()}
    alone = MultiTaskLoss(TASKS)(first, {name: value[:1] for name, value in known.items()})
    torch.testing.assert_close(found.total, alone.total)


@pytest.mark.parametrize("weighting", ["static", "uncertainty"])
def test_a_task_without_any_target_is_skipped(weighting):
    outputs = logits()
    targets = {
        "land_use": torch.tensor([0, 1]),
        "presence": torch.full((2, 2), NAN),
        "rural_urban": torch.full((2,), NAN),
        "cars": torch.full((2, 1), NAN),
    }
    loss = MultiTaskLoss(TASKS, weighting=weighting)
    found = loss(outputs, targets)
    found.total.backward()
    assert found.total.item() == pytest.approx(1)
    assert found.known["presence"] == 0
    assert (outputs["presence"].grad == 0).all()
    if weighting == "uncertainty":
        assert loss.log_variance["presence"].grad == 0
        assert loss.log_variance["land_use"].grad != 0


def test_nothing_known_at_all_gives_zero_and_zero_gradients():
    outputs = logits()
    targets = {"land_use": torch.full((2,), -100), "rural_urban": torch.full((2,), NAN)}
    found = MultiTaskLoss(TASKS)(outputs, targets)
    found.total.backward()
    assert found.total.item() == 0
    assert (outputs["land_use"].grad == 0).all()


def test_shares_equal_classes_where_they_are_pure():
    outputs = {"land_use": torch.randn(2, 3)}
    hard = MultiTaskLoss(TASKS)(outputs, {"land_use": torch.tensor([2, -100])})
    soft = MultiTaskLoss(TASKS)(outputs, {"land_use": torch.tensor([[0.0, 0.0, 1.0], [NAN, NAN, NAN]])})
    torch.testing.assert_close(hard.total, soft.total)


def test_a_weight_of_zero_takes_a_chip_out_and_a_double_weight_counts_twice():
    outputs = {"rural_urban": torch.tensor([0.3, -1.0, 2.0])}
    targets = {"rural_urban": torch.tensor([1.0, 1.0, 0.0])}
    loss = MultiTaskLoss(TASKS)
    weighted = loss(outputs, targets, {"rural_urban": torch.tensor([2.0, 1.0, 0.0])}).total
    rows = torch.tensor([0, 0, 1])
    repeated = loss({"rural_urban": outputs["rural_urban"][rows]}, {"rural_urban": targets["rural_urban"][rows]}).total
    torch.testing.assert_close(weighted, repeated)


def test_full_balance_makes_the_frequent_class_no_better_guess():
    task = TASKS[2:3]
    loss = MultiTaskLoss(task, priors={"rural_urban": torch.tensor([0.9, 0.1])}, balance_binary=1.0)
    bias = torch.zeros(1, requires_grad=True)
    targets = torch.tensor([0.0] * 9 + [1.0])
    loss({"rural_urban": bias.expand(10)}, {"rural_urban": targets}).total.backward()
    assert bias.grad.item() == pytest.approx(0, abs=1e-6)
    plain = torch.zeros(1, requires_grad=True)
    MultiTaskLoss(task)({"rural_urban": plain.expand(10)}, {"rural_urban": targets}).total.backward()
    assert plain.grad.item() > 0.1
