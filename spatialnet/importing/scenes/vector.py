"""The only file that opens vector data: suffix and content are checked before any library sees a file.

A vector library would follow what a file says: a virtual data set can name any other file or address.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import shapely
from rasterio.crs import CRS
from rasterio.errors import CRSError

from spatialnet.errors import ImportRefused
from spatialnet.raster import shown_name

if TYPE_CHECKING:
    import geopandas

SUFFIXES = (".geojson", ".json", ".gpkg", ".parquet", ".geoparquet", ".shp")
MAX_BYTES = 1 << 30
MAX_JSON_BYTES = 1 << 28
"""Parsed, JSON takes about ten times its size in memory."""

_MAGIC = {
    ".gpkg": b"SQLite format 3\0",
    ".shp": b"\x00\x00\x27\x0a",
    ".parquet": b"PAR1",
    ".geoparquet": b"PAR1",
}
_GEOPACKAGES = (b"GPKG", b"GP10", b"GP11")
_APPLICATION_ID = 68
_URN = re.compile(r"(urn:ogc:def:crs:)?(EPSG|OGC):[\w.]*:?\w+", re.IGNORECASE)


@dataclass(frozen=True)
class Shapes:
    """Polygons of one file.

    Attributes:
        name: the file's name, for messages.
        geometries: (n,) polygons and multi-polygons; none is empty or missing.
        table: one row per polygon, what the file says of it.
        crs: coordinate reference system of the geometries.
        mended: numbers (from 0, in the file) of polygons that were not valid and were mended.
        numbers: (n,) the number of each polygon in the file.
        left_out: how many entries are no polygons.
    """

    name: str
    geometries: npt.NDArray[np.object_]
    table: pd.DataFrame
    crs: CRS
    numbers: npt.NDArray[np.int64]
    mended: tuple[int, ...] = ()
    left_out: int = 0

    def in_crs(self, crs: CRS) -> npt.NDArray[np.object_]:
        """The geometries in another coordinate reference system."""
        import geopandas  # takes a second, and most imports need no polygons

        series = geopandas.GeoSeries(self.geometries, crs=self.crs.to_wkt())
        moved: npt.NDArray[np.object_] = np.asarray(series.to_crs(crs.to_wkt()).array, dtype=object)
        return moved


def read_shapes(path: Path) -> Shapes:
    """Read the polygons of a GeoJSON, GeoPackage, GeoParquet file or shapefile.

    Polygons that are not valid are mended; those that cross the 180th meridian are split there.

    Raises:
        ImportRefused: another suffix, other content than the suffix says, no polygon, or no coordinate reference system.
    """
    name, suffix = shown_name(path), path.suffix.lower()
    if suffix not in SUFFIXES:
        raise ImportRefused(f"{name} is no vector file that is known. Use one that ends in {', '.join(SUFFIXES)}.")
    limit = MAX_JSON_BYTES if "json" in suffix else MAX_BYTES
    if path.stat().st_size > limit:
        raise ImportRefused(
            f"{name} is larger than {limit >> 20} MiB. Cut it to the ground of the scenes, or save it as a GeoPackage."
        )
    _check_content(path, name)
    if suffix in (".geojson", ".json"):
        frame = _geojson(path, name)
    else:
        import geopandas
        from pyogrio.errors import DataLayerError, DataSourceError

        try:
            frame = geopandas.read_parquet(path) if "parquet" in suffix else _with_ogr(path)
        except (
            DataSourceError,
            DataLayerError,
            OSError,
            ValueError,
            TypeError,
            KeyError,
            shapely.errors.ShapelyError,
        ) as error:
            raise ImportRefused(
                f"{name} cannot be read: it is cut short, damaged or holds no geometries. Save it again."
            ) from error
    return _clean(name, frame)


def _check_content(path: Path, name: str) -> None:
    with path.open("rb") as file:
        start = file.read(100)
    suffix = path.suffix.lower()
    if not start:
        raise ImportRefused(f"{name} is empty. Copy it again.")
    magic = _MAGIC.get(suffix)
    application = start[_APPLICATION_ID : _APPLICATION_ID + 4]
    if magic and (not start.startswith(magic) or (suffix == ".gpkg" and application not in _GEOPACKAGES)):
        raise ImportRefused(f"{name} is not what its suffix {suffix} says. Save it again in that format.")
    if suffix == ".shp" and not path.with_suffix(".shx").is_file():
        raise ImportRefused(f"{name} lacks its .shx file. Copy all files of the shapefile: .shp, .shx, .dbf and .prj.")


def _with_ogr(path: Path) -> geopandas.GeoDataFrame:
    import pyogrio

    layers = pyogrio.list_layers(path)
    spatial = [str(layer) for layer, kind in layers if kind is not None]
    if len(spatial) != 1:
        listed = ", ".join(repr(layer[:40]) for layer in spatial[:10]) or "none"
        raise ImportRefused(
            f"{shown_name(path)} has {len(spatial)} layers of geometries ({listed}). Keep one layer in a file."
        )
    return pyogrio.read_dataframe(path, layer=spatial[0])


def _geojson(path: Path, name: str) -> geopandas.GeoDataFrame:
    """GeoJSON is read here and by no other library, so that nothing but JSON is ever taken for it."""
    try:
        values = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise ImportRefused(f"{name} is not JSON. Save it as GeoJSON again.") from error
    if not isinstance(values, dict) or values.get("type") != "FeatureCollection":
        raise ImportRefused(f"{name} is no GeoJSON FeatureCollection. Save the polygons as one.")
    return frame_of(values, name)


def frame_of(collection: dict[str, Any], name: str) -> geopandas.GeoDataFrame:
    """The features of a parsed GeoJSON FeatureCollection.

    Raises:
        ImportRefused: a feature is no feature, or the coordinate reference system is not known.
    """
    geometries, rows = [], []
    try:
        for feature in collection["features"]:
            shape = feature["geometry"]
            geometries.append(None if shape is None else shapely.geometry.shape(shape))
            rows.append(dict(feature.get("properties") or {}))
    except (KeyError, TypeError, ValueError, AttributeError, shapely.errors.ShapelyError) as error:
        raise ImportRefused(f"Feature {len(rows) + 1} of {name} is no GeoJSON feature. Save the file again.") from error
    crs = "OGC:CRS84"
    if collection.get("crs") is not None:
        stated = collection["crs"]
        inner = stated.get("properties") if isinstance(stated, dict) else None
        crs = str(inner.get("name", "")) if isinstance(inner, dict) else ""
        if not _URN.fullmatch(crs):
            raise ImportRefused(
                f"{name} names the coordinate reference system {crs[:60]!r}. Save it in WGS84 longitude and latitude."
            )
    import geopandas

    try:
        table = pd.DataFrame(rows, index=range(len(rows)))
        return geopandas.GeoDataFrame(table.drop(columns="geometry", errors="ignore"), geometry=geometries, crs=crs)
    except (ValueError, CRSError, RuntimeError) as error:
        raise ImportRefused(f"{name} names a coordinate reference system that is not known: {crs[:60]!r}.") from error


def _clean(name: str, frame: geopandas.GeoDataFrame) -> Shapes:
    if frame.crs is None:
        raise ImportRefused(
            f"{name} has no coordinate reference system (a shapefile keeps it in its .prj). Add it and import again."
        )
    found = np.asarray(frame.geometry.array, dtype=object)
    keep = np.flatnonzero(
        ~shapely.is_missing(found) & np.isin(shapely.get_type_id(found), (3, 6)) & ~shapely.is_empty(found)
    )
    if not len(keep):
        raise ImportRefused(f"{name} holds no polygon. Draw each class as polygons.")
    shapes = shapely.force_2d(found[keep])
    if not np.isfinite(shapely.bounds(shapes)).all():
        raise ImportRefused(f"{name} holds polygons with coordinates that are no numbers. Save it again.")
    try:
        crs = CRS.from_wkt(frame.crs.to_wkt())
    except CRSError as error:
        raise ImportRefused(f"{name} has a coordinate reference system that is not known. Save it in WGS84.") from error
    if crs.is_geographic:
        shapes = np.array([_unwrapped(shape) for shape in shapes], dtype=object)
    broken = np.flatnonzero(~shapely.is_valid(shapes))
    shapes[broken] = [_only_polygons(shape) for shape in shapely.make_valid(shapes[broken])]
    whole = np.flatnonzero(~shapely.is_empty(shapes))
    table = pd.DataFrame(frame.drop(columns=frame.geometry.name)).iloc[keep[whole]].reset_index(drop=True)
    table.columns = [str(column) for column in table.columns]
    return Shapes(
        name, shapes[whole], table, crs, keep[whole].astype(np.int64), tuple(int(keep[b]) for b in broken),
        len(found) - len(whole),
    )  # fmt: skip


def _unwrapped(shape: Any) -> Any:
    """A polygon in degrees whose border jumps from one side of the 180th meridian to the other, split there."""
    longitudes = [
        np.asarray(ring.coords)[:, 0] for part in shapely.get_parts(shape) for ring in (part.exterior, *part.interiors)
    ]
    jumps = np.concatenate([np.abs(np.diff(line)) for line in longitudes])
    # A border along the whole parallel (360 degrees) belongs to a box around the world.
    if not ((jumps > 180) & (jumps < 359.999)).any():
        return shape
    east = shapely.transform(
        shape, lambda xy: np.column_stack([np.where(xy[:, 0] < 0, xy[:, 0] + 360, xy[:, 0]), xy[:, 1]])
    )
    east = shapely.make_valid(east)
    beyond = shapely.intersection(east, shapely.box(180, -90, 360, 90))
    moved = shapely.transform(beyond, lambda xy: xy - (360, 0))
    return _only_polygons(shapely.union(shapely.intersection(east, shapely.box(0, -90, 180, 90)), moved))


def _only_polygons(shape: Any) -> Any:
    """The polygons of a geometry: mending may leave lines and points beside them."""
    parts = [part for part in shapely.get_parts(shape) if shapely.get_type_id(part) in (3, 6)]
    return shapely.unary_union(parts) if parts else shapely.Polygon()
