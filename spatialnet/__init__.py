"""SpatialNet: see a prediction on satellite imagery, ask why, correct it, watch the model learn."""

import os

__version__ = "0.1.0"

# GDAL reads these when its drivers are registered, which any use of rasterio may do; so they are set before anything else
# of this package is imported: no network, no VRT (a VRT can point at any file or address), no directory listings.
os.environ.update(
    GDAL_SKIP="VRT",
    CPL_VSIL_CURL_ALLOWED_EXTENSIONS=".none",
    GDAL_DISABLE_READDIR_ON_OPEN="EMPTY_DIR",
    CPL_CURL_VERBOSE="NO",
    GDAL_CACHEMAX="256",  # MB; else it takes a twentieth of the machine's memory in every process
)
