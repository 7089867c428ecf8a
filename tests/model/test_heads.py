import pytest
import torch

from spatialnet.errors import TargetsInvalid
from spatialnet.model import probabilities, score
from spatialnet.tasks import Task


def test_probabilities_per_kind():
    land = Task("land_use", "multiclass", ("a", "b"))
    torch.testing.assert_close(probabilities(torch.zeros(1, 2), land), torch.full((1, 2), 0.5))
    presence = Task("presence", "multilabel", ("a", "b"))
    torch.testing.assert_close(probabilities(torch.tensor([[0.0, 100.0]]), presence), torch.tensor([[0.5, 1.0]]))
    urban = Task("rural_urban", "binary", ("rural", "urban"))
    found = probabilities(torch.tensor([0.0, 3.0]), urban)
    torch.testing.assert_close(found.sum(-1), torch.ones(2))
    assert found[1, 1] > 0.9
    cars = Task("cars", "count", ("cars",))
    torch.testing.assert_close(probabilities(torch.tensor([[4.0]]).log1p(), cars), torch.tensor([[4.0]]))
    assert probabilities(torch.tensor([[-2.0]]), cars).item() == 0


def test_score_is_the_logit_of_the_class_and_its_negative_for_no():
    urban = Task("rural_urban", "binary", ("rural", "urban"))
    logits = torch.tensor([1.5, -2.0])
    assert torch.equal(score(logits, urban, 1), logits)
    assert torch.equal(score(logits, urban, 0), -logits)
    land = Task("land_use", "multiclass", ("a", "b"))
    assert score(torch.tensor([[1.0, 2.0]]), land, 1).tolist() == [2.0]
    with pytest.raises(TargetsInvalid, match="0 to 1"):
        score(torch.zeros(1, 2), land, 2)
