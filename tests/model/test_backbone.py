import pytest
import torch

from spatialnet.errors import RecipeInvalid
from spatialnet.model.backbone import DropPath, build_backbone
from spatialnet.presets import PRESETS, Preset


def test_a_share_of_the_chips_is_left_out_and_made_up_for():
    torch.manual_seed(0)
    drop = DropPath(0.25)
    changed = drop(torch.ones(4000, 3, 2))
    assert changed.unique().tolist() == pytest.approx([0, 4 / 3])
    whole = changed.flatten(1)
    assert (whole == whole[:, :1]).all()  # a chip is left out as a whole
    assert abs(float(changed.mean()) - 1) < 0.03
    assert torch.equal(drop.eval()(changed), changed)
    assert drop.train()(changed.bfloat16()).dtype is torch.bfloat16
    assert not drop.state_dict()


def test_the_last_block_has_the_whole_share_and_the_first_none():
    blocks = build_backbone(PRESETS["nano"], 4, 4, drop_path=0.3).blocks
    shares = [1 - float(block.drop_path1.kept) for block in blocks]
    assert shares == pytest.approx([0, 0.1, 0.2, 0.3])
    assert [1 - float(block.drop_path2.kept) for block in blocks] == pytest.approx(shares)


@torch.no_grad()
def test_one_translation_serves_all_blocks():
    made = []

    def count(graph, _):
        made.append(graph)
        return graph.forward

    model = build_backbone(PRESETS["nano"], 4, 4, drop_path=0.3).train()
    for block in model.blocks:
        block.compile(backend=count)
    tokens = torch.randn(2, 16, 128)
    for block in model.blocks:
        tokens = block(tokens)
    assert len(made) == 1


def test_what_is_no_plain_vision_transformer_is_refused():
    with pytest.raises(RecipeInvalid, match="no architecture"):
        build_backbone(Preset("x", "x", "vit_of_nobody", 8, 1), 4, 4)
