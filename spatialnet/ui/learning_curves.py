"""How a run learns: losses per task and validation metrics over epochs, and how its tasks share the step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt
import pandas as pd
import streamlit as st

from spatialnet.metrics import higher_is_better
from spatialnet.runs import Run
from spatialnet.tasks import Task
from spatialnet.ui import markup
from spatialnet.ui.live_jobs import duration
from spatialnet.ui.run_table import METRIC_NAMES, metric_cards

_HEIGHT = 210
# Okabe and Ito's colours without black and yellow, which vanish on one of the two grounds.
_COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#8a8a8a")
_TOGETHER = "All data sets together"
_SUM = "All tasks"
_AGREEMENT = "Agreement of tasks"
_MOST_IN_PAIRS = 4
"""Tasks whose agreement is drawn pair by pair."""
Line = Mapping[str, Any]
Rows = list[dict[str, Any]]


def draw_curves(run: Run) -> None:
    """Draw the curves of a run, live while it trains, and its metrics once it is done."""
    history = run.history()
    if not history:
        st.caption("No report yet. The first comes within seconds of the start.")
        return
    colours = {task.label: _COLOURS[number % len(_COLOURS)] for number, task in enumerate(run.tasks)}
    losses = _losses(run.tasks, history)
    if any(row["curve"] == _SUM for row in losses):
        colours[_SUM] = _COLOURS[-1]
    charts = [
        ("Training loss", losses, "loss"),
        *_validation(run, history),
        *_sharing(run.tasks, history),
    ]
    border = _heads_end(history)
    st.html(markup.swatches([(colour, name) for name, colour in colours.items()]))
    columns = st.columns(2)
    for number, (title, rows, unit) in enumerate(charts):
        with columns[number % 2]:
            st.markdown(f"**{title}**")
            st.altair_chart(_chart(rows, unit, border, colours), alt=f"{title} over epochs")
            if title == _AGREEMENT and len(run.tasks) <= _MOST_IN_PAIRS:
                st.html(markup.swatches([(colour, name) for name, colour in _pair_colours(rows).items()]))
    if border:
        st.caption("The dashed line ends the first stage, in which only the heads learn.")
    if any(line.get("conflicts") for line in history):
        st.caption(
            "Agreement: the cosine between two tasks' gradients on shared layers, of many tasks the mean of each with the others; below 0 "
            "they pull against each other."
        )
    last = history[-1]
    left_text = f" · {duration(last['eta_seconds'])} left" if last.get("eta_seconds") and not run.done else ""
    held = f" · {last['memory_gib']:.1f} GiB of memory" if last.get("memory_gib") else ""
    st.caption(
        f"Epoch {last['epoch']} of {last['epochs']} · {last['chips_per_second']:,.0f} chips per second{held}{left_text}"
    )
    if run.done:
        metric_cards(run)


def _epoch(line: Line) -> float:
    return float(line["step"]) / max(line["steps"], 1) * float(line["epochs"])


def _heads_end(history: Sequence[Line]) -> float | None:
    """The epoch in which the stage of the heads ended; None where there was no such stage, or nothing after it yet."""
    heads = [_epoch(line) for line in history if line.get("stage") == "heads"]
    return max(heads) if heads and history[-1].get("stage") != "heads" else None


def _losses(tasks: Sequence[Task], history: Sequence[Line]) -> Rows:
    """Per task; of runs from before losses were kept per task, their sum."""
    labels = {task.name: task.label for task in tasks}
    return [
        {"epoch": _epoch(line), "curve": labels.get(name, name), "value": value}
        for line in history
        for name, value in (line.get("losses") or {_SUM: line["loss"]}).items()
    ]


def _validation(run: Run, history: Sequence[Line]) -> list[tuple[str, Rows, str]]:
    """The main metrics: shares in one chart, errors of counts in another; of a joint run for any of its data sets."""
    sets = list(dict.fromkeys(name for line in history for name in line.get("validation_sets") or {}))
    of = _TOGETHER
    if sets:
        of = str(
            st.segmented_control(
                "Validation of", [_TOGETHER, *sets], default=_TOGETHER, key=f"curves.set.{run.name}", required=True
            )
        )
    shares: Rows = []
    errors: Rows = []
    for line in history:
        measured = line.get("validation") or {}
        if of != _TOGETHER:
            measured = (line.get("validation_sets") or {}).get(of, {})
        for task in run.tasks:
            if task.main_metric in measured.get(task.name, {}):
                part = shares if higher_is_better(task.main_metric) else errors
                metric = METRIC_NAMES.get(task.main_metric, task.main_metric)
                value = measured[task.name][task.main_metric]
                part.append({"epoch": line["epoch"], "curve": task.label, "metric": metric, "value": value})
    titled = [
        ("Validation, higher is better", shares, "metric, 0 to 1"),
        ("Validation, lower is better", errors, "error in counts"),
    ]
    return [each for each in titled if each[1]]


def _sharing(tasks: Sequence[Task], history: Sequence[Line]) -> list[tuple[str, Rows, str]]:
    """How much each task counted, where that changed; and how far tasks agreed, where that was measured."""
    labels = {task.name: task.label for task in tasks}
    weights: Rows = [
        {"epoch": _epoch(line), "curve": labels.get(name, name), "value": value}
        for line in history
        for name, value in (line.get("weights") or {}).items()
    ]
    by_task = pd.DataFrame(weights, columns=["epoch", "curve", "value"]).groupby("curve")["value"]
    agreement: Rows = [
        {"epoch": _epoch(line), "curve": who, "value": value}
        for line in history
        for who, value in _agreement(line.get("conflicts") or {}, labels).items()
    ]
    found = []
    if (by_task.nunique() > 1).any():
        found.append(("How much each task counts", weights, "weight of its loss"))
    if agreement:
        found.append((_AGREEMENT, agreement, "cosine, -1 to 1"))
    return found


def _agreement(cosines: Mapping[str, float], labels: Mapping[str, str]) -> dict[str, float]:
    """Of each pair of tasks; where these are too many to tell apart, of each task with all others in the mean."""
    pairs = {pair: tuple(labels.get(name, name) for name in pair.split("|")) for pair in cosines}
    if len(labels) <= _MOST_IN_PAIRS:
        return {" and ".join(pairs[pair]): value for pair, value in cosines.items()}
    names = dict.fromkeys(name for pair in pairs.values() for name in pair)
    of = {name: [value for pair, value in cosines.items() if name in pairs[pair]] for name in names}
    return {name: sum(values) / len(values) for name, values in of.items()}


def _pair_colours(rows: Rows) -> dict[str, str]:
    names = dict.fromkeys(row["curve"] for row in rows)
    return {name: _COLOURS[number % len(_COLOURS)] for number, name in enumerate(names)}


def _chart(rows: Rows, unit: str, border: float | None, colours: Mapping[str, str]) -> alt.LayerChart | alt.FacetChart:
    """One chart; its legend stands outside, where it takes nothing from the curves."""
    frame = pd.DataFrame(rows)
    shown = {**_pair_colours(rows), **colours}
    names = list(dict.fromkeys(frame["curve"]))
    tips = ["curve:N", *(["metric:N"] if "metric" in frame else [])]
    dots = alt.OverlayMarkDef(size=18) if len(frame) <= 40 * len(names) else False
    lines = alt.Chart(frame).mark_line(point=dots).encode(
        x=alt.X("epoch:Q", title="epoch", axis=alt.Axis(tickMinStep=1, format="~g")),
        y=alt.Y("value:Q", title=unit, scale=alt.Scale(zero=False), axis=alt.Axis(format=".3~g")),
        color=alt.Color("curve:N", scale=alt.Scale(domain=names, range=[shown[name] for name in names]), legend=None),
        tooltip=[*tips, alt.Tooltip("epoch:Q", format=".1f"), alt.Tooltip("value:Q", format=".4f")],
    )  # fmt: skip
    layers: list[alt.Chart] = [lines]
    if border is not None:
        end = alt.Chart(pd.DataFrame([{"epoch": border}]))
        layers.append(end.mark_rule(strokeDash=[4, 3], color="#8a8a8a").encode(x="epoch:Q"))
    if frame["value"].min() < 0 and "cosine" in unit:
        zero = alt.Chart(pd.DataFrame([{"value": 0.0}]))
        layers.append(zero.mark_rule(color="#8a8a8a").encode(y="value:Q"))
    return alt.layer(*layers).properties(height=_HEIGHT)
