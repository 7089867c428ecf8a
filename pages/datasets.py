"""Data sets: the catalogue, and of each its facts, its chips, and every chip."""

from spatialnet.ui.datasets_page import draw
from spatialnet.ui.frame import page_frame

with page_frame(
    "Data sets", "What there is to learn from: chips, targets and where they come from, splits on the ground."
):
    draw()
