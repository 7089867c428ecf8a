"""What a run still knows when a sensor is missing, as a table on its details."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import streamlit as st

from spatialnet.tasks import Task
from spatialnet.ui.markup import plain
from spatialnet.ui.run_table import METRIC_NAMES


def draw(report: Mapping[str, Any], tasks: Sequence[Task], dataset: str = "") -> None:
    """Draw the table; nothing where the run has one sensor, or was measured before there was such a table.

    Args:
        report: a run's `report.json`.
        tasks: the run's tasks.
        dataset: which data set it is about, where the run has several.
    """
    if not report.get("without"):
        return
    known = [task for task in tasks if task.name in report["tasks"]]
    rows = [
        {"Sensors": "all", **{_column(task): f"{report['tasks'][task.name]['run']['value']:.3f}" for task in known}}
    ]
    for kind, text in (("without", "without {}"), ("alone", "{} alone")):
        if kind == "alone" and len(report["without"]) < 3:
            continue  # of two sensors, one alone is the other left out
        for sensor, measured in (report.get(kind) or {}).items():
            cells = {_column(task): _cell(measured[task.name]) for task in known if task.name in measured}
            rows.append({"Sensors": text.format(sensor), **cells})
    st.markdown("**When a sensor is missing**" + f", on {plain(dataset)}" * bool(dataset))
    st.dataframe(pd.DataFrame(rows), hide_index=True, alt="Each task's metric with sensors removed")
    st.caption(
        "In brackets the change against all sensors with its 95 % interval, on the same test chips; below zero is worse."
    )


def _column(task: Task) -> str:
    return f"{task.label}, {METRIC_NAMES.get(task.main_metric, task.main_metric.replace('_', ' '))}"


def _cell(found: Mapping[str, Any]) -> str:
    change = found["change"]
    bounds = "" if change["low"] is None else f", {change['low']:+.3f} to {change['high']:+.3f}"
    return f"{found['value']:.3f}  ({change['value']:+.3f}{bounds})"
