"""What can be done with a run: publish, roll back, note, pass on, delete and undo."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from spatialnet.errors import SpatialNetError
from spatialnet.jobs.registry import runs_in_use
from spatialnet.jobs.services import services
from spatialnet.runs import Run
from spatialnet.runs.notes import MOST_CHARACTERS, add_note, notes
from spatialnet.runs.publishing import publish, published_for, published_run, roll_back
from spatialnet.runs.trash import KEPT_DAYS, delete_run, empty_trash, restore_run, trash
from spatialnet.ui.frame import person, show_error
from spatialnet.ui.live_jobs import ago, when
from spatialnet.ui.markup import plain
from spatialnet.web import addresses

_UNDO = "runs.deleted"


def actions(run: Run) -> None:
    """Draw the row of buttons of a run."""
    settings = services().settings
    published = published_for(settings, run)
    with st.container(horizontal=True, key="run-actions"):
        for dataset in run.datasets:
            named = f" for {plain(dataset)}" if len(run.datasets) > 1 else ""
            if dataset not in published:
                if st.button(
                    f"Publish{named}", icon=":material/verified:", type="primary", disabled=not run.done, key=f"publish.{dataset}",
                    help="Map, label page and commands use the published run where no other is named.",
                ):  # fmt: skip
                    _do(lambda dataset=dataset: publish(settings, run, dataset, person=person()))  # type: ignore[misc]
            elif st.button(
                f"Roll back{named}", icon=":material/undo:", key=f"rollback.{dataset}",
                help="What was published before counts again; where nothing was, the newest run.",
            ):  # fmt: skip
                _do(lambda dataset=dataset: roll_back(settings, dataset, person=person()))  # type: ignore[misc]
        if run.done:
            st.link_button(
                "Export",
                addresses.run_export(run.name),
                icon=":material/download:",
                help="One zip file with a checksum of each part",
            )
        with st.popover("Delete", icon=":material/delete:"):
            st.write(f"The run goes to the trash and stays there for {KEPT_DAYS} days.")
            if st.button("Delete this run", type="primary", key="runs.delete"):
                _delete(run)


def _delete(run: Run) -> None:
    try:
        delete_run(services().settings, run, in_use=runs_in_use(services().jobs), person=person())
    except SpatialNetError as error:
        show_error(error)
        return
    st.session_state[_UNDO] = (run.name, run.title)
    st.query_params.pop("run", None)
    st.rerun()


def undo_bar() -> None:
    """What was deleted last, and the way back."""
    name, title = st.session_state.get(_UNDO, ("", ""))
    if not name:
        return
    with st.container(horizontal=True, vertical_alignment="center", border=True, key="undo-bar"):
        st.markdown(f"Run **{plain(title)}** is in the trash.", width="content")
        undo = st.button("Undo", icon=":material/undo:", key="runs.undo")
        if st.button("Close", type="tertiary", key="runs.undo.close"):
            del st.session_state[_UNDO]
            st.rerun()
    if undo:
        del st.session_state[_UNDO]
        _do(lambda: restore_run(services().settings, name))


def trash_panel() -> None:
    """The runs in the trash; nothing where it is empty."""
    found = trash(services().settings)
    if not found:
        return
    with st.expander(f"Trash ({len(found)})", icon=":material/delete:"):
        for deleted in found:
            with st.container(horizontal=True, vertical_alignment="center"):
                by = f" by {plain(deleted.person)}" if deleted.person else ""
                st.markdown(
                    f"**{plain(deleted.run.title)}** · {deleted.run.name} · deleted {ago(deleted.at)}{by}",
                    width="stretch",
                )
                if st.button("Restore", icon=":material/undo:", key=f"restore.{deleted.run.name}"):
                    _do(lambda name=deleted.run.name: restore_run(services().settings, name))  # type: ignore[misc]
        with st.popover("Empty the trash", icon=":material/delete_forever:"):
            st.write("These runs cannot be restored afterwards.")
            if st.button("Delete for good", type="primary", key="runs.empty"):
                _do(lambda: empty_trash(services().settings))


def note_panel(run: Run) -> None:
    """The notes on a run, and a field for the next one."""
    st.subheader("Notes", anchor=False)
    for note in notes(run):
        st.markdown(plain(note.text))
        st.caption(plain(f"{note.person}, {when(note.at)}"))
    with st.form(f"note.{run.name}", clear_on_submit=True, border=False):
        text = st.text_area(
            "New note", max_chars=MOST_CHARACTERS, height=80, placeholder="What should others know of this run?"
        )
        if st.form_submit_button("Add the note", icon=":material/note_add:"):
            _do(lambda: add_note(run, text, person()))


def marks(run: Run) -> str:
    """What a run is: published for which data sets, done or not."""
    published = [
        name for name in run.datasets if (now := published_run(services().settings, name)) and now.name == run.name
    ]
    if published:
        return f"Published for {', '.join(published)}"
    return "Done" if run.done else "Not finished"


def _do(action: Callable[[], object]) -> None:
    """Do something and draw the page anew; what is refused is a sentence here."""
    try:
        action()
    except SpatialNetError as error:
        show_error(error)
    else:
        st.rerun()
