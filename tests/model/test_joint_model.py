import pytest
import torch

from spatialnet.errors import DataSetInvalid
from spatialnet.joint import JointTasks, Share
from spatialnet.model import SpatialNetViT, load_model, probabilities, save_model
from spatialnet.model.joint_model import for_dataset
from spatialnet.sensors import SENSORS
from spatialnet.tasks import Task

TASKS = (
    Task("land_use", "multiclass", ("forest", "beach", "water")),
    Task("presence", "multilabel", ("car", "tree", "ship")),
    Task("town", "binary", ("rural", "urban")),
)
OWN = (
    Task("cover", "multiclass", ("water", "forest")),
    Task("presence", "multilabel", ("ship",)),
    Task("place", "binary", ("urban", "rural")),
)
JOINT = JointTasks(
    TASKS,
    {
        "first": {task.name: Share(task.name, tuple(range(len(task.classes)))) for task in TASKS},
        "second": {
            "cover": Share("land_use", (2, 0)),
            "presence": Share("presence", (2,)),
            "place": Share("town", (1, 0)),
        },
    },
)


@pytest.fixture(params=["nano", "paper"])
def model(request):
    torch.manual_seed(0)
    model = SpatialNetViT(
        [SENSORS["rgb"], SENSORS["sentinel1"]], TASKS, request.param, chip_size=16, gsd_m=10.0, size=32, patch=8
    ).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    model.set_statistics({"rgb": ([1, 2, 3], [1, 1, 1]), "sentinel1": ([0, 0], [1, 1])}, "first")
    model.set_statistics({"rgb": ([5, 5, 5], [2, 2, 2])}, "second")
    return model


def test_its_answers_are_the_joint_models_among_the_data_sets_own_classes(model, tmp_path):
    own = for_dataset(model, JOINT, "second", OWN, gsd_m=2.0, chip_size=64)
    pixels = {"rgb": torch.randn(3, 3, 64, 64).numpy()}
    gsd = torch.full((3,), model.gsd_of(2.0, 64))
    with torch.inference_mode():
        joint = model(model.prepare(pixels, dataset="second"), gsd=gsd)
        mine = own(own.prepare(pixels))
    wanted = joint["land_use"][:, [2, 0]].softmax(-1)
    assert torch.allclose(probabilities(mine["cover"], OWN[0]), wanted, atol=1e-5)
    assert torch.allclose(mine["presence"], joint["presence"][:, [2]], atol=1e-5)
    assert torch.allclose(mine["place"], -joint["town"], atol=1e-5)
    save_model(tmp_path / "own.safetensors", own, extra={})
    again, _ = load_model(tmp_path / "own.safetensors")
    with torch.inference_mode():
        assert torch.equal(again(again.prepare(pixels))["cover"], mine["cover"])


def test_what_the_run_did_not_learn_is_left_out_or_refused(model):
    assert list(for_dataset(model, JOINT, "second", OWN[:1], gsd_m=2.0, chip_size=64).tasks) == ["cover"]
    with pytest.raises(DataSetInvalid, match="no task of data set 'third'"):
        for_dataset(model, JOINT, "third", OWN, gsd_m=2.0, chip_size=64)
