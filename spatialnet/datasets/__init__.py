"""Data sets: from scenes and land-cover rasters to packed chips with targets and splits."""
