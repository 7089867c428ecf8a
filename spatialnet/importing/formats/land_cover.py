"""Scenes with a land-cover raster: chips are cut on a grid, and a rules file says what the land cover means."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from pathlib import Path

from spatialnet.errors import ImportRefused
from spatialnet.importing.importer import Importer, Option, Source
from spatialnet.importing.listing import Listing
from spatialnet.importing.scenes.chips import StackFiles, scene_listing
from spatialnet.importing.scenes.derive import RULES_FOLDER, Rules, load_rules
from spatialnet.importing.scenes.land_cover import LandCoverFile
from spatialnet.importing.scenes.options import (
    BANDS,
    CUTTING,
    SCENES,
    band_numbers,
    chipping,
    find_places,
    own_origin,
)
from spatialnet.raster import SUFFIXES

_NAMES = ("land_cover", "landcover", "lulc", "worldcover", "nlcd", "clc", "corine", "dynamic_world")

_SCAN = 1000

LAND_COVER = Option(
    "land_cover", "Land cover", "A GeoTIFF of class codes in any projection and pixel size; `*` stands for the place.",
    required=True,
)  # fmt: skip
RULES = Option(
    "rules", "Rules", "What the codes mean: " + ", ".join(sorted(path.stem for path in RULES_FOLDER.glob("*.toml")))
    + ", or the path of a rules file of your own.", required=True,
)  # fmt: skip


def _recognise(path: Path) -> str | None:
    if not path.is_dir():
        return None
    for entry in sorted(islice(path.iterdir(), _SCAN)):
        if any(name in entry.name.lower() for name in _NAMES) and (entry.is_dir() or entry.suffix.lower() in SUFFIXES):
            return f"scenes with the land cover {entry.name[:60]!r}"
    return None


def _rules(source: Source) -> Rules:
    answer = source.options[RULES.name]
    ready = {path.stem: path for path in RULES_FOLDER.glob("*.toml")}
    if answer in ready:
        return load_rules(ready[answer])
    path = source.file(RULES.name) if answer.lower().endswith(".toml") else None
    if path is None:
        raise ImportRefused(
            f"The rules are {answer[:80]!r}. Use {', '.join(sorted(ready))}, or a file that ends in .toml."
        )
    return load_rules(path)


def _list(source: Source) -> Listing:
    rules, cut, bands = _rules(source), chipping(source.options), band_numbers(source.options[BANDS.name])
    places, notes = find_places(source, [LAND_COVER])
    stacks = [
        StackFiles(
            place.name, place.scenes, LandCoverFile(place.further[LAND_COVER.name]), bands,
            land_cover=place.further[LAND_COVER.name],
        ) for place in places
    ]  # fmt: skip
    origin = own_origin(source, f"Chips of scenes with targets derived from land cover: {rules.title}.")
    return scene_listing(IMPORTER.name, origin, stacks, rules, cut, source.progress, notes=notes)


IMPORTER = Importer(
    name="land_cover",
    title="Scenes with land cover",
    about="One or several co-registered GeoTIFFs and a land-cover raster; chips are cut and their targets derived by rules.",
    layout="""any folder, for example
    S2/<place>.tif             one file per sensor and place, in one coordinate reference system per place
    S1/<place>.tif             another sensor, also with larger pixels
    land_cover/<place>.tif     class codes 0 to 254, any projection and pixel size
    rules.toml                 what the codes mean, unless ready rules fit""",
    family="yours",
    recognise=_recognise,
    list_chips=_list,
    options=(replace(SCENES, required=True), LAND_COVER, RULES, BANDS, *CUTTING),
)
