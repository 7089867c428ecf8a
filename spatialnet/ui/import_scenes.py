"""Which raster is which sensor: a table with a first guess, for sources that are scenes."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import streamlit as st

from spatialnet.importing.scenes.roles import LAND_COVER, Raster, answers, propose_roles
from spatialnet.sensors import SENSORS

_NOTHING = "not used"


def scene_table(source: Path) -> dict[str, str]:
    """Let people say what each raster is.

    Args:
        source: the source folder.

    Returns:
        Proposed answers to `scenes`, `land_cover` and `rules`; empty where there is no raster.
    """
    if not source.exists():
        return {}
    rasters = _rasters(str(source), source.stat().st_mtime)
    if not rasters:
        st.caption("There is no GeoTIFF in it, nor in the folders right below it.")
        return {}
    titles = {name: sensor.label for name, sensor in SENSORS.items()} | {LAND_COVER: "Land cover", "": _NOTHING}
    by_title = {title: name for name, title in titles.items()}
    table = pd.DataFrame({
        "Raster": [raster.pattern for raster in rasters],
        "What it is": [titles[raster.role] for raster in rasters],
        "Bands": [f"{len(raster.bands)}: {', '.join(raster.bands)}"[:80] for raster in rasters],
    })  # fmt: skip
    edited = st.data_editor(
        table, key=f"import.roles.{source}", hide_index=True, num_rows="fixed", disabled=["Raster", "Bands"],
        column_config={"What it is": st.column_config.SelectboxColumn(options=list(by_title), required=True, width="medium")},
    )  # fmt: skip
    st.caption("Guessed from names and bands; correct what is wrong. `*` stands for the place.")
    said = [by_title.get(str(title), "") for title in edited["What it is"]]
    roles = {raster.pattern: role for raster, role in zip(rasters, said, strict=False)}
    rules = sorted(path.name for path in source.glob("*.toml")) if source.is_dir() else []
    return answers(roles) | ({"rules": rules[0]} if len(rules) == 1 else {})


@st.cache_data(ttl=30, max_entries=16, show_spinner="Reading the headers of rasters")
def _rasters(source: str, stamp: float) -> tuple[Raster, ...]:  # noqa: ARG001 (what makes it out of date)
    return propose_roles(Path(source))
