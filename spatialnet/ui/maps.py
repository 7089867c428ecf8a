"""Maps: the only file that touches folium.

Everything on a map is tiles or pictures from our own routes. No text of a person's goes into one, because folium runs text
as a template.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import folium
import numpy as np
import streamlit as st
from branca.element import MacroElement
from folium.template import Template
from streamlit_folium import st_folium

from spatialnet.web.addresses import MAP_SCRIPTS, MAP_STYLES

Bounds = tuple[tuple[float, float], tuple[float, float]]
SELECTED = "#ffffff"
_LEAST_ZOOM = 1  # chips may lie all over the world
_REACH = 8  # map pixels from a click to the middle of a chip that is drawn as a dot


class OfflineMap(folium.Map):
    """A folium map whose scripts and styles come from this server."""

    default_js = list(MAP_SCRIPTS)  # noqa: RUF012 - folium reads both from the class
    default_css = list(MAP_STYLES)  # noqa: RUF012


class _Controls(MacroElement):
    """The first view, the opacity slider and the scale bar."""

    _template = Template(
        """
        {% macro script(this, kwargs) %}
        L.snFit({{ this._parent.get_name() }}, {{ this.view }});
        L.control.snOpacity({}).addTo({{ this._parent.get_name() }});
        L.control.scale({imperial: false}).addTo({{ this._parent.get_name() }});
        {% endmacro %}
        """
    )

    def __init__(self, bounds: Sequence[float]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._name = "Controls"
        west, south, east, north = (float(value) for value in bounds)
        self.view = [[south, west], [north, east]]


@dataclass(frozen=True)
class Click:
    """Where a map was clicked.

    Attributes:
        latitude: in degrees.
        longitude: in degrees.
        reach: how far away in degrees of latitude something lies that the person may have meant.
    """

    latitude: float
    longitude: float
    reach: float


@dataclass(frozen=True)
class Picture:
    """A picture laid on the map.

    Attributes:
        address: one of our own addresses.
        bounds: ((south, west), (north, east)) in degrees.
    """

    address: str
    bounds: Bounds


def draw_map(
    base: str,
    bounds: Sequence[float],
    *,
    overlay: str | None = None,
    picture: Picture | None = None,
    selected: Sequence[Bounds] = (),
    key: str,
    height: int = 620,
) -> Click | None:
    """Draw a map and return where it was last clicked.

    Args:
        base: tile address of the layer below; changing it does not move the view.
        bounds: (west, south, east, north) in degrees, shown at first.
        overlay: tile address of the layer that the opacity slider rules.
        picture: an attribution.
        selected: outlines of the chosen chips.
        key: of the component.
        height: in pixels.

    Returns:
        The last click, or None.
    """
    west, south, east, north = bounds
    view = OfflineMap(
        location=[(south + north) / 2, (west + east) / 2], zoom_start=_zoom(bounds, height),  # type: ignore[arg-type]  # folium hands it on; Leaflet takes quarters
        tiles=None, prefer_canvas=True,
        zoom_snap=0.25,
        zoom_delta=0.5,
        attribution_control=False, max_zoom=18, min_zoom=_LEAST_ZOOM,
    )  # fmt: skip
    _Controls(bounds).add_to(view)
    layers = folium.FeatureGroup(name="layers")
    _tiles(base, "scene").add_to(layers)
    if overlay:
        _tiles(overlay, "sn-overlay").add_to(layers)
    if picture:
        laid = folium.raster_layers.ImageOverlay(
            np.zeros((1, 1, 4)), bounds=[list(corner) for corner in picture.bounds], className="sn-why", zindex=500
        )
        laid.url = picture.address
        laid.add_to(layers)
    for outline in selected:
        corners = [list(corner) for corner in outline]
        folium.Rectangle(corners, color="#000000", weight=5, fill=False, interactive=False).add_to(layers)
        folium.Rectangle(corners, color=SELECTED, weight=2, fill=False, interactive=False).add_to(layers)
    answer: dict[str, Any] = st_folium(
        view,
        key=key,
        use_container_width=True,
        height=height,
        returned_objects=["last_clicked"],
        feature_group_to_add=layers,
    )
    clicked = (answer or {}).get("last_clicked")
    if not clicked:
        return None
    latitude = float(clicked["lat"])
    pixel = 360 / 256 / 2 ** float(clicked.get("alt") or 18) * float(np.cos(np.deg2rad(latitude)))
    return Click(latitude, float(clicked["lng"]), _REACH * pixel)


def new_click(place: Click | None, key: str) -> Click | None:
    """The click if it was not handled before: a map repeats its last click at every rerun."""
    if place is None or st.session_state.get(f"{key}.handled") == place:
        return None
    st.session_state[f"{key}.handled"] = place
    return place


def _tiles(address: str, name: str) -> folium.TileLayer:
    return folium.TileLayer(address, attr=" ", name=name, overlay=True, className=name, max_native_zoom=18, max_zoom=18)


def _zoom(bounds: Sequence[float], height: int) -> float:
    """The largest quarter of a zoom level at which the bounds fit a map of this height."""
    west, south, east, north = bounds
    mercator = np.arctanh(np.sin(np.deg2rad([south, north])))
    tall = float(np.diff(mercator)[0]) / (2 * np.pi) * 256
    wide = (east - west) / 360 * 256
    return float(np.clip(np.floor(4 * np.log2(height / max(tall, wide, 1e-9))) / 4, _LEAST_ZOOM, 18))
