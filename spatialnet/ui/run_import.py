"""Taking in runs that were exported elsewhere: an upload, or a file of the inbox."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from spatialnet.errors import SpatialNetError
from spatialnet.jobs.services import services
from spatialnet.runs.transfer import import_run, is_export
from spatialnet.ui.frame import show_error


def import_panel() -> None:
    """Draw the panel; an imported run opens at once."""
    with st.expander("Import a run", icon=":material/upload_file:"):
        limit = st.get_option("server.maxUploadSize")
        file = st.file_uploader(f"An exported run of up to {limit} MB", ["zip"], key="runs.upload")
        if file is not None and st.button("Import the upload", type="primary", key="runs.import"):
            try:
                run = import_run(services().settings, file, file.name)
            except SpatialNetError as error:
                show_error(error)
            else:
                _opened(run.name)
        found = _waiting()
        st.caption(
            "Larger files: put them into the inbox folder of the workspace, or use `python -m spatialnet runs import FILE`."
        )
        if not found:
            return
        name = st.selectbox("Exported runs in the inbox", list(found), key="runs.inbox")
        if st.button("Import from the inbox", key="runs.import-inbox"):
            try:
                run = import_run(services().settings, services().settings.source(found[name]))
            except SpatialNetError as error:
                show_error(error)
            else:
                _opened(run.name)


def _opened(name: str) -> None:
    st.query_params["run"] = name
    st.rerun()


def _waiting() -> dict[str, Path]:
    """Exported runs in the inbox and the other source folders, by what people read."""
    found: dict[str, Path] = {}
    for folder in services().settings.source_folders:
        try:
            paths = sorted(folder.glob("*.zip"))
        except OSError:
            continue
        found |= {f"{folder.name}/{path.name}": path for path in paths if _is_export(str(path), path.stat().st_mtime)}
    return found


@st.cache_data(ttl=60, max_entries=64, show_spinner=False)
def _is_export(path: str, stamp: float) -> bool:  # noqa: ARG001 (what makes it out of date)
    return is_export(Path(path))
