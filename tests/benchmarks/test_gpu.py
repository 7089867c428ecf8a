import subprocess
import sys

import pytest
import torch

from benchmarks import gpu
from benchmarks.figures import CannotRun
from spatialnet.model import SpatialNetViT
from spatialnet.sensors import SENSORS
from spatialnet.tasks import Task

TOY = """
import sys
for name in "affine captum pandas peft psutil pyarrow pyproj rasterio shapely sklearn sqlalchemy streamlit".split():
    sys.modules[name] = None  # what a bare machine lacks
import torch
from benchmarks.gpu import Network, Sizes, measure
torch.set_num_threads(1)
networks = (
    Network("a", "nano", "sentinel2_l1c", 16, 8, 4, (2, 4), "roofline", 0.1, 0.1),
    Network("b", "nano", "rgb", 32, 8, 4, (2,), "matmul", 0.1, 0.1),
)
print(measure(torch.device("cpu"), Sizes(networks, matrix=(32,), copied=4096, steps=1, rounds=1)).table())
"""


def test_every_line_runs_with_what_a_bare_machine_has():
    done = subprocess.run([sys.executable, "-c", TOY], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    for figure in (
        "a_train_of_roofline", "a_infer_of_roofline", "b_train_of_matmul", "b_infer_of_matmul", "augment_over_copy", "epoch_over_plain",
    ):  # fmt: skip
        assert f"\n{figure} " in done.stdout


def test_the_work_is_that_of_a_plain_vision_transformer():
    task = Task("land_use", "multiclass", ("a", "b"))
    base = SpatialNetViT([SENSORS["rgb"]], [task], "base", chip_size=224, gsd_m=1.0)
    assert gpu.forward_flops(base) == pytest.approx(
        35.1e9, rel=0.01
    )  # ViT-B/16 at 224 px: 17.58 billion multiplications
    assert gpu.forward_bytes(base) == 72 * 768 * 197 * 12


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_says_so():
    with pytest.raises(CannotRun, match="CUDA GPU"):
        gpu.run(None)
