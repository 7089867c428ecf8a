"""The inspector beside the map: one chip, what the run says of it, what is known of it, why, and the correction."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from spatialnet.datasets.catalogue import target_facts, target_text
from spatialnet.datasets.packed import SPLITS, PackedChips
from spatialnet.errors import SpatialNetError
from spatialnet.explain.methods import BASELINES, METHODS
from spatialnet.jobs.explanations import ExplanationRequest
from spatialnet.jobs.services import services
from spatialnet.joint import part_of
from spatialnet.label.store import Answer
from spatialnet.palette import class_colours
from spatialnet.predict.captions import CAPTIONS, read_captions
from spatialnet.predict.table import Scores, answer, read_predictions
from spatialnet.runs import Run
from spatialnet.summary import chip_summary, count_text
from spatialnet.tasks import Task
from spatialnet.ui import markup
from spatialnet.ui.band_values_panel import measured
from spatialnet.ui.corrections import correction_buttons, retrain_button, shown_refusal, split_note, undo_label
from spatialnet.ui.frame import show_error
from spatialnet.ui.maps import Picture
from spatialnet.ui.pickers import pick
from spatialnet.ui.two_reasons_panel import two_reasons
from spatialnet.ui.what_if_panel import what_if
from spatialnet.ui.why_map_panel import ask_why_map
from spatialnet.web import addresses


@st.cache_data(
    max_entries=16,
    show_spinner=False,
    hash_funcs={Run: lambda run: run.name, PackedChips: lambda data: data.fingerprint},
)
def run_scores(run: Run, data: PackedChips) -> Scores:
    """A run's scores of a data set's own tasks. Those of a finished run never change, so its name is enough to know them by."""
    return read_predictions(part_of(run.folder, data.name) / "predictions.parquet", data.tasks)


def run_caption(run: Run, data: PackedChips, chip: int) -> str:
    """What a run's caption head wrote of a chip; empty where it has none."""
    path = part_of(run.folder, data.name) / CAPTIONS
    try:
        captions = _captions(str(path), path.stat().st_mtime_ns if path.exists() else 0)
    except SpatialNetError as error:
        show_error(error)
        return ""
    return captions[chip] if chip < len(captions) else ""


@st.cache_data(max_entries=16, show_spinner=False)
def _captions(path: str, changed: int) -> list[str]:  # noqa: ARG001 - the cache's key
    return read_captions(Path(path))


def no_chip() -> None:
    """What the inspector shows before a place was clicked."""
    st.subheader("Click a place", anchor=False)
    st.write("The chip there is shown with its scores for every task, what is known of it, and why the model says so.")


def inspect(data: PackedChips, run: Run | None, task: Task, chip: int, place: pd.Series) -> Picture | None:
    """Draw the inspector of one chip.

    Args:
        data: the data set.
        run: the chosen run, or None while there is none.
        task: the chosen task; it is explained and corrected.
        chip: the chip.
        place: its row of the chip table.

    Returns:
        The attribution to lay on the map, if the person wants it there.
    """
    st.html(markup.head(f"Chip {chip}", f"{_where(place)} · {SPLITS[int(data.splits[chip])]}"))
    scores = run_scores(run, data) if run else {}
    if said_of_chip := chip_summary(data.tasks, scores, chip):
        st.write(markup.plain(said_of_chip))
    if run and (sentence := run_caption(run, data, chip)):
        st.markdown(
            f"*{markup.plain(sentence)}*",
            help="Written by the run's caption head, which learned from the data set's captions.",
        )
    facts = _why_settings(run, data, task, chip, scores)
    picture = addresses.chip_picture(data.name, chip, version=data.fingerprint)
    figures: list[tuple[list[str], str, str]] = [([picture], "Chip", f"Chip {chip} in true colour")]
    if facts:
        figures.append(([picture, addresses.overlay(facts["picture"])], "Evidence", "Attribution over the chip"))
    st.html(markup.pictures(figures))
    if facts:
        _evidence(facts, task)
    if run and facts:
        ask_why_map(data, run, place, facts)
    said = {t.name: services().labels.current(data.name, t.name).get(chip) for t in data.tasks}
    _answer(data, task, chip, scores, said[task.name])
    _correct(data, run, task, chip, said[task.name])
    if run and facts:
        what_if(data, run, chip)
        two_reasons(data, run, facts)
    for other in data.tasks:
        if other.name != task.name:
            _answer(data, other, chip, scores, said[other.name])
    measured(data, chip, place)
    _origins(data)
    if facts and facts.get("bounds") and np.isfinite(place["west"]) and st.session_state.get("why_on_map", True):
        return Picture(addresses.overlay(facts["overlay"]), (tuple(facts["bounds"][0]), tuple(facts["bounds"][1])))
    return None


