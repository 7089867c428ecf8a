"""Runs: every training, what it is worth, where it comes from, and which one counts."""

from spatialnet.ui.frame import page_frame
from spatialnet.ui.runs_page import draw

with page_frame("Runs", "Compare what was trained, publish the run that counts, and go back when it disappoints."):
    draw()
