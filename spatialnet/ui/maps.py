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
Area = tuple[float, float, float, float]
SELECTED = "#ffffff"
_LEAST_ZOOM = 1  # chips may lie all over the world
_REACH = 8  # map pixels from a click to the middle of a chip that is drawn as a dot


class OfflineMap(folium.Map):
    """A folium map whose scripts and styles come from this server."""

    default_js = list(MAP_SCRIPTS)  # noqa: RUF012 - folium reads both from the class
    default_css = list(MAP_STYLES)  # noqa: RUF012


class _Controls(MacroElement):
    """The first view, the swipe line, the choice of an area, the opacity slider and the scale bar."""

    _template = Template(
        """
        {% macro script(this, kwargs) %}
        L.snFit({{ this._parent.get_name() }}, {{ this.view }}, {{ this.at }}, {{ this.tools }});
        L.snSwipe({{ this._parent.get_name() }});
        {% if this.tools == 'true' %}L.control.snArea({}).addTo({{ this._parent.get_name() }});{% endif %}
        L.control.snOpacity({}).addTo({{ this._parent.get_name() }});
        L.control.scale({imperial: false}).addTo({{ this._parent.get_name() }});
        {% endmacro %}
        """
    )

    def __init__(self, bounds: Sequence[float], at: View | None, tools: bool) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._name = "Controls"
        self.at = "null" if at is None else [float(value) for value in at]
        self.tools = "true" if tools else "false"
        west, south, east, north = (float(value) for value in bounds)
        self.view = [[south, west], [north, east]]


View = tuple[float, float, float]
"""(latitude, longitude, zoom) of a map's middle."""


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
class Answer:
    """What a person last did on a map.

    Attributes:
        click: where it was clicked, or None.
        area: (west, south, east, north) in degrees that was drawn, or None.
    """

    click: Click | None = None
    area: Area | None = None


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
    beside: str | None = None,
    picture: Picture | None = None,
    selected: Sequence[Bounds] = (),
    area: Area | None = None,
    at: View | None = None,
    tools: bool = False,
    key: str,
    height: int = 620,
) -> Answer:
    """Draw a map and return what was last done on it.

    Args:
        base: tile address of the layer below; changing it does not move the view.
        bounds: (west, south, east, north) in degrees, shown at first.
        overlay: tile address of the layer that the opacity slider rules.
        beside: tile address of a layer that is shown right of a line to drag, with the overlay left of it; "" for the scene alone.
        picture: an attribution.
        selected: outlines of the chosen chips.
        area: (west, south, east, north) in degrees, outlined.
        at: the first view in place of all of the bounds; like these, changing it builds the map anew.
        tools: an area can be chosen, and the view stands in the page's address as `at`.
        key: of the component.
        height: in pixels.

    Returns:
        The last click and the last area drawn.
    """
    west, south, east, north = bounds
    view = OfflineMap(
        location=[(south + north) / 2, (west + east) / 2], zoom_start=_zoom(bounds, height),  # type: ignore[arg-type]  # folium hands it on; Leaflet takes quarters
        tiles=None, prefer_canvas=True,
        zoom_snap=0.25,
        zoom_delta=0.5,
        attribution_control=False, max_zoom=18, min_zoom=_LEAST_ZOOM,
    )  # fmt: skip
    _Controls(bounds, at, tools).add_to(view)
    layers = folium.FeatureGroup(name="layers")
    _tiles(base, "scene").add_to(layers)
    if overlay:
        _tiles(overlay, "sn-overlay" if beside is None else "sn-overlay sn-left").add_to(layers)
    if beside is not None:
        # With nothing beside it, the right half is the scene: a layer of it lets the line know what to cut.
        _tiles(beside or base, "sn-overlay sn-right" if beside else "sn-right").add_to(layers)
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
    if area:
        west, south, east, north = area
        folium.Rectangle(
            [[south, west], [north, east]], color="#1f6feb", weight=2, dash_array="6 4", fill=False, interactive=False
        ).add_to(layers)
    answer: dict[str, Any] = st_folium(
        view,
        key=key,
        use_container_width=True,
        height=height,
        returned_objects=["last_clicked", "last_active_drawing"],
        feature_group_to_add=layers,
    )
    return Answer(_click((answer or {}).get("last_clicked")), _area((answer or {}).get("last_active_drawing")))


def fresh(answer: Answer, key: str) -> Answer:
    """What was not handled before: a map repeats what was last done on it at every rerun."""
    before: Answer = st.session_state.get(f"{key}.handled", Answer())
    st.session_state[f"{key}.handled"] = answer
    return Answer(
        None if answer.click == before.click else answer.click, None if answer.area == before.area else answer.area
    )


def view_of(text: str) -> View | None:
    """`latitude,longitude,zoom` as an address holds it; None where it is not that."""
    try:
        latitude, longitude, zoom = (float(part) for part in text.split(","))
    except ValueError:
        return None
    lies = abs(latitude) <= 90 and abs(longitude) <= 540 and 0 <= zoom <= 24
    return (latitude, longitude, zoom) if lies else None


def _click(clicked: dict[str, Any] | None) -> Click | None:
    if not clicked:
        return None
    latitude = float(clicked["lat"])
    pixel = 360 / 256 / 2 ** float(clicked.get("alt") or 18) * float(np.cos(np.deg2rad(latitude)))
    return Click(latitude, float(clicked["lng"]), _REACH * pixel)


def _area(drawn: dict[str, Any] | None) -> Area | None:
    """The box of a drawing; None where there is none, or it has no width."""
    try:
        corners = np.array(drawn["geometry"]["coordinates"][0], np.float64)  # type: ignore[index]
        (west, south), (east, north) = corners.min(axis=0), corners.max(axis=0)
    except (TypeError, KeyError, IndexError, ValueError):
        return None
    south, north = max(float(south), -90.0), min(float(north), 90.0)
    return (float(west), south, float(east), north) if west < east and south < north else None


def _tiles(address: str, name: str) -> folium.TileLayer:
    return folium.TileLayer(address, attr=" ", name=name, overlay=True, className=name, max_native_zoom=18, max_zoom=18)


def _zoom(bounds: Sequence[float], height: int) -> float:
    """The largest quarter of a zoom level at which the bounds fit a map of this height."""
    west, south, east, north = bounds
    mercator = np.arctanh(np.sin(np.deg2rad([south, north])))
    tall = float(np.diff(mercator)[0]) / (2 * np.pi) * 256
    wide = (east - west) / 360 * 256
    return float(np.clip(np.floor(4 * np.log2(height / max(tall, wide, 1e-9))) / 4, _LEAST_ZOOM, 18))