def _where(place: pd.Series) -> str:
    """Where a chip is, in words: its coordinates, else the name of its file."""
    if np.isfinite(place["latitude"]):
        return f"{place['latitude']:.4f}, {place['longitude']:.4f}"
    return str(place["key"])[-40:]


def _why_settings(run: Run | None, data: PackedChips, task: Task, chip: int, scores: Scores) -> dict[str, Any] | None:
    """Which explanation, and the explanation itself."""
    if run is None or task.name not in scores:
        return None
    left, right = st.columns(2)
    with left:
        method = pick(
            "Why, by", {name: m.title for name, m in METHODS.items()}, "method",
            help="\n\n".join(f"**{m.title}**: {m.help}" for m in METHODS.values()),
        )  # fmt: skip
    best = int(scores[task.name][chip].argmax())
    if st.session_state.get("why.place") != (chip, task.name, run.name):
        st.session_state["why.place"] = (chip, task.name, run.name)
        st.session_state["why.class"] = task.classes[best]
    specific = METHODS[method].class_specific
    name = right.selectbox(
        "for the class", task.classes, key="why.class", disabled=not specific,
        help=None if specific else "This method gives the same map for every class.",
    )  # fmt: skip
    index = task.classes.index(name) if name in task.classes else best
    against = _pick_against(task, index) if specific and task.kind == "multiclass" else None
    baseline = "mean"
    if METHODS[method].baseline:
        baseline = st.selectbox(
            "from", list(BASELINES), format_func=BASELINES.__getitem__, key="why.baseline", persist_state="session",
            help="The chip that the method starts from. What it shares with this one gets no evidence.",
        )  # fmt: skip
    request = ExplanationRequest(run.name, chip, task.name, index, method, data.name, against, baseline)
    try:
        with st.spinner("Asking the model why…", show_time=True):
            return services().compute.explain(request)
    except SpatialNetError as error:
        show_error(error)
        return None


def _pick_against(task: Task, index: int) -> int | None:
    """The class to contrast with; None for none."""
    others = {i: name for i, name in enumerate(task.classes) if i != index}
    chosen = st.selectbox(
        "rather than", [None, *others], key=f"why.against.{task.name}.{index}", persist_state="session",
        format_func=lambda i: "anything else" if i is None else others[i],
        help="Why the one class and not this one: only what tells the two apart is marked.",
    )  # fmt: skip
    return int(chosen) if chosen is not None else None


