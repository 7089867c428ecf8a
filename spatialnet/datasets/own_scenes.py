"""A data set from a person's own files: scenes, a land-cover raster, and a rules file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from spatialnet.datasets.build import Chipping, Origin, Stack, build_dataset
from spatialnet.datasets.derive import load_rules
from spatialnet.datasets.land_cover import read_codes_on_grid
from spatialnet.datasets.packed import PackedChips
from spatialnet.datasets.splits import BlockPlan
from spatialnet.errors import BandsDoNotMatch
from spatialnet.raster import read_scene
from spatialnet.sensors import SENSORS


def build_from_files(
    folder: Path,
    scenes: Mapping[str, Path],
    land_cover: Path,
    rules: Path,
    origin: Origin,
    *,
    chipping: Chipping | None = None,
    plan: BlockPlan | None = None,
    progress: Callable[[float, str], None] = lambda _share, _text: None,
) -> PackedChips:
    """Build a data set from files; its folder appears whole or not at all.

    Args:
        folder: the data-set folder to write.
        scenes: per sensor (a name in `spatialnet.sensors.SENSORS`) its GeoTIFF; all on one pixel grid.
        land_cover: a raster of class codes over the same ground, in any projection and pixel size.
        rules: how targets follow from the land cover; see `spatialnet/datasets/rules/raleigh.toml`.
        origin: title, licence, citation, source.
        chipping: chip size and stride.
        plan: how blocks are split.
        progress: called with a share in 0..1 and what is being done.

    Raises:
        BandsDoNotMatch: an unknown sensor, a file with other bands, or scenes of different grids.
        SpatialNetError: another of its children says what is wrong with a file or the rules.
    """
    unknown = sorted(scenes.keys() - SENSORS.keys())
    if unknown:
        raise BandsDoNotMatch(f"There is no sensor {unknown[0][:64]!r}. Use one of {', '.join(SENSORS)}.")
    known = load_rules(rules)
    progress(0.02, "Reading the scenes")
    rasters = {SENSORS[name]: read_scene(path, SENSORS[name]) for name, path in scenes.items()}
    codes = read_codes_on_grid(land_cover, next(iter(rasters.values())))
    return build_dataset(
        folder, Stack(rasters, codes), known, origin, chipping=chipping, plan=plan,
        progress=lambda share, text: progress(0.1 + 0.9 * share, text),
    )  # fmt: skip
