import pytest
import torch

from spatialnet.model import SpatialNetViT
from spatialnet.sensors import SENSORS
from spatialnet.tasks import Task

TASKS = (
    Task("land_use", "multiclass", ("a", "b", "c")),
    Task("presence", "multilabel", ("x", "y")),
    Task("rural_urban", "binary", ("rural", "urban")),
    Task("cars", "count", ("small", "large")),
)


@pytest.fixture(scope="session")
def build():
    def make(preset="nano", sensors=("landsat7",), **options):
        torch.manual_seed(0)
        options = {"chip_size": 16, "gsd_m": 30.0, **options}
        return SpatialNetViT([SENSORS[s] for s in sensors], TASKS, preset, **options).eval()

    return make


@pytest.fixture(scope="session")
def stir():
    def disturb(model):
        """Give every zero-initialised part a value, as training does."""
        torch.manual_seed(1)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(0.05 * torch.randn_like(parameter))
        return model

    return disturb
