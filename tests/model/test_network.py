import pytest
import timm
import torch

from spatialnet.errors import BandsDoNotMatch, CheckpointDoesNotFit, RecipeInvalid, TargetsInvalid
from spatialnet.model import SpatialNetViT
from spatialnet.model.weights import place_backbone
from spatialnet.presets import PRESETS
from spatialnet.sensors import SENSORS
from spatialnet.tasks import Task

TASKS = (
    Task("land_use", "multiclass", ("a", "b", "c")),
    Task("presence", "multilabel", ("x", "y")),
    Task("rural_urban", "binary", ("rural", "urban")),
    Task("cars", "count", ("small", "large")),
)


def build(preset="nano", sensors=("landsat7",), **options):
    torch.manual_seed(0)
    options = {"chip_size": 16, "gsd_m": 30.0, **options}
    return SpatialNetViT([SENSORS[s] for s in sensors], TASKS, preset, **options).eval()


def stir(model):
    """Give every zero-initialised part a value, as training does."""
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return model


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_answers_every_task(preset):
    answers = build(preset)(torch.randn(2, 6, 16, 16), return_features=True)
    assert {name: tuple(a.shape) for name, a in answers.items() if name != "features"} == {
        "land_use": (2, 3), "presence": (2, 2), "rural_urban": (2,), "cars": (2, 2),
    }  # fmt: skip
    assert all(a.dtype == torch.float32 for a in answers.values())
    assert answers["features"].ndim == 2


@pytest.mark.parametrize("fusion", ["early", "mean"])
def test_an_absent_sensor_leaks_exactly_nothing(fusion):
    model = stir(build(sensors=("landsat7", "sentinel1"), fusion=fusion))
    images = {"landsat7": torch.randn(3, 6, 16, 16), "sentinel1": torch.randn(3, 2, 16, 16)}
    present = {"sentinel1": torch.tensor([True, False, False])}
    before = model(images, present=present, return_features=True)
    images["sentinel1"][1] += 100
    images["sentinel1"][2] = torch.nan
    after = model(images, present=present, return_features=True)
    for name in before:
        assert torch.equal(before[name], after[name])
    images["sentinel1"][0] += 1
    changed = model(images, present=present)
    assert not torch.equal(before["land_use"][0], changed["land_use"][0])


@pytest.mark.parametrize("fusion", ["early", "mean"])
def test_absent_equals_never_given(fusion):
    model = stir(build(sensors=("landsat7", "sentinel1"), fusion=fusion))
    optical, radar = torch.randn(2, 6, 16, 16), torch.randn(2, 2, 16, 16)
    masked = model({"landsat7": optical, "sentinel1": radar}, present={"sentinel1": torch.tensor([False, False])})
    alone = model({"landsat7": optical})
    torch.testing.assert_close(masked["land_use"], alone["land_use"], atol=1e-5, rtol=1e-5)


def test_a_chip_without_any_sensor_gets_an_answer_that_is_a_number():
    model = stir(build(sensors=("landsat7", "sentinel1")))
    nothing = torch.tensor([False])
    images = {"landsat7": torch.full((1, 6, 16, 16), torch.nan), "sentinel1": torch.randn(1, 2, 16, 16)}
    answers = model(images, present={"landsat7": nothing, "sentinel1": nothing})
    assert all(torch.isfinite(a).all() for a in answers.values())


@pytest.mark.parametrize(
    ("architecture", "size"),
    [("vit_tiny_patch16_224", 64), ("vit_medium_patch16_reg4_gap_256", 64), ("vit_small_patch14_dinov2", 56)],
)
def test_a_fresh_model_with_placed_weights_is_timms_model(architecture, size):
    torch.manual_seed(0)
    patch = 14 if "patch14" in architecture else 16
    peer = timm.create_model(architecture, depth=2, num_classes=0, img_size=size, global_pool="avg", fc_norm=False)
    model = SpatialNetViT([SENSORS["rgb"]], TASKS, f"timm:{architecture}", chip_size=size, gsd_m=1.0, patch=patch)
    model.blocks = model.blocks[:2]
    peer.eval(), model.eval()
    with torch.no_grad():
        for name, value in peer.state_dict().items():
            if name in model.state_dict():
                model.state_dict()[name].copy_(value)
        model.tokenizer("rgb").load_rgb(peer.patch_embed.proj.weight, peer.patch_embed.proj.bias)
        model.norm = peer.norm
        images = torch.randn(2, 3, size, size)
        tokens, layout = model.tokens(images)
        torch.testing.assert_close(model.encode(tokens, layout), peer.forward_features(images), atol=1e-5, rtol=1e-5)


