"""Runs side by side: metrics with intervals, curves over one another, and where their recipes differ."""

from __future__ import annotations

import math
from collections.abc import Sequence

import altair as alt
import pandas as pd
import streamlit as st

from spatialnet.evaluate.comparison import Comparison, Measured, compare
from spatialnet.runs import Run
from spatialnet.ui.markup import plain
from spatialnet.ui.run_table import METRIC_NAMES


def comparison(runs: Sequence[Run]) -> None:
    """Draw the comparison of two or more runs."""
    found, titles = compare(runs), _titles(runs)
    st.subheader(f"{len(runs)} runs side by side", anchor=False)
    for caution in found.cautions:
        st.warning(plain(caution), icon=":material/balance:")
    if found.rows:
        st.dataframe(_metrics(found, titles), hide_index=True)
        st.caption("Main metric on the test split with its 95 % interval. ★ marks the best run; ≈ where its interval overlaps the "
                   "lowest one's, so that the difference may be chance.")  # fmt: skip
        _intervals(found, titles)
    _curves(runs, titles)
    st.subheader("Recipes", anchor=False)
    if not found.differences:
        st.caption("The recipes do not differ.")
        return
    rows = []
    for each in found.differences:
        values = {titles[i]: str(value) for i, value in enumerate(each.values)}
        rows.append({"Field": each.field, **values, "What it means": each.text.replace("`", "")})
    st.dataframe(pd.DataFrame(rows), hide_index=True)


def _titles(runs: Sequence[Run]) -> list[str]:
    """A title per run; where two are alike, with the run's identifier."""
    named = [run.title for run in runs]
    return [run.title if named.count(run.title) == 1 else f"{run.title} ({run.name})" for run in runs]


def _metrics(found: Comparison, titles: Sequence[str]) -> pd.DataFrame:
    several = len({row.dataset for row in found.rows}) > 1
    rows = []
    for row in found.rows:
        cells = {titles[i]: _cell(value, row.best == i, row.clear) for i, value in enumerate(row.values)}
        where = {"Data set": row.dataset} if several else {}
        rows.append({**where, "Task": row.label, "Metric": METRIC_NAMES.get(row.metric, row.metric), **cells})
    return pd.DataFrame(rows)


def _cell(value: Measured | None, best: bool, clear: bool) -> str:
    if value is None or math.isnan(value.value):
        return "not measured"
    between = "" if value.low is None or value.high is None else f" [{value.low:.3f}, {value.high:.3f}]"
    mark = (" ★" if clear else " ★≈") if best else ""
    return f"{value.value:.3f}{between}{mark} · baseline {value.baseline:.3f}"


def _intervals(found: Comparison, titles: Sequence[str]) -> None:
    several = len({row.dataset for row in found.rows}) > 1
    rows = []
    for row in found.rows:
        where = f", {row.dataset}" if several else ""
        for title, value in zip(titles, row.values, strict=True):
            if value is not None and value.low is not None and row.metric not in ("mae", "rmse"):
                ends = {"value": value.value, "low": value.low, "high": value.high}
                rows.append(
                    {"task": f"{row.label}, {METRIC_NAMES.get(row.metric, row.metric)}{where}", "run": title, **ends}
                )
    if not rows:
        return
    base = alt.Chart(pd.DataFrame(rows)).encode(
        y=alt.Y("run:N", title=None, sort=list(titles), axis=alt.Axis(labelLimit=220)),
        color=alt.Color("run:N", legend=None, sort=list(titles)),
    )
    x = alt.X("low:Q", title="value and 95 % interval", scale=alt.Scale(zero=False), axis=alt.Axis(tickCount=6))
    chart = alt.layer(
        base.mark_rule(strokeWidth=3).encode(x=x, x2="high:Q"),
        base.mark_point(filled=True, size=90).encode(x="value:Q"),
    )
    st.altair_chart(chart.properties(height=26 * len(titles) + 10, width=620).facet(row=alt.Row("task:N", title=None, header=alt.Header(
        labelOrient="top", labelAnchor="start"))))  # fmt: skip


def _curves(runs: Sequence[Run], titles: Sequence[str]) -> None:
    losses, scores = [], []
    for run, title in zip(runs, titles, strict=True):
        for line in run.history():
            epoch = line["step"] / max(line["steps"], 1) * line["epochs"]
            losses.append({"epoch": epoch, "value": line["loss"], "run": title})
            for task in run.tasks:
                value = (line.get("validation") or {}).get(task.name, {}).get(task.main_metric)
                if value is not None:
                    scores.append({"epoch": line["epoch"], "value": value, "run": title, "task": task.label})
    if not losses:
        return
    st.subheader("Curves", anchor=False)
    left, right = st.columns(2)
    with left:
        st.altair_chart(_lines(losses, "training loss", titles))
    if scores:
        with right:
            task = st.selectbox("Task", sorted({score["task"] for score in scores}), key="runs.curve-task")
            st.altair_chart(_lines([s for s in scores if s["task"] == task], "main metric, validation", titles))


def _lines(rows: Sequence[dict[str, object]], what: str, titles: Sequence[str]) -> alt.Chart:
    legend = alt.Legend(orient="bottom", columns=1, labelLimit=320)
    return (
        alt.Chart(pd.DataFrame(rows))
        .mark_line()
        .encode(
            x=alt.X("epoch:Q", axis=alt.Axis(tickMinStep=1)), y=alt.Y("value:Q", title=what, scale=alt.Scale(zero=False)),
            color=alt.Color("run:N", title=None, sort=list(titles), legend=legend),
        )
        .properties(height=300)
    )  # fmt: skip
