"""Our own HTTP routes beside Streamlit's: map tiles, chip pictures, overlays, label events and vendored scripts."""

from spatialnet.web.security import stack
from spatialnet.web.server import routes

__all__ = ["routes", "stack"]
