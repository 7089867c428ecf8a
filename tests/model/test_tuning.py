import copy
import re

import pytest
import timm
import torch
from timm.models._manipulate import group_parameters

from spatialnet.errors import RecipeInvalid
from spatialnet.model.weights import place_backbone


@pytest.fixture(scope="module")
def weights():
    torch.manual_seed(0)
    return timm.create_model("vit_tiny_patch16_224", num_classes=0).state_dict()


def learning(model):
    return {name for name, parameter in model.named_parameters() if parameter.requires_grad}


def test_only_what_is_asked_for_learns(build):
    model = build("nano", sensors=("landsat7", "sentinel1"))
    everything = learning(model)
    new = {
        n
        for n in everything
        if n.startswith(("tokenizers.", "sensor_embed.", "ground_", "local_", "queries.", "heads."))
    }
    model.freeze_backbone("last", 1)
    assert learning(model) == new | {n for n in everything if n.startswith(("blocks.3.", "norm."))}
    model.freeze_backbone("last", 99)
    assert learning(model) >= {n for n in everything if n.startswith("blocks.")}
    model.freeze_backbone("heads")
    assert learning(model) == {n for n in everything if n.startswith("heads.")}
    model.freeze_backbone("all")
    assert learning(model) == everything
    names = {id(p): n for n, p in model.named_parameters()}
    assert {names[id(p)] for p in model.backbone_parameters()} == everything - new
    with pytest.raises(RecipeInvalid, match="one of all, last"):
        model.freeze_backbone("some")


def test_a_stem_that_was_taken_over_whole_is_part_of_the_backbone(build, weights):
    rgb, mixed = build("tiny", sensors=("rgb",), spatial=False), build("tiny", sensors=("rgb", "landsat7"))
    for model in (rgb, mixed):
        place_backbone(model, weights, "tiny")
    layers = group_parameters(mixed, mixed.group_matcher(), reverse=True)
    assert layers["tokenizers.rgb.proj.weight"] == layers["cls_token"] == 0
    head = layers["heads.land_use.fc.weight"]
    assert layers["tokenizers.landsat7.proj.weight"] == layers["sensor_embed.rgb"] == layers["queries.query"] == head
    assert layers["norm.weight"] == layers["blocks.11.mlp.fc2.bias"] == head - 1
    rgb.freeze_backbone("last", 2)
    images = torch.randn(2, 3, 16, 16)
    tokens, _ = rgb.tokens(images)
    assert not tokens.requires_grad, "nothing below the tuned blocks needs a gradient"
    rgb(images)["land_use"].sum().backward()
    assert {n for n, p in rgb.named_parameters() if p.grad is not None and n.startswith("blocks.")} == {
        n for n, _ in rgb.named_parameters() if re.match(r"blocks\.1[01]\.", n)
    }
    mixed.freeze_backbone("last", 2)
    assert mixed.tokenizer("landsat7").proj.weight.requires_grad
    assert not mixed.tokenizer("rgb").proj.weight.requires_grad
    assert mixed.sensor_embed["rgb"].requires_grad


@pytest.mark.parametrize("fusion", ["early", "mean"])
def test_checkpointing_changes_no_gradient(build, stir, fusion):
    model = stir(build(sensors=("landsat7", "sentinel1"), fusion=fusion, drop_path=0.3, patch_drop=0.25)).train()
    again = copy.deepcopy(model)
    again.set_checkpointing(True)
    images = {"landsat7": torch.randn(4, 6, 16, 16), "sentinel1": torch.randn(4, 2, 16, 16)}
    present = {"sentinel1": torch.tensor([True, False, True, False])}
    kept = []
    for one in (model, again):
        torch.manual_seed(3)
        with torch.autograd.graph.saved_tensors_hooks(lambda t: kept[-1].append(t.numel()) or t, lambda t: t):
            kept.append([])
            loss = sum(a.square().mean() for a in one(images, present=present).values())
        loss.backward()
    assert sum(kept[1]) < sum(kept[0]) / 3
    for (name, a), b in zip(model.named_parameters(), again.parameters(), strict=True):
        torch.testing.assert_close(b.grad, a.grad, atol=1e-6, rtol=1e-5, msg=lambda m, name=name: f"{name}: {m}")
