import pytest

from spatialnet.model import SpatialNetViT
from spatialnet.model.losses import MultiTaskLoss
from spatialnet.recipe import Recipe
from spatialnet.sensors import SENSORS
from spatialnet.tasks import Task
from spatialnet.train.state import TrainingState, schedule


def test_the_rate_rises_to_its_peak_and_falls_to_a_hundredth():
    rate = schedule(Recipe(learning_rate=1e-3, warmup=0.2), 100)
    rates = [rate(step) for step in range(100)]
    assert rates[0] == pytest.approx(1e-3 / 20)
    assert max(rates) == rates[19] == rates[20] == pytest.approx(1e-3)
    assert rates[20:] == sorted(rates[20:], reverse=True)
    assert rates[-1] == pytest.approx(1e-5, rel=0.15)


def test_layer_decay_slows_low_blocks_and_never_the_new_parts():
    task = Task("land_use", "multiclass", ("a", "b"))
    model = SpatialNetViT([SENSORS["landsat7"]], [task], "tiny", chip_size=16, gsd_m=30.0)
    state = TrainingState(model, MultiTaskLoss([task]), Recipe(layer_decay=0.5), pretrained=True)
    scale, decay = {}, {}
    for group in state.optimizer.param_groups:
        for parameter in group["params"]:
            scale[state.names[id(parameter)]] = group["lr_scale"]
            decay[state.names[id(parameter)]] = group["weight_decay"]
    assert set(scale) == {f"model.{n}" for n, _ in model.named_parameters()}
    assert scale["model.blocks.11.mlp.fc1.weight"] == 0.5
    assert scale["model.blocks.0.mlp.fc1.weight"] == 0.5**12
    assert scale["model.pos_embed"] == 0.5**13
    new = ("tokenizers.", "sensor_embed.", "ground_position.", "local_context.", "queries.", "heads.")
    assert {s for n, s in scale.items() if n.removeprefix("model.").startswith(new)} == {1.0}
    assert decay["model.pos_embed"] == decay["model.queries.query"] == decay["model.norm.bias"] == 0
    assert decay["model.blocks.0.mlp.fc1.weight"] == 0.05
    fresh = TrainingState(model, MultiTaskLoss([task]), Recipe(layer_decay=0.5), pretrained=False)
    assert {group["lr_scale"] for group in fresh.optimizer.param_groups} == {1.0}
