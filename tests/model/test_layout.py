import torch

from spatialnet.model import TokenLayout
from spatialnet.model.layout import attention_mask, leave_out, masked_mean, presence

LAYOUT = TokenLayout(("optical", "radar"), (2, 3), 1)


def numbered(batch=2):
    """Tokens that hold their own place in the sequence."""
    return torch.arange(LAYOUT.count, dtype=torch.float32)[None, :, None].expand(batch, -1, 4).clone()


def test_values_go_back_to_the_patches_they_came_from():
    maps = LAYOUT.grids(numbered()[..., 0])
    assert maps["optical"][0].tolist() == [[1, 2, 3], [4, 5, 6]]
    assert maps["radar"][1].tolist() == [[7, 8, 9], [10, 11, 12]]


def test_what_is_left_out_is_zero_and_the_rest_is_where_it_was():
    torch.manual_seed(0)
    tokens, layout = leave_out(numbered(), LAYOUT, 0.5)
    assert tokens.shape == (2, 7, 4)
    assert layout.count == 7
    assert tokens[:, 0].eq(0).all()
    assert (tokens[:, 1:, 0].diff() > 0).all()
    whole, part = LAYOUT.grids(numbered()[..., 0]), layout.grids(tokens[..., 0])
    for name in whole:
        assert torch.equal(part[name][part[name] > 0], whole[name][part[name] > 0])
    assert sum(int((p > 0).sum()) for p in part.values()) == 12
    deep = layout.grids(tokens[:, None, None, :, 0].expand(-1, 2, 3, -1))
    assert deep["radar"].shape == (2, 2, 3, 2, 3)
    assert torch.equal(deep["radar"][:, 1, 2], part["radar"])
    assert (tokens[0] != tokens[1]).any(), "each chip draws its own"


def test_absent_patches_leave_first_and_one_always_stays():
    mask = attention_mask([None, torch.tensor([True, False])], 2, (2, 3), 1)
    layout = TokenLayout(LAYOUT.groups, LAYOUT.grid, 1, mask)
    tokens, fewer = leave_out(numbered(), layout, 0.5)
    assert tokens[1, 1:, 0].tolist() == [1, 2, 3, 4, 5, 6]
    assert fewer.mask[1].all()
    assert fewer.usable(2, torch.device("cpu")).sum(1).tolist() == [6, 6]
    tokens, fewer = leave_out(numbered(), layout, 0.999)
    assert tokens.shape[1] == 2
    assert fewer.usable(2, torch.device("cpu")).sum(1).tolist() == [1, 1]


def test_a_mask_is_only_built_where_something_is_missing():
    gone, cpu = torch.tensor([False, False]), torch.device("cpu")
    assert presence(["a", "b"], None, cpu) == presence(["a"], {"a": ~gone, "c": gone}, cpu) == {}
    assert attention_mask([None, None], 2, (2, 2), 1) is None
    assert attention_mask([gone], 2, (2, 2), 1) is None
    mask = attention_mask([gone, torch.tensor([True, False])], 2, (1, 2), 1)
    assert mask.shape == (2, 1, 1, 5)
    assert mask[:, 0, 0].tolist() == [[True, False, False, True, True], [True] * 5]  # the second has nothing at all


def test_the_mean_counts_only_the_sensors_that_are_there():
    ones = torch.ones(3, 1, 1, 1)
    there = torch.tensor([True, False, False])
    mean = masked_mean([(3 * ones, None), (5 * ones * there[:, None, None, None], there)])
    assert mean.flatten().tolist() == [4.0, 3.0, 3.0]
    nothing = masked_mean([(0 * ones, ~there & False), (0 * ones, ~there & False)])
    assert nothing.flatten().tolist() == [0.0, 0.0, 0.0]
