import pytest
import timm
import torch

from spatialnet.errors import BandsDoNotMatch, CheckpointDoesNotFit, RecipeInvalid, TargetsInvalid
from spatialnet.model import SpatialNetViT
from spatialnet.model.weights import place_backbone
from spatialnet.presets import PRESETS
from spatialnet.sensors import SENSORS


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_answers_every_task(build, preset):
    answers = build(preset)(torch.randn(2, 6, 16, 16), return_features=True)
    assert {name: tuple(a.shape) for name, a in answers.items() if name != "features"} == {
        "land_use": (2, 3), "presence": (2, 2), "rural_urban": (2,), "cars": (2, 2),
    }  # fmt: skip
    assert all(a.dtype == torch.float32 for a in answers.values())
    assert answers["features"].ndim == 2


def answers_and_gradients(model, images, present):
    """What the model answers, and the gradient of all answers by pixel and by parameter."""
    leaves = {name: pixels.clone().requires_grad_() for name, pixels in images.items()}
    model.zero_grad()
    torch.manual_seed(5)
    answers = model(leaves, present=present, return_features=True)
    sum(a.square().sum() for a in answers.values()).backward()
    pixels = {name: torch.zeros_like(leaf) if leaf.grad is None else leaf.grad for name, leaf in leaves.items()}
    kernels = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    return {name: a.detach() for name, a in answers.items()}, pixels, kernels


@pytest.mark.parametrize("fusion", ["early", "mean"])
@pytest.mark.parametrize("preset", PRESETS)
def test_an_absent_sensor_leaks_exactly_nothing(build, stir, preset, fusion):
    sensors = ("landsat7", "sentinel1", "elevation")
    model = build(preset, sensors=sensors, fusion=fusion, patch=4, patch_drop=0.5)
    model.blocks = model.blocks[:1]  # what leaks, leaks in one block
    stir(model)
    images = {name: torch.randn(4, len(SENSORS[name].bands), 16, 16) for name in sensors}
    for training in (False, True):
        model.train(training)
        for absent in range(3):  # chip `absent` lacks the sensor of this place; chip 3 only has the sensor `absent`
            present = {name: torch.ones(4, dtype=torch.bool) for name in sensors}
            present[sensors[absent]][absent] = False
            for other in {0, 1, 2} - {absent}:
                present[sensors[other]][3] = False
            gone = {name: ~present[name] for name in sensors}
            answers, pixels, kernels = answers_and_gradients(model, images, present)
            wrong = torch.tensor([torch.nan, torch.inf, -torch.inf, 1e30]).repeat(4)
            spoilt = {n: torch.where(gone[n][:, None, None, None], wrong, i) for n, i in images.items()}
            again, pixels_again, kernels_again = answers_and_gradients(model, spoilt, present)
            assert all(torch.equal(answers[n], again[n]) for n in answers)
            assert all(torch.equal(kernels[n], kernels_again[n]) for n in kernels)
            assert all((pixels_again[n][gone[n]] == 0).all() for n in sensors)
            assert all((pixels[n][present[n]] != 0).any() for n in sensors)
            touched = {n: i + 0.5 * gone[n].logical_not()[:, None, None, None] for n, i in images.items()}
            torch.manual_seed(5)
            with torch.no_grad():
                changed = model(touched, present=present)
            assert not torch.equal(changed["land_use"][3], answers["land_use"][3])


@pytest.mark.parametrize("fusion", ["early", "mean"])
def test_only_present_sensors_count_in_a_chips_answer(build, stir, fusion):
    """The same chip gets the same answer whatever the rest of the batch has."""
    model = stir(build(sensors=("landsat7", "sentinel1"), fusion=fusion))
    images = {"landsat7": torch.randn(2, 6, 16, 16), "sentinel1": torch.randn(2, 2, 16, 16)}
    mixed = model(images, present={"sentinel1": torch.tensor([True, False])})["land_use"]
    torch.testing.assert_close(mixed[:1], model({n: i[:1] for n, i in images.items()})["land_use"])
    torch.testing.assert_close(mixed[1:], model({"landsat7": images["landsat7"][1:]})["land_use"])


@pytest.mark.parametrize("fusion", ["early", "mean"])
def test_absent_equals_never_given(build, stir, fusion):
    model = stir(build(sensors=("landsat7", "sentinel1"), fusion=fusion))
    optical, radar = torch.randn(2, 6, 16, 16), torch.randn(2, 2, 16, 16)
    masked = model({"landsat7": optical, "sentinel1": radar}, present={"sentinel1": torch.tensor([False, False])})
    alone = model({"landsat7": optical})
    torch.testing.assert_close(masked["land_use"], alone["land_use"], atol=1e-5, rtol=1e-5)


