"""The border to GDAL: everything that opens or writes a raster goes through here."""

from spatialnet.raster.images import MAX_IMAGE_PIXELS, ImageHeader, image_header, read_image
from spatialnet.raster.reading import (
    IMAGE_SUFFIXES,
    MAX_PIXELS,
    SUFFIXES,
    Raster,
    check_path,
    check_scene,
    has_mask,
    named_crs,
    open_raster,
    read_native,
    read_scene,
    read_window,
    shown_name,
)
from spatialnet.raster.writing import Grid, cog_writer, copy_to_cog, write_cog

__all__ = [
    "IMAGE_SUFFIXES",
    "MAX_IMAGE_PIXELS",
    "MAX_PIXELS",
    "SUFFIXES",
    "Grid",
    "ImageHeader",
    "Raster",
    "check_path",
    "check_scene",
    "cog_writer",
    "copy_to_cog",
    "has_mask",
    "image_header",
    "named_crs",
    "open_raster",
    "read_image",
    "read_native",
    "read_scene",
    "read_window",
    "shown_name",
    "write_cog",
]
