"""The panel of saved views: keep this one by a name, open one, delete one."""

from __future__ import annotations

import streamlit as st

from spatialnet.datasets.packed import PackedChips
from spatialnet.errors import SpatialNetError
from spatialnet.jobs.services import services
from spatialnet.ui.frame import draw_again, show_error
from spatialnet.ui.markup import plain
from spatialnet.ui.navigation import page
from spatialnet.ui.saved_views import LONGEST, View, delete_view, save_view, views


def views_panel(data: PackedChips) -> None:
    """A popover with the data set's saved views; each is a link that holds the whole view."""
    known = views(services().settings, data.name)
    title = f"Views ({len(known)})" if known else "Views"
    with st.popover(title, icon=":material/bookmark:", width="content", key="saved-views"):
        for view in known:
            _view(data, view)
        if not known:
            st.caption("A view keeps filters, colours, bands and what is picked under a name. Its link can be shared.")
        with st.form("save-view", border=False, clear_on_submit=True):
            name = st.text_input("Name of this view", max_chars=LONGEST, key="view.name")
            if st.form_submit_button("Save this view", icon=":material/bookmark_add:", width="stretch"):
                try:
                    save_view(services().settings, data.name, name, _now(data))
                    draw_again()
                except SpatialNetError as error:
                    show_error(error)


def _view(data: PackedChips, view: View) -> None:
    link, drop = st.columns([5, 1], vertical_alignment="center")
    with link:
        st.page_link(
            page("datasets"), label=plain(view.name), icon=":material/bookmark:", query_params=dict(view.query)
        )
    if drop.button(
        "", icon=":material/delete:", key=f"view.drop.{view.name}", type="tertiary", help=f"Delete {plain(view.name)}"
    ):
        delete_view(services().settings, data.name, view.name)
        draw_again()


def _now(data: PackedChips) -> dict[str, str | list[str]]:
    found: dict[str, str | list[str]] = {}
    for name in st.query_params:
        values = st.query_params.get_all(name)
        found[name] = values[0] if len(values) == 1 else values
    return found | {"dataset": data.name, "view": "chips"}
