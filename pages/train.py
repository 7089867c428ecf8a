"""Train: start a run, watch it, compare it."""

from spatialnet.ui.frame import page_frame
from spatialnet.ui.train_page import draw

with page_frame("Train", "Start a run, watch it learn, and compare it with what came before."):
    draw()
