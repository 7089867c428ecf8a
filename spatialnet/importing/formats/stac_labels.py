"""STAC items of the label extension: polygons in a GeoJSON asset, and the scenes that they were drawn on."""

from __future__ import annotations

import json
import re
from itertools import chain, islice
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from spatialnet.errors import ImportRefused
from spatialnet.importing.importer import Importer, Option, Source
from spatialnet.importing.listing import Listing, Note
from spatialnet.importing.scenes.chips import StackFiles, scene_listing
from spatialnet.importing.scenes.options import (
    BANDS,
    CUTTING,
    PlaceFiles,
    band_numbers,
    chipping,
    named_sensor,
    own_origin,
    share,
)
from spatialnet.importing.scenes.polygon_cover import PolygonCover, polygon_cover, polygon_rules
from spatialnet.importing.scenes.vector import read_shapes
from spatialnet.raster import SUFFIXES, shown_name

SENSOR = Option(
    "sensor",
    "Sensor",
    "Which sensor took the scenes that the items link to, for example `sentinel2_l2a`.",
    required=True,
)
PROPERTY = Option(
    "class_column", "Class property", "Which of `label:properties` names the class; empty where there is one."
)
ASSET = Option("asset", "Asset", "Which asset of the source items is the scene; empty where there is one GeoTIFF.")
MIN_SHARE = Option(
    "min_share", "Presence share", "A class is present where it covers at least this share of a chip.", "0.1"
)
MIN_KNOWN = Option("min_known", "Labelled share", "A chip has a land use where at least this share is labelled.", "0.5")

MAX_JSON_BYTES = 64 << 20
_SCAN = 100
_ADDRESS = re.compile(r"[A-Za-z][\w+.-]*:")


def _recognise(path: Path) -> str | None:
    if not path.is_dir():
        return None
    # Not the whole tree: a folder may hold millions of files of another format.
    near = islice(chain(path.glob("*.json"), path.glob("*/*.json")), _SCAN)
    return "STAC items with labels" if any(_is_label_item(_json(entry)) for entry in near) else None


def _is_label_item(values: Any) -> bool:
    """Whether parsed JSON is a STAC item of the label extension."""
    if not isinstance(values, dict) or values.get("type") != "Feature" or "stac_version" not in values:
        return False
    properties = values.get("properties")
    return isinstance(properties, dict) and any(str(key).startswith("label:") for key in properties)


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes()) if path.stat().st_size <= MAX_JSON_BYTES else None
    except (OSError, ValueError, RecursionError):
        return None


def _list(source: Source) -> Listing:
    cut, bands, sensor = (
        chipping(source.options),
        band_numbers(source.options[BANDS.name]),
        named_sensor(source.options[SENSOR.name]),
    )
    folder = (source.path if source.path.is_dir() else source.path.parent).resolve()
    items = _label_items(folder) if source.path.is_dir() else _one_item(source.path)
    if not items:
        raise ImportRefused(
            f"No STAC item below {shown_name(folder)} has `label:` properties. Choose the folder of the label items."
        )
    found: list[tuple[PlaceFiles, PolygonCover, dict[int, str]]] = []
    notes: list[Note] = []
    for number, (path, item) in enumerate(items):
        source.progress(0.1 * number / len(items), f"Reading the labels of {path.name[:60]}")
        name = _name(path, item)
        column, labels = _class_property(path, item, source), _labels(folder, path, item)
        scene = _scene(folder, path, item, source.options[ASSET.name])
        cover, names, said = polygon_cover(read_shapes(labels), column)
        notes += [Note(note.severity, f"{name}: {note.text}", note.names) for note in said]
        found.append((PlaceFiles(name, {sensor: (scene,)}, {}), cover, names))
    classes = sorted({name for _, _, names in found for name in names.values()})
    stacks = [
        StackFiles(
            place.name, place.scenes, cover.renumbered({code: classes.index(n) + 1 for code, n in names.items()}), bands
        )
        for place, cover, names in found
    ]
    every = dict(enumerate(classes, start=1))
    rules = polygon_rules(every, "STAC labels", share(source.options, MIN_SHARE), share(source.options, MIN_KNOWN))
    origin = own_origin(source, "Chips of scenes with targets from STAC label items.")
    return scene_listing(
        IMPORTER.name,
        origin,
        stacks,
        rules,
        cut,
        lambda part, text: source.progress(0.1 + 0.9 * part, text),
        notes=notes,
    )


def _label_items(folder: Path) -> list[tuple[Path, dict[str, Any]]]:
    """Items of the label extension below a folder, in the order of their paths."""
    found = ((path, _json(path)) for path in sorted(folder.rglob("*.json")))
    return [(path, values) for path, values in found if _is_label_item(values)]


def _one_item(path: Path) -> list[tuple[Path, dict[str, Any]]]:
    values = _json(path)
    if not isinstance(values, dict) or values.get("type") != "Feature":
        raise ImportRefused(
            f"{shown_name(path)} is no STAC item. Choose a label item, or the folder that holds the items."
        )
    return [(path, values)]