def _evidence(facts: dict[str, Any], task: Task) -> None:
    method, legend, badge = METHODS[facts["method"]], facts["legend"], facts["faithfulness"]
    other = facts.get("against")
    opposed = "against" if other is None else f"for {task.classes[other]}"
    low = f"{legend['low']:.2g} {opposed}" if method.signed else "none"
    st.html(markup.ramp(legend["colours"], low, f"{legend['high']:.2g} for {task.classes[facts['class_index']]}"))
    st.html(markup.badge(badge["verdict"], badge["sentence"]))
    row = st.container(horizontal=True, vertical_alignment="center")
    row.toggle("Show on the map", True, key="why_on_map", persist_state="session")
    with row.popover("How far to trust it", type="tertiary", width="content"):
        curves = pd.DataFrame(badge["curves"]).set_index("fraction")
        curves = curves.rename(columns={
            "deletion": "removed, marked first", "insertion": "shown, marked first",
            "edge_deletion": "removed, edges first", "edge_insertion": "shown, edges first",
            "random_deletion": "removed at random", "random_insertion": "shown at random",
        })  # fmt: skip
        st.caption(
            f"Probability of the class while places of the chip are removed or shown. Random: mean of {badge['draws']} maps of the "
            f"same smoothness. Margin over random: {badge['margin']:.1f} standard deviations; a random map does as well with "
            f"probability {badge['chance']:.2f}. Edges: the chip's own, whatever the model."
        )
        _checks(badge)
        if "completeness_error" in facts["info"]:
            st.caption(
                f"Integrated Gradients took {facts['info']['steps']} steps; its values add up to the change of the score within "
                f"{100 * np.max(facts['info']['completeness_error']):.1f} %."
            )
        st.line_chart(curves, x_label="share of the chip", y_label="probability", height=260)
        for sensor, shares in facts["bands"].items():
            st.caption(f"Share of the evidence per band, {sensor}")
            st.bar_chart(pd.Series(shares, index=[f"{i + 1}" for i in range(len(shares))]), height=140, y_label="share")


def _checks(badge: dict[str, Any]) -> None:
    """Whether the map depends on what was learnt, and stays under noise."""
    if badge["randomised"] is None:
        st.caption("Not repeated with shuffled weights and noise: this method is slow.")
        return
    st.caption(
        f"Rank correlation with the map of a network with shuffled weights: {badge['randomised']:.2f} (low is good); with maps under "
        f"noise that nobody sees: {badge['noise']:.2f} (high is good)."
    )


def _answer(data: PackedChips, task: Task, chip: int, scores: Scores, said: Answer | None) -> None:
    """What the run says for one task, what the target is and where it comes from."""
    derived, _ = target_facts(data, task)
    origin = (
        f"target: {target_text(task, data.targets(task.name)[chip])} ({'derived' if derived else 'from the source'})"
    )
    if said is not None and said.kind == "label":
        known = [np.nan if v is None else v for v in said.value] if isinstance(said.value, list) else said.value
        origin = f"{said.person}: {target_text(task, known)} · {origin}"
    body = markup.head(task.label, origin)
    if task.name in scores:
        values = scores[task.name][chip]
        if task.kind == "count":
            said_counts = "; ".join(count_text(name, v) for name, v in zip(task.classes, values.tolist(), strict=True))
            body += markup.head("", f"predicted: {said_counts}")
        else:
            said_by_run = np.atleast_1d(answer(task, values[None])[0])
            top = np.flatnonzero(said_by_run) if task.kind == "multilabel" else said_by_run
            body += markup.score_rows(task.classes, values.tolist(), class_colours(task), {int(i) for i in top})
    st.html(body)


def _correct(data: PackedChips, run: Run | None, task: Task, chip: int, said: Answer | None) -> None:
    standing = said.value if said is not None and said.kind == "label" else None
    st.html(markup.head(f"Correct {task.label.lower()}", "press the number key of a class"))
    with st.container(horizontal=True, key="correct-keys", gap="small"):
        correction_buttons(data, run, task, chip, standing)
        if said is not None:
            st.button(
                "Undo", key="correct.undo", icon=":material/undo:", shortcut="Z", type="tertiary",
                on_click=undo_label, args=(data, task, chip),
            )  # fmt: skip
    st.caption(split_note(data, chip))
    shown_refusal()
    if run:
        retrain_button(data, run)


def _origins(data: PackedChips) -> None:
    with st.popover("Where the targets come from", icon=":material/rule:", width="stretch"):
        title = (data.manifest.get("rules") or {}).get("title")
        if title:
            st.caption(markup.plain(title))
        for task in data.tasks:
            st.write(f"**{markup.plain(task.label)}**: {markup.plain(target_facts(data, task)[1])}")
