"""Map: the scene, what a run says of it, why, and what changed."""

from spatialnet.ui.frame import page_frame
from spatialnet.ui.map_page import draw

with page_frame("Map", "See what the model says of every place, ask why, and correct it."):
    draw()
