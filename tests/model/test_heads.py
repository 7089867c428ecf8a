import pytest
import torch

from spatialnet.errors import TargetsInvalid
from spatialnet.model import probabilities, score
from spatialnet.model.heads import TaskQueries
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


def test_the_queries_read_what_keys_and_values_of_every_token_give():
    torch.manual_seed(0)
    queries = TaskQueries(3, 128)
    torch.nn.init.normal_(queries.query), torch.nn.init.normal_(queries.out.weight, std=0.1)
    torch.nn.init.normal_(queries.key.bias), torch.nn.init.normal_(queries.value.bias)
    tokens, there = torch.randn(2, 9, 128), torch.ones(2, 9, dtype=torch.bool)
    there[0, :4] = False
    base = there.float() / there.sum(1, keepdim=True)
    pooled = queries(tokens, there, base, torch.tensor([2, 0]))

    def heads(x):
        return x.unflatten(-1, (2, 64)).transpose(-3, -2)

    normed = queries.norm(tokens)
    wanted = torch.nn.functional.scaled_dot_product_attention(
        heads(queries.query[[2, 0]])[None].expand(2, -1, -1, -1),
        heads(queries.key(normed)),
        heads(queries.value(normed)),
        attn_mask=there[:, None, None],
    )
    mean = (base[:, None] @ tokens).expand(-1, 2, -1)
    torch.testing.assert_close(pooled.features, mean + queries.out(wanted.transpose(1, 2).flatten(2)))
    assert (pooled.attention[0, :, :, :4] == 0).all()
    pooled.features.sum().backward()
    assert all(p.grad is not None for p in queries.parameters()), (
        "every parameter takes part, as data-parallel training wants"
    )
