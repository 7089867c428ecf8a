"""Runs in numbers: cards of one run, and a table of many."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from typing import Any

import pandas as pd
import streamlit as st

from spatialnet.evaluate.ground import ground_sentence
from spatialnet.runs import Run
from spatialnet.runs.rivals import RIVALS, rival_of
from spatialnet.ui.live_jobs import duration
from spatialnet.ui.markup import plain

METRIC_NAMES = {
    "macro_f1": "macro F1", "mean_ap": "mean average precision", "balanced_accuracy": "balanced accuracy", "mae": "mean absolute error",
}  # fmt: skip


def metric_cards(run: Run) -> None:
    """Each task's main metric beside the better baseline, with split, n and interval; of a joint run for each data set."""
    for dataset in run.datasets:
        report = run.report_on(dataset)
        if len(run.datasets) > 1:
            st.markdown(f"**On {plain(dataset)}**")
        columns = st.columns(2)
        for number, (name, values) in enumerate(report.get("tasks", {}).items()):
            with columns[number % 2]:
                _card(next((task.label for task in run.tasks if task.name == name), name), values)
        if report.get("tasks"):
            st.caption(
                f"Measured on the {report['split']} split: {ground_sentence(report)}. Intervals: bootstrap over "
                f"{'chips' if report['blocks'] == report['chips'] else 'blocks'}."
            )
    if training := run.report.get("training"):
        told = f"Weights: {training['weights']['title']}. Trained on {training['device']} in {duration(training['seconds'])}, "
        st.caption(plain(told) + f"{training['parameters'] / 1e6:.1f} million parameters.")


def _card(label: str, values: dict[str, Any]) -> None:
    margin, main = values["margin"], values["run"]
    unclear = margin["low"] is None or margin["low"] <= 0 <= margin["high"]
    with st.container(border=True):
        metric = METRIC_NAMES.get(values["metric"], values["metric"])
        st.markdown(plain(f"{label}: {metric}"))  # unlike the metric's own label it wraps
        st.metric(
            metric, f"{main['value']:.3f}",
            f"{margin['value']:+.3f}" + ", may be chance" * unclear, delta_color="off" if unclear else "normal",
            delta_arrow="off" if unclear else "auto", label_visibility="collapsed",
        )  # fmt: skip
        st.caption(
            plain(
                f"against {RIVALS.get(margin['over'], margin['over'])} ({rival_of(values)['value']:.3f}) · margin "
                f"{_interval(margin, sign=True)} · 95 % interval {_interval(main)} · n = {values['chips']} chips"
            )
        )


def run_frame(runs: Sequence[Run], published: Collection[str] = ()) -> pd.DataFrame:
    """One row per run: title, when, where from, and each task's main metric beside both baselines."""
    rows = []
    for run in runs:
        row = {
            "Run": run.title, "Data sets": ", ".join(run.datasets), "Started": _sortable(run.created_at),
            "Preset": run.info.get("preset", ""), "Weights": run.info.get("weights", ""),
            "Corrections": run.info.get("corrections", 0), "State": _state(run, published),
        }  # fmt: skip
        if run.done:
            for task in run.tasks:
                values = run.report["tasks"].get(task.name)
                if values:
                    name = f"{task.label}, {METRIC_NAMES[values['metric']]}"
                    row[name] = f"{values['run']['value']:.3f}  {_interval(values['run'])}"
                    row[f"{task.label}, baselines"] = (
                        f"{values['majority']['value']:.3f} / {values['band_statistics']['value']:.3f}"
                    )
        rows.append(row)
    return pd.DataFrame(rows)


def _sortable(timestamp: float) -> str:
    """A time of this machine as a text whose order is that of the times."""
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(timestamp))


def _state(run: Run, published: Collection[str]) -> str:
    if run.name in published:
        return "published"
    return "done" if run.done else "not finished"


def _interval(values: dict[str, float | None], *, sign: bool = False) -> str:
    low, high = values["low"], values["high"]
    if low is None or high is None:
        return "unknown"
    form = "+.3f" if sign else ".3f"
    return f"{low:{form}} to {high:{form}}"
