"""Which band of a file is which band of the sensor, where the two do not agree."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import streamlit as st

from spatialnet.errors import SpatialNetError
from spatialnet.importing.formats import IMPORTERS
from spatialnet.importing.scenes.roles import band_mismatch, first_file, sensors_of
from spatialnet.jobs.importing import request_scan
from spatialnet.jobs.services import services
from spatialnet.raster import ImageHeader, image_header
from spatialnet.sensors import SENSORS
from spatialnet.ui.frame import show_error
from spatialnet.ui.markup import plain


def band_tables(spec: Mapping[str, Any]) -> None:
    """A table per sensor whose file has other bands, and a button that looks again with what was said.

    Args:
        spec: of the job that looked at the source.
    """
    importer = IMPORTERS.get(str(spec["importer"]))
    options: Mapping[str, str] = spec["options"]
    if (
        importer is None
        or not spec["source"]
        or not {"scenes", "bands"} <= {option.name for option in importer.options}
    ):
        return
    source = Path(spec["source"])
    differing = _differing(source, options.get("scenes", ""))
    if not differing:
        return
    said = _said(options.get("bands", ""))
    with st.expander("Bands do not match their sensor", icon=":material/tune:", expanded=not said):
        chosen = {
            name: _table(name, header, said.get(name, guess)) for name, (header, guess) in differing.items()
        }  # fmt: skip
        answer = ", ".join(f"{name}={'+'.join(map(str, bands))}" for name, bands in chosen.items() if all(bands))
        lacking = [SENSORS[name].label for name, bands in chosen.items() if not all(bands)]
        if lacking:
            st.caption(
                f"{', '.join(lacking)}: every band of the sensor needs a band of the file, or choose another sensor."
            )
        if st.button(
            "Look again with these bands", icon=":material/search:", key="import.bands", disabled=bool(lacking)
        ):
            try:
                job = request_scan(
                    services().jobs,
                    source,
                    importer.name,
                    {**options, "bands": answer},
                    size=int(spec["size"]),
                    confined=True,
                )
            except SpatialNetError as error:
                show_error(error)
                return
            st.query_params.from_dict({"import": "1", "scan": job.id})
            st.rerun()


def _differing(source: Path, scenes: str) -> dict[str, tuple[ImageHeader, tuple[int, ...]]]:
    found = {}
    for name, pattern in sensors_of(scenes):
        path = first_file(source, pattern)
        try:
            header = image_header(services().settings.source(path)) if path else None
        except SpatialNetError:
            continue
        guess = band_mismatch(name, header) if header else None
        if header and guess is not None:
            found[name] = (header, guess)
    return found


def _table(name: str, header: ImageHeader, bands: tuple[int, ...]) -> tuple[int, ...]:
    sensor = SENSORS[name]
    of_file = [
        f"{n} {text}".strip() for n, text in enumerate(header.descriptions or ("",) * header.count, 1)
    ]  # fmt: skip
    st.markdown(f"**{plain(sensor.label)}** has {len(sensor.bands)} bands, the file {header.count}:")
    left, right = st.columns([1.4, 1])
    table = pd.DataFrame({
        "Sensor band": sensor.bands,
        "Centre": [f"{w:.0f} nm" if w else "" for w in sensor.wavelengths_nm],
        "File band": [of_file[n - 1] if 0 < n <= len(of_file) else None for n in (*bands, *(0,) * len(sensor.bands))[: len(sensor.bands)]],
    })  # fmt: skip
    edited = left.data_editor(
        table, key=f"import.bands.{name}", hide_index=True, num_rows="fixed", disabled=["Sensor band", "Centre"],
        column_config={"File band": st.column_config.SelectboxColumn(options=of_file)},
    )  # fmt: skip
    right.caption("Bands of the file, from 1, as it names them:")
    right.code("\n".join(of_file), language=None)
    return tuple(of_file.index(text) + 1 if text in of_file else 0 for text in edited["File band"])


def _said(text: str) -> dict[str, tuple[int, ...]]:
    found = {}
    for part in text.split(","):
        name, equals, numbers = part.partition("=")
        if equals and all(n.strip().isdigit() for n in numbers.split("+")):
            found[name.strip()] = tuple(int(n) for n in numbers.split("+"))
    return found
