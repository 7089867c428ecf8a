"""The addresses of everything that these routes serve, so that no page writes one by hand.

Names in an address carry hyphens where identifiers carry underscores: streamlit-folium does not notice a change of a
map that comes after an underscore.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import quote, urlencode

ASSETS = "/assets"
LABELS = "/api/labels"
VENDOR = Path(__file__).with_name("vendor")
MAP_SCRIPTS = (
    ("leaflet", f"{ASSETS}/leaflet/leaflet.js"),
    ("snmap", f"{ASSETS}/snmap.js"),
    ("jquery", f"{ASSETS}/jquery/jquery.min.js"),
)
"""What a folium map needs instead of its `default_js`; popups use jQuery."""

MAP_STYLES = (("leaflet_css", f"{ASSETS}/leaflet/leaflet.css"),)
"""What a folium map needs instead of its `default_css`."""

SHEET_COLUMNS = 12
"""Chips in one row of a contact sheet."""

Query = Mapping[str, str | Sequence[str]]
"""Query parameters of a `spatialnet.web.chip_filter.ChipFilter`."""

_XYZ = "{z}/{x}/{y}.png"


def scene_tiles(
    dataset: str,
    sensor: str,
    bands: Sequence[int],
    *,
    low: Sequence[float] | None = None,
    high: Sequence[float] | None = None,
    version: str = "",
) -> str:
    """Tiles of a scene in three bands.

    Args:
        dataset: identifier.
        sensor: identifier.
        bands: indices from 0 of the bands shown as red, green and blue.
        low: value per band that is shown black; default the data set's 2nd percentile.
        high: value per band that is shown at full brightness; default the data set's 98th percentile.
        version: the data set's fingerprint; with it the browser keeps tiles without asking again.
    """
    shown = "-".join(str(int(band)) for band in bands)
    return _tiles(f"scene/{dataset}/{_hyphens(sensor)}/{shown}", version, _stretch(low, high))


def land_cover_tiles(dataset: str, version: str = "") -> str:
    """Tiles of the land-cover raster that targets are derived from, in its own colours."""
    return _tiles(f"land-cover/{dataset}", version)


def target_tiles(dataset: str, task: str, layer: str = "class", version: str = "", chosen: Query | None = None) -> str:
    """Tiles of a task's targets, painted from the chips' places.

    Args:
        dataset: identifier.
        task: identifier.
        layer: `class`, or `p0`, `p1`, ... for yes or no to one class.
        version: the data set's fingerprint.
        chosen: filter of chips; default all.
    """
    return _tiles(f"target/{dataset}/{_hyphens(task)}/{layer}", version, chosen)


def split_tiles(dataset: str, version: str = "", chosen: Query | None = None) -> str:
    """Tiles that show which split each chip is in."""
    return _tiles(f"splits/{dataset}", version, chosen)


def leak_tiles(dataset: str, split: str, version: str = "", chosen: Query | None = None) -> str:
    """Tiles that show the chips that leak from one split into another, by kind of leak."""
    return _tiles(f"leaks/{dataset}/{split}", version, chosen)


def chip_tiles(
    dataset: str,
    sensor: str,
    bands: Sequence[int],
    *,
    low: Sequence[float] | None = None,
    high: Sequence[float] | None = None,
    version: str = "",
    chosen: Query | None = None,
) -> str:
    """Tiles of the chips' own pictures, each at its place; for the parameters see `scene_tiles` and `target_tiles`."""
    shown = "-".join(str(int(band)) for band in bands)
    return _tiles(f"chips/{dataset}/{_hyphens(sensor)}/{shown}", version, {**_stretch(low, high), **(chosen or {})})


def run_tiles(run: str, task: str, layer: str = "class", version: str = "", *, dataset: str = "") -> str:
    """Tiles of a run's prediction for one task.

    Args:
        run: identifier.
        task: identifier.
        layer: `class`, `confidence`, or `p0`, `p1`, ... for the score of one class.
        version: anything that changes when the run's maps are written anew.
        dataset: which of the run's data sets; default its first.
    """
    return _tiles(f"run/{run}/{_hyphens(task)}/{layer}", version, _of(dataset))