def test_spatial_terms_and_queries_change_nothing_at_the_start_and_something_later():
    model, images = build(), torch.randn(2, 6, 16, 16)
    far = torch.tensor([30.0, 60.0])
    assert torch.equal(model(images)["land_use"], model(images, gsd=far)["land_use"])
    model.ground_position.gate.data.fill_(0.5)
    answers = model(images, gsd=far)["land_use"]
    assert torch.equal(model(images)["land_use"][0], answers[0])
    assert not torch.allclose(model(images)["land_use"][1], answers[1])


def test_the_same_place_in_a_finer_picture_has_the_same_ground_position():
    model = build()
    model.ground_position.gate.data.fill_(1.0)
    coarse = model.ground_position((4, 4), None)
    fine = model.ground_position((12, 12), torch.tensor([10.0]))
    # the centre of a 30 m patch is the centre of the middle one of its nine 10 m patches
    torch.testing.assert_close(fine[:, :, 1::3, 1::3], coarse)


def test_the_steps_are_the_forward_pass():
    model, images = stir(build()), torch.randn(2, 6, 16, 16)
    tokens, layout = model.tokens(images)
    assert tokens.shape[1] == layout.count == layout.prefix + model.grid[0] * model.grid[1]
    for block in model.blocks:
        tokens = block(tokens, attn_mask=layout.mask)
    tokens = model.norm(tokens)
    names = ["rural_urban", "land_use"]
    pooled = model.pool(tokens, layout, names)
    torch.testing.assert_close(pooled.attention.sum(-1), torch.ones_like(pooled.attention.sum(-1)))
    torch.testing.assert_close(pooled.base.sum(-1), torch.ones(2))
    answers = model.classify(pooled.features, names)
    whole = model(images, tasks=names)
    assert list(whole) == names
    for name in names:
        torch.testing.assert_close(answers[name], whole[name])


def test_a_token_of_the_layout_is_the_patch_it_says():
    model = build("tiny", sensors=("landsat7", "sentinel1"))
    images = {"landsat7": torch.zeros(1, 6, 16, 16), "sentinel1": torch.zeros(1, 2, 16, 16)}
    before, layout = model.tokens(images)
    patch = model.patch
    images["sentinel1"][0, :, patch : 2 * patch, 2 * patch : 3 * patch] = 9.0
    after, _ = model.tokens(images)
    grids = layout.grids((after - before).abs().sum(-1))
    assert grids["landsat7"].sum() == 0
    assert grids["sentinel1"][0].nonzero().tolist() == [[1, 2]]


def test_chips_of_another_size_are_answered():
    assert build()(torch.randn(1, 6, 24, 40))["land_use"].shape == (1, 3)


def test_prepare_normalises_and_puts_the_mean_where_there_is_no_data():
    model = build()
    mean, std = torch.arange(6).numpy(), torch.full((6,), 2.0).numpy()
    model.set_statistics({"landsat7": (mean, std)})
    pixels = torch.full((1, 6, 16, 16), 4.0).numpy()
    pixels[0, 3, 0, 0] = torch.nan
    ready = model.prepare({"landsat7": pixels})["landsat7"]
    assert ready[0, :, 5, 5].tolist() == [2.0, 1.5, 1.0, 0.5, 0.0, -0.5]
    assert ready[0, 3, 0, 0] == 0
    assert torch.isnan(torch.from_numpy(pixels)[0, 3, 0, 0])


def test_config_rebuilds_the_architecture():
    model = build(sensors=("landsat7", "sentinel1"), fusion="mean", patch=4)
    twin = SpatialNetViT.from_config(model.config())
    assert twin.config() == model.config()
    assert {n: p.shape for n, p in twin.named_parameters()} == {n: p.shape for n, p in model.named_parameters()}
    with pytest.raises(CheckpointDoesNotFit):
        SpatialNetViT.from_config({"preset": "nano"})


def test_bad_requests_are_refused_with_a_sentence():
    with pytest.raises(RecipeInvalid, match="nano"):
        build("huge")
    with pytest.raises(RecipeInvalid, match="vision transformer"):
        build("timm:resnet18")
    with pytest.raises(RecipeInvalid, match="patch of 17"):
        build(patch=17)
    model = build()
    with pytest.raises(BandsDoNotMatch, match="6 bands"):
        model(torch.randn(1, 3, 16, 16))
    with pytest.raises(BandsDoNotMatch, match="unknown"):
        model({"rgb": torch.randn(1, 3, 16, 16)})
    with pytest.raises(TargetsInvalid, match="no task"):
        model(torch.randn(1, 6, 16, 16), tasks=["roads"])


def test_placed_weights_must_fit():
    model = build("tiny")
    other = timm.create_model("vit_small_patch16_224", num_classes=0)
    before = model.blocks[0].attn.qkv.weight.clone()
    with pytest.raises(CheckpointDoesNotFit, match="does not fit preset tiny"):
        place_backbone(model, other.state_dict(), "small weights")
    assert torch.equal(model.blocks[0].attn.qkv.weight, before)
