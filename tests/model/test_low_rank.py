import subprocess
import sys

import pytest
import torch

from spatialnet.errors import RecipeInvalid
from spatialnet.model import SpatialNetViT
from spatialnet.model.low_rank import add_low_rank, has_low_rank, merge_low_rank
from spatialnet.sensors import SENSORS
from spatialnet.tasks import Task


@pytest.fixture
def model():
    torch.manual_seed(0)
    task = Task("land_use", "multiclass", ("a", "b", "c"))
    return SpatialNetViT([SENSORS["landsat7"]], [task], "nano", chip_size=16, gsd_m=30.0)


def test_updates_start_at_nothing_learn_alone_and_merge_to_plain_weights(model):
    images = torch.randn(8, 6, 16, 16)
    keys, before = list(model.state_dict()), model.eval()(images)["land_use"]
    frozen = {n: p.clone() for n, p in model.named_parameters()}
    add_low_rank(model, 3)
    assert has_low_rank(model)
    assert torch.equal(model(images)["land_use"], before)
    learning = {n for n, p in model.named_parameters() if p.requires_grad}
    assert {n for n in learning if n.startswith("blocks.")} == {
        f"blocks.{i}.attn.{part}.lora_{side}.default.weight" for i in range(4) for part in ("qkv", "proj") for side in "AB"
    }  # fmt: skip
    assert {"heads.land_use.fc.weight", "queries.query", "tokenizers.landsat7.proj.weight"} <= learning
    assert not {"norm.weight", "pos_embed"} & learning
    # rank x (in + out) numbers for qkv (128 -> 384) and proj (128 -> 128), in four blocks
    assert sum(p.numel() for n, p in model.named_parameters() if "lora_" in n) == 4 * 3 * (128 + 384 + 128 + 128)
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.5)
    for _ in range(3):
        optimizer.zero_grad()
        model(images)["land_use"].logsumexp(1).mean().backward()
        optimizer.step()
    learnt = model(images)["land_use"]
    assert not torch.allclose(learnt, before, atol=1e-3)
    merge_low_rank(model)
    assert list(model.state_dict()) == keys
    torch.testing.assert_close(model(images)["land_use"], learnt, atol=1e-5, rtol=1e-5)
    assert not has_low_rank(model)
    assert all(p.requires_grad for p in model.parameters())
    assert not torch.equal(model.blocks[0].attn.qkv.weight, frozen["blocks.0.attn.qkv.weight"])
    assert torch.equal(model.blocks[0].mlp.fc1.weight, frozen["blocks.0.mlp.fc1.weight"])
    add_low_rank(model, 2)


def test_updates_learn_at_the_full_rate(model):
    import re

    add_low_rank(model, 2)
    block = re.compile(model.group_matcher()["blocks"][0][0])
    assert block.match("blocks.0.attn.qkv.base_layer.weight").group(1) == "0"
    assert not block.match("blocks.0.attn.qkv.lora_A.default.weight")


def test_updates_twice_or_of_no_rank_are_refused(model):
    with pytest.raises(RecipeInvalid, match="at least 1"):
        add_low_rank(model, 0)
    add_low_rank(model, 2)
    with pytest.raises(RecipeInvalid, match="already"):
        add_low_rank(model, 2)


def test_without_peft_the_sentence_says_what_to_do(model, monkeypatch):
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(RecipeInvalid, match="Install peft"):
        add_low_rank(model, 2)
    assert all(p.requires_grad for p in model.parameters())


def test_importing_the_model_imports_neither_peft_nor_transformers():
    code = "import sys, spatialnet.model, spatialnet.model.low_rank; print({'peft', 'transformers'} & set(sys.modules))"
    found = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "set()"
