"""What every page has: title, one line of purpose, errors as sentences, and the sidebar."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import streamlit as st
from streamlit.errors import StreamlitAPIException

from spatialnet import __version__
from spatialnet.errors import SpatialNetError
from spatialnet.ui.live_jobs import sidebar_jobs
from spatialnet.ui.markup import plain, styles

DEFAULT_PERSON = "Local expert"


@contextmanager
def page_frame(title: str, purpose: str) -> Iterator[None]:
    """Title and purpose; an error of ours inside becomes one sentence where the page would go on.

    Args:
        title: the page's title.
        purpose: one line that says what the page is for.
    """
    styles()
    st.title(title, anchor=False)
    st.caption(purpose)
    try:
        yield
    except SpatialNetError as error:
        st.error(plain(str(error)), icon=":material/error:")


def show_error(error: SpatialNetError) -> None:
    """One sentence where the person acted."""
    st.error(plain(str(error)), icon=":material/error:")


def draw_again() -> None:
    """Run the fragment again that this is called from, or the whole page where the whole page runs just now."""
    try:
        st.rerun(scope="fragment")
    except StreamlitAPIException:
        st.rerun()


def person() -> str:
    """Whose corrections these are."""
    return str(st.session_state.get("person") or DEFAULT_PERSON).strip()[:100] or DEFAULT_PERSON


def sidebar() -> None:
    """Name, running jobs, version."""
    with st.sidebar:
        sidebar_jobs()
        st.text_input(
            "Your name", DEFAULT_PERSON, key="person", max_chars=100, persist_state="session",
            help="Stored with every label that you give. There are no accounts.",
        )  # fmt: skip
        st.caption(f"SpatialNet {__version__}")
