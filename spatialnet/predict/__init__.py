"""Predictions of a run: over a data set as a table, over a scene as rasters."""
