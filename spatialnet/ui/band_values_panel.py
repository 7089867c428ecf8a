"""What the sensors measured: at the spot that was clicked, and over the chip, along the wavelengths."""

from __future__ import annotations

import numpy as np
import pandas as pd
import streamlit as st

from spatialnet.datasets.packed import PackedChips
from spatialnet.datasets.pixel_values import band_values
from spatialnet.ui.markup import plain

_SPOT = "spot"
_NAMES = {"mean": "mean of the chip", "here": "at the click"}


def take_spot(latitude: float, longitude: float) -> None:
    """Remember where the map was clicked; it stands in the address, so that a link shows the same pixel."""
    st.query_params[_SPOT] = f"{latitude:.6f},{longitude:.6f}"


def measured(data: PackedChips, chip: int, place: pd.Series) -> None:
    """The values of every band, closed at first.

    Args:
        data: the data set.
        chip: the chosen chip.
        place: its row of the chip table.
    """
    with st.expander("What the sensors measured", icon=":material/show_chart:"):
        spot = _spot(place)
        table = band_values(data, chip, str(place["place"]) if "place" in place else "", spot)
        if spot and table["here"].notna().any():
            st.caption(f"At {spot[0]:.5f}, {spot[1]:.5f}, and over the chip, in each sensor's own units.")
        else:
            table = table.drop(columns="here")
            st.caption("Over the chip, in each sensor's own units. Click inside it for the values of one pixel.")
        for sensor, rows in table.groupby("sensor", sort=False):
            if table["sensor"].nunique() > 1:
                st.markdown(f"**{plain(str(sensor))}**")
            if len(rows) > 2 and rows["wavelength_nm"].notna().all():
                lines = rows.sort_values("wavelength_nm").set_index("wavelength_nm")
                shown = lines[[name for name in _NAMES if name in lines]].rename(columns=_NAMES)
                st.line_chart(shown, height=200, x_label="wavelength in nm", y_label="value")
            order = [name for name in ("band", "wavelength_nm", "here", "mean", "low", "high") if name in rows]
            named = rows[order].rename(columns=_NAMES | {"wavelength_nm": "nm", "low": "least", "high": "most"})
            st.dataframe(named.round(3 if rows["high"].max() < 10 else 1), hide_index=True, width="stretch")


def _spot(place: pd.Series) -> tuple[float, float] | None:
    """The spot that the address names, if it lies in the chip."""
    try:
        latitude, longitude = (float(part) for part in st.query_params.get(_SPOT, "").split(","))
    except ValueError:
        return None
    inside = place["south"] <= latitude <= place["north"] and place["west"] <= longitude <= place["east"]
    return (latitude, longitude) if inside and np.isfinite([latitude, longitude]).all() else None
