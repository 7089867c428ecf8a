"""SpatialNet: see a prediction on satellite imagery, ask why, correct it, watch the model learn."""

__version__ = "0.1.0"
