"""Scenes with label polygons: chips are cut on a grid, and what polygons say of their ground becomes their targets."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from pathlib import Path

from spatialnet.errors import ImportRefused
from spatialnet.importing.importer import Importer, Option, Source
from spatialnet.importing.listing import Listing
from spatialnet.importing.scenes.chips import StackFiles, scene_listing
from spatialnet.importing.scenes.options import (
    BANDS,
    CUTTING,
    SCENES,
    band_numbers,
    chipping,
    find_places,
    own_origin,
    share,
)
from spatialnet.importing.scenes.polygon_cover import polygon_cover, polygon_rules
from spatialnet.importing.scenes.vector import SUFFIXES, read_shapes
from spatialnet.raster import SUFFIXES as RASTER_SUFFIXES

LABELS = Option(
    "labels", "Labels", f"The file of polygons in any coordinate reference system: {', '.join(SUFFIXES)}.", file=True,
    required=True,
)  # fmt: skip
CLASS_COLUMN = Option(
    "class_column", "Class column", "The column that names the class; may be left empty where there is only one."
)
MIN_SHARE = Option(
    "min_share", "Presence share", "A class is present where it covers at least this share of a chip.", "0.1"
)
MIN_KNOWN = Option("min_known", "Labelled share", "A chip has a land use where at least this share is labelled.", "0.5")

_SCAN = 1000


def _recognise(path: Path) -> str | None:
    if not path.is_dir():
        return None
    suffixes = {entry.suffix.lower() for entry in islice(path.iterdir(), _SCAN)}
    found = sorted(suffixes & (set(SUFFIXES) - {".json", ".parquet"}))
    return f"scenes with label polygons ({found[0]})" if found and suffixes & set(RASTER_SUFFIXES) else None


def _list(source: Source) -> Listing:
    cut, bands = chipping(source.options), band_numbers(source.options[BANDS.name])
    path = source.file(LABELS.name)
    if path is None:
        raise ImportRefused("Name the file of label polygons.")
    source.progress(0.0, "Reading the polygons")
    cover, names, notes = polygon_cover(read_shapes(path), source.options[CLASS_COLUMN.name])
    rules = polygon_rules(
        names, f"Polygons of {path.name}", share(source.options, MIN_SHARE), share(source.options, MIN_KNOWN)
    )
    places, left = find_places(source)
    stacks = [StackFiles(place.name, place.scenes, cover, bands) for place in places]
    origin = own_origin(source, f"Chips of scenes with targets from the label polygons of {path.name}.")
    return scene_listing(IMPORTER.name, origin, stacks, rules, cut, source.progress, notes=[*left, *notes])


IMPORTER = Importer(
    name="polygons",
    title="Scenes with label polygons",
    about="One or several co-registered GeoTIFFs and polygons with classes; what is not labelled stays unknown.",
    layout="""any folder, for example
    image.tif                  a scene; or <place>.tif for several places
    labels.geojson             polygons with a column that names the class; also .gpkg, .parquet,
                               or a shapefile (.shp with its .shx, .dbf and .prj)""",
    family="yours",
    recognise=_recognise,
    list_chips=_list,
    options=(
        replace(SCENES, required=True), LABELS, CLASS_COLUMN, BANDS, *CUTTING, MIN_SHARE, MIN_KNOWN,
    ),
)  # fmt: skip