def change_tiles(run: str, task: str, before: str, version: str = "", *, dataset: str = "") -> str:
    """Tiles that show `run`'s class where it differs from that of the run `before`; `dataset` as for `run_tiles`."""
    return _tiles(f"change/{run}/{_hyphens(task)}/{before}", version, _of(dataset))


def prediction_tiles(key: str, task: str, layer: str = "class", version: str = "") -> str:
    """Tiles of a prediction over an area by its hexadecimal key; the rest as for `run_tiles`."""
    return _tiles(f"prediction/{key}/{_hyphens(task)}/{layer}", version)


def prediction_file(key: str, file: str) -> str:
    """A raster of a prediction over an area: `<task>` or `<task>-classes`."""
    return f"/api/predictions/{quote(key)}/{quote(file)}.tif"


def only_classes(tiles: str, classes: Sequence[int]) -> str:
    """The tiles of a class layer with some classes only, by their indices; none = all."""
    if not classes:
        return tiles
    return f"{tiles}{'&' if '?' in tiles else '?'}only={'-'.join(str(index) for index in classes)}"


def why_map_tiles(key: str) -> str:
    """Tiles of a Why-map, by its hexadecimal key, which names its content."""
    return _tiles(f"why/{key}", key[:16])


def why_map_file(key: str) -> str:
    """A Why-map as a GeoTIFF, by its hexadecimal key."""
    return f"/api/why-maps/{quote(key)}.tif"


def chip_picture(
    dataset: str,
    chip: int | str,
    *,
    sensor: str | None = None,
    bands: Sequence[int] | None = None,
    low: Sequence[float] | None = None,
    high: Sequence[float] | None = None,
    size: int = 256,
    version: str = "",
) -> str:
    """The picture of one chip.

    Args:
        dataset: identifier.
        chip: index from 0, or the text `{chip}` for a template.
        sensor: identifier; default the data set's first.
        bands: indices from 0 of the bands shown as red, green and blue; default true colour.
        low: value per band that is shown black; default the data set's low percentile.
        high: value per band that is shown at full brightness.
        size: side in pixels, 64 to 512.
        version: the data set's fingerprint; with it the browser keeps the picture without asking again.
    """
    query = {"size": str(size)} | _picture(sensor, bands, low, high, version)
    return f"/chips/{quote(dataset)}/{chip}.png?{urlencode(query)}"


def contact_sheet(
    dataset: str,
    chips: Sequence[int],
    *,
    sensor: str | None = None,
    bands: Sequence[int] | None = None,
    low: Sequence[float] | None = None,
    high: Sequence[float] | None = None,
    side: int = 64,
    version: str = "",
) -> str:
    """One picture of many chips, `SHEET_COLUMNS` in a row, each `side` (16 to 128) pixels wide; else as `chip_picture`."""
    query = {"side": str(side), "chips": "-".join(str(int(chip)) for chip in chips)}
    return f"/chips/{quote(dataset)}/sheet.png?{urlencode(query | _picture(sensor, bands, low, high, version))}"


def run_export(run: str) -> str:
    """A run as one zip file, by its identifier."""
    return f"/api/runs/{quote(run)}.zip"


def overlay(key: str) -> str:
    """A picture in the overlay cache, by its hexadecimal key."""
    return f"/overlays/{quote(key)}.png"


def _of(dataset: str) -> Query | None:
    return {"dataset": dataset} if dataset else None


def _hyphens(name: str) -> str:
    return name.replace("_", "-")


def _picture(
    sensor: str | None,
    bands: Sequence[int] | None,
    low: Sequence[float] | None,
    high: Sequence[float] | None,
    version: str,
) -> dict[str, str]:
    named = {"sensor": sensor, "bands": None if bands is None else "-".join(str(int(b)) for b in bands), "v": version}
    return {name: value for name, value in named.items() if value} | _stretch(low, high)


def _stretch(low: Sequence[float] | None, high: Sequence[float] | None) -> dict[str, str]:
    named = {"low": low, "high": high}
    return {name: ",".join(f"{v:g}" for v in values) for name, values in named.items() if values is not None}


def _tiles(path: str, version: str, query: Query | None = None) -> str:
    asked = {**(query or {}), **({"v": version} if version else {})}
    return f"/tiles/{quote(path)}/{_XYZ}" + (f"?{urlencode(asked, doseq=True)}" if asked else "")