def _name(path: Path, item: dict[str, Any]) -> str:
    name = item.get("id")
    if not isinstance(name, str) or not name:
        raise ImportRefused(f"{shown_name(path)} has no `id`. A STAC item needs one.")
    return re.sub(r"[^\w .+()-]", "-", name).strip(" .+()-")[:100] or "item"


def _class_property(path: Path, item: dict[str, Any], source: Source) -> str:
    """The property that names the class."""
    properties = item.get("properties")
    properties = properties if isinstance(properties, dict) else {}
    kind, names = properties.get("label:type"), properties.get("label:properties")
    if kind != "vector" or not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ImportRefused(
            f"{shown_name(path)} has `label:type` {str(kind)[:40]!r} and `label:properties` {str(names)[:60]!r}. "
            "Only vector labels can be used; they need a list of property names."
        )
    chosen = source.options[PROPERTY.name]
    if chosen and chosen not in names:
        raise ImportRefused(f"{shown_name(path)} has no label property {chosen[:40]!r}; it has {str(names)[:120]}.")
    if not chosen and len(names) != 1:
        raise ImportRefused(
            f"{shown_name(path)} has {len(names)} label properties, {str(names)[:120]}. Say which one names the class."
        )
    return chosen or str(names[0])


def _labels(folder: Path, path: Path, item: dict[str, Any]) -> Path:
    """The GeoJSON asset of a label item."""
    assets = _assets(path, item)
    found = [
        asset for key, asset in assets.items()
        if "labels" in [key, *_texts(asset.get("roles"))] or "geo+json" in str(asset.get("type", ""))
    ]  # fmt: skip
    if len(found) != 1:
        raise ImportRefused(
            f"{shown_name(path)} has {len(found)} assets of labels. A label item needs one GeoJSON asset, `labels`."
        )
    return _linked(folder, path, found[0])


def _scene(folder: Path, path: Path, item: dict[str, Any], wanted: str) -> Path:
    """The scene that a label item was drawn on: an asset of the item that its `source` link names."""
    links = item.get("links")
    sources = (
        [link for link in links if isinstance(link, dict) and link.get("rel") == "source"]
        if isinstance(links, list)
        else []
    )
    if len(sources) != 1:
        raise ImportRefused(
            f"{shown_name(path)} links to {len(sources)} source items. Keep one link with `rel` `source` per label item."
        )
    other = _linked(folder, path, sources[0])
    if other.suffix.lower() in SUFFIXES:
        return other
    values = _json(other)
    if not isinstance(values, dict):
        raise ImportRefused(f"{shown_name(other)}, the source of {shown_name(path)}, is no STAC item.")
    assets = _assets(other, values)
    images = {
        key: asset for key, asset in assets.items() if Path(str(asset.get("href", ""))).suffix.lower() in SUFFIXES
    }
    chosen = {wanted: images[wanted]} if wanted in images else ({} if wanted else images)
    if len(chosen) != 1:
        raise ImportRefused(
            f"{shown_name(other)} has the GeoTIFF assets {str(list(images))[:120]}. Say which one is the scene."
        )
    return _linked(folder, other, next(iter(chosen.values())))


def _assets(path: Path, item: dict[str, Any]) -> dict[str, dict[str, Any]]:
    assets = item.get("assets")
    if not isinstance(assets, dict) or not all(isinstance(asset, dict) for asset in assets.values()):
        raise ImportRefused(f"{shown_name(path)} has no readable `assets`. A STAC item needs them.")
    return assets


def _texts(value: Any) -> list[str]:
    return [text for text in value if isinstance(text, str)] if isinstance(value, list) else []


def _linked(folder: Path, path: Path, link: dict[str, Any]) -> Path:
    """The file that a link or asset names; nothing outside of the source folder is followed."""
    href = link.get("href")
    if not isinstance(href, str) or not href:
        raise ImportRefused(f"A link of {shown_name(path)} has no `href`. Save the item again.")
    if _ADDRESS.match(href) or href.startswith("//") or "\0" in href:
        raise ImportRefused(
            f"{shown_name(path)} links to {href[:80]!r}. Download that file, and link to it by a relative path."
        )
    target = (path.parent / unquote(href)).resolve()
    if not target.is_relative_to(folder):
        raise ImportRefused(
            f"{shown_name(path)} links to {href[:80]!r}, which lies outside of the source folder. Move it inside."
        )
    if not target.is_file():
        raise ImportRefused(f"{shown_name(path)} links to {href[:80]!r}, which is not there. Download it as well.")
    return target


IMPORTER = Importer(
    name="stac_labels",
    title="STAC label items",
    about="STAC items with the label extension: their polygons become the targets of chips of the scenes they link to.",
    layout="""any folder, for example
    labels/<item>.json         items with `label:type` vector and `label:properties`
    labels/<item>.geojson      their asset `labels`: a FeatureCollection
    source/<scene>.json        the item that the link with `rel` `source` names
    source/<scene>.tif         its scene
All links must be relative paths inside the folder.""",
    family="yours",
    recognise=_recognise,
    list_chips=_list,
    options=(SENSOR, PROPERTY, ASSET, BANDS, *CUTTING, MIN_SHARE, MIN_KNOWN),
)