def test_a_chip_without_any_sensor_gets_an_answer_that_is_a_number(build, stir):
    model = stir(build(sensors=("landsat7", "sentinel1")))
    nothing = torch.tensor([False])
    images = {"landsat7": torch.full((1, 6, 16, 16), torch.nan), "sentinel1": torch.randn(1, 2, 16, 16)}
    answers = model(images, present={"landsat7": nothing, "sentinel1": nothing})
    assert all(torch.isfinite(a).all() for a in answers.values())


@pytest.mark.parametrize(
    ("architecture", "size"),
    [("vit_tiny_patch16_224", 64), ("vit_medium_patch16_reg4_gap_256", 64), ("vit_small_patch14_dinov2", 56)],
)
def test_a_fresh_model_with_placed_weights_is_timms_model(build, architecture, size):
    torch.manual_seed(0)
    patch = 14 if "patch14" in architecture else 16
    peer = timm.create_model(architecture, depth=2, num_classes=0, img_size=size, global_pool="avg", fc_norm=False)
    model = build(f"timm:{architecture}", sensors=("rgb",), chip_size=size, patch=patch)
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


def test_spatial_terms_and_queries_change_nothing_at_the_start_and_something_later(build):
    model, images = build(), torch.randn(2, 6, 16, 16)
    far = torch.tensor([30.0, 60.0])
    assert torch.equal(model(images)["land_use"], model(images, gsd=far)["land_use"])
    model.ground_position.gate.data.fill_(0.5)
    answers = model(images, gsd=far)["land_use"]
    assert torch.equal(model(images)["land_use"][0], answers[0])
    assert not torch.allclose(model(images)["land_use"][1], answers[1])


def test_the_same_place_in_a_finer_picture_has_the_same_ground_position(build):
    model = build()
    model.ground_position.gate.data.fill_(1.0)
    coarse = model.ground_position((4, 4), None)
    fine = model.ground_position((12, 12), torch.tensor([10.0]))
    # the centre of a 30 m patch is the centre of the middle one of its nine 10 m patches
    torch.testing.assert_close(fine[:, :, 1::3, 1::3], coarse)


def test_the_steps_are_the_forward_pass(build, stir):
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


def test_a_token_of_the_layout_is_the_patch_it_says(build):
    model = build("tiny", sensors=("landsat7", "sentinel1"))
    images = {"landsat7": torch.zeros(1, 6, 16, 16), "sentinel1": torch.zeros(1, 2, 16, 16)}
    before, layout = model.tokens(images)
    patch = model.patch
    images["sentinel1"][0, :, patch : 2 * patch, 2 * patch : 3 * patch] = 9.0
    after, _ = model.tokens(images)
    grids = layout.grids((after - before).abs().sum(-1))
    assert grids["landsat7"].sum() == 0
    assert grids["sentinel1"][0].nonzero().tolist() == [[1, 2]]


def test_chips_of_another_size_are_answered(build):
    assert build()(torch.randn(1, 6, 24, 40))["land_use"].shape == (1, 3)


def test_prepare_normalises_and_puts_the_mean_where_there_is_no_data(build):
    model = build()
    mean, std = torch.arange(6).numpy(), torch.full((6,), 2.0).numpy()
    model.set_statistics({"landsat7": (mean, std)})
    pixels = torch.full((1, 6, 16, 16), 4.0).numpy()
    pixels[0, 3, 0, 0] = torch.nan
    ready = model.prepare({"landsat7": pixels})["landsat7"]
    assert ready[0, :, 5, 5].tolist() == [2.0, 1.5, 1.0, 0.5, 0.0, -0.5]
    assert ready[0, 3, 0, 0] == 0
    assert torch.isnan(torch.from_numpy(pixels)[0, 3, 0, 0])


def test_config_rebuilds_the_architecture(build):
    model = build(sensors=("landsat7", "sentinel1"), fusion="mean", patch=4, size=32, spatial=False, patch_drop=0.25)
    twin = SpatialNetViT.from_config(model.config())
    assert twin.config() == model.config()
    assert {n: p.shape for n, p in twin.named_parameters()} == {n: p.shape for n, p in model.named_parameters()}
    with pytest.raises(CheckpointDoesNotFit):
        SpatialNetViT.from_config({"preset": "nano"})


