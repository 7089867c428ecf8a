"""Label: chips by keyboard, the model's answer after yours."""

from spatialnet.ui.frame import page_frame
from spatialnet.ui.label_page import draw

with page_frame("Label", "One chip, one key. Your answer first, the model's after."):
    draw()
