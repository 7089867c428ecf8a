"""The plot of an ablation: what each part is worth on each task, as a dot with its interval and a line at zero."""

from __future__ import annotations

from collections.abc import Sequence

import altair as alt
import pandas as pd
import streamlit as st

from spatialnet.evaluate.ablation import BETTER, SAME, UNKNOWN, WORSE
from spatialnet.evaluate.ablation_table import Row
from spatialnet.metrics import higher_is_better

# Okabe and Ito's blue and vermilion, told apart by everybody; the shape says the same again.
_LOOKS = {
    BETTER: ("#0072B2", "triangle-right"), WORSE: ("#D55E00", "triangle-left"), SAME: ("#8a8a8a", "circle"), UNKNOWN: ("#8a8a8a", "cross"),
}  # fmt: skip


def draw_chart(rows: Sequence[Row]) -> None:
    """Draw the plot; metrics that are counts get a plot of their own, because their scale is another."""
    frame = pd.DataFrame([
        {
            "part": f"{row.part} / {row.instead}", "task": row.task, "worth": row.found["worth"]["value"], "low": row.found["worth"]["low"],
            "high": row.found["worth"]["high"], "verdict": row.found["worth"]["verdict"], "metric": row.metric,
            "shares": higher_is_better(row.found["metric"]),
        }
        for row in rows
    ])  # fmt: skip
    for shares, part in frame.groupby("shares", sort=False):
        title = "worth (difference of the metric, 0 to 1)" if shares else "worth (less error, in counts)"
        st.altair_chart(_chart(part.drop(columns="shares"), title), key=f"ablation.chart.{shares}")


def _chart(frame: pd.DataFrame, title: str) -> alt.FacetChart:
    order = list(dict.fromkeys(frame["part"]))
    found = [name for name in _LOOKS if name in set(frame["verdict"])]
    y = alt.Y("part:N", sort=order, title=None, axis=alt.Axis(labelLimit=420, ticks=False, domain=False))
    colour = alt.Color(
        "verdict:N", title=None, legend=alt.Legend(orient="top"), scale=alt.Scale(domain=found, range=[_LOOKS[n][0] for n in found])
    )  # fmt: skip
    shape = alt.Shape("verdict:N", title=None, scale=alt.Scale(domain=found, range=[_LOOKS[n][1] for n in found]))
    tips = [
        "part:N",
        "task:N",
        "metric:N",
        *(alt.Tooltip(f"{n}:Q", format="+.3f") for n in ("worth", "low", "high")),
        "verdict:N",
    ]
    base = alt.Chart(frame)
    zero = base.mark_rule(strokeDash=[4, 3], opacity=0.7, color="#8a8a8a").encode(x=alt.datum(0))
    lines = base.mark_rule(size=2).encode(x=alt.X("low:Q", title=title), x2="high:Q", y=y, color=colour, tooltip=tips)
    dots = base.mark_point(size=90, filled=True, opacity=1).encode(
        x="worth:Q", y=y, color=colour, shape=shape, tooltip=tips
    )
    width = 250 if frame["task"].nunique() > 1 else 560
    return (
        alt.layer(zero, lines, dots)
        .properties(width=width, height=alt.Step(26))
        .facet(column=alt.Column("task:N", title=None, sort=list(dict.fromkeys(frame["task"]))))
        .resolve_scale(x="shared")
    )
