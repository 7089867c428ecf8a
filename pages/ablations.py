"""Ablations: what each part of a recipe is worth."""

from spatialnet.ui.ablation_page import draw
from spatialnet.ui.frame import page_frame

with page_frame("Ablations", "Take a recipe apart: train with and without each part, and see what each is worth."):
    draw()
