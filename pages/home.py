"""Home: what is here, how the first run comes along, what to do next."""

from spatialnet.ui.frame import page_frame
from spatialnet.ui.home_page import draw

with page_frame("SpatialNet", "See what a model says of satellite imagery, ask why, correct it, and watch it learn."):
    draw()