def test_bad_requests_are_refused_with_a_sentence(build):
    with pytest.raises(RecipeInvalid, match="nano"):
        build("huge")
    with pytest.raises(RecipeInvalid, match="vision transformer"):
        build("timm:resnet18")
    with pytest.raises(RecipeInvalid, match="patch of 17"):
        build(patch=17)
    with pytest.raises(RecipeInvalid, match="patch_drop is 1"):
        build(patch_drop=1)
    model = build()
    with pytest.raises(BandsDoNotMatch, match="6 bands"):
        model(torch.randn(1, 3, 16, 16))
    with pytest.raises(BandsDoNotMatch, match="unknown"):
        model({"rgb": torch.randn(1, 3, 16, 16)})
    with pytest.raises(TargetsInvalid, match="no task"):
        model(torch.randn(1, 6, 16, 16), tasks=["roads"])


def test_placed_weights_must_fit(build):
    model = build("tiny")
    other = timm.create_model("vit_small_patch16_224", num_classes=0)
    before = model.blocks[0].attn.qkv.weight.clone()
    with pytest.raises(CheckpointDoesNotFit, match="does not fit preset tiny"):
        place_backbone(model, other.state_dict(), "small weights")
    assert torch.equal(model.blocks[0].attn.qkv.weight, before)


@pytest.mark.parametrize("preset", ["nano", "paper"])
def test_patches_are_left_out_in_training_only(build, stir, preset):
    model = stir(build(preset, patch=4, patch_drop=0.5))
    images = torch.randn(3, 6, 16, 16)
    assert model.tokens(images)[1].kept is None
    model.train()
    tokens, layout = model.tokens(images)
    assert tokens.shape[1] == layout.count == layout.prefix + 8
    assert layout.grids(tokens[..., 0])["landsat7"].shape == (3, 4, 4)
    pooled = model.pool(model.encode(tokens, layout), layout)
    torch.testing.assert_close(pooled.attention.sum(-1), torch.ones_like(pooled.attention.sum(-1)))
    torch.testing.assert_close(pooled.base.sum(-1), torch.ones(3))
    assert all(a.isfinite().all() for a in model(images).values())


def test_a_description_of_before_still_builds_its_model(build, stir):
    model = stir(build(sensors=("landsat7", "sentinel1"), fusion="mean", patch=4))
    old = {k: v for k, v in model.config().items() if k not in ("size", "spatial", "patch_drop", "statistics")}
    twin = SpatialNetViT.from_config(old).eval()
    twin.load_state_dict(model.state_dict())
    images = {"landsat7": torch.randn(1, 6, 16, 16), "sentinel1": torch.randn(1, 2, 16, 16)}
    assert torch.equal(twin(images)["land_use"], model(images)["land_use"])


def test_a_model_without_spatial_terms_has_none_of_their_parameters(build):
    model = build(spatial=False)
    names = {n.split(".")[0] for n, _ in model.named_parameters()}
    assert not {"ground_position", "local_context"} & names
    assert "pos_embed" in names
    twin = SpatialNetViT.from_config(model.config())
    assert {n for n, _ in twin.named_parameters()} == {n for n, _ in model.named_parameters()}


def test_the_paper_preset_is_the_published_network(build):
    model = build("paper", sensors=("rgb",), chip_size=64, size=256)
    assert (model.patch, model.grid, model.dim, len(model.blocks)) == (16, (16, 16), 512, 12)
    counted = {
        "tokenizers": 3 * 16 * 16 * 512 + 512,
        "cls_token": 512,
        "pos_embed": 257 * 512,
        "blocks": 12 * (4 * 512 * 512 + 4 * 512 + 2 * 4 * 512 * 512 + 4 * 512 + 512 + 4 * 512),
        "norm": 2 * 512,
    }
    own = dict.fromkeys(counted, 0)
    for name, parameter in model.named_parameters():
        if name.split(".")[0] in own:
            own[name.split(".")[0]] += parameter.numel()
    assert own == counted
    assert round(sum(own.values()) / 1e6, 2) == 38.36
    assert model.blocks[0].attn.num_heads == 8
    assert {m.p for m in model.blocks[0].modules() if isinstance(m, torch.nn.Dropout)} == {0.1}
    assert model.pos_drop.p == 0.1
    assert model.ground_position is None
    assert {n for n, _ in model.heads["land_use"].named_parameters()} == {"fc.weight", "fc.bias"}
    tokens, layout = model.tokens(torch.randn(1, 3, 64, 64))
    assert tokens.shape == (1, 257, 512)
    assert torch.equal(model.pool(tokens, layout).features[:, 0], tokens[:, 0]), "heads read the class token"
