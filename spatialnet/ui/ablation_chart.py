"""The plot of an ablation: what each part is worth on each task, as a dot with its interval and a line at zero."""

from __future__ import annotations

from collections.abc import Sequence

import altair as alt
import numpy as np
import pandas as pd
import streamlit as st

from spatialnet.evaluate.ablation import BETTER, SAME, UNKNOWN, WORSE
from spatialnet.evaluate.ablation_table import Row
from spatialnet.metrics import higher_is_better
from spatialnet.ui.markup import plain

# Okabe and Ito's blue and vermilion, told apart by everybody; the shape says the same again.
_LOOKS = {
    BETTER: ("#0072B2", "triangle-right"), WORSE: ("#D55E00", "triangle-left"), SAME: ("#8a8a8a", "circle"), UNKNOWN: ("#8a8a8a", "cross"),
}  # fmt: skip


def draw_chart(rows: Sequence[Row]) -> None:
    """Draw one plot per task, all metrics of one kind on the same scale; what is an error in counts has its own."""
    parts = {row.arm: row.part for row in rows}
    frame = pd.DataFrame([
        {
            "part": row.instead if list(parts.values()).count(row.part) > 1 else row.part, "instead": row.instead, "task": row.task,
            "worth": row.found["worth"]["value"], "low": row.found["worth"]["low"], "high": row.found["worth"]["high"],
            "verdict": row.found["worth"]["verdict"], "metric": row.metric, "shares": higher_is_better(row.found["metric"]),
        }
        for row in rows
    ])  # fmt: skip
    for number, (task, part) in enumerate(frame.groupby("task", sort=False)):
        shares = bool(part["shares"].iloc[0])
        alike = frame[frame["shares"] == shares][["low", "high", "worth"]].to_numpy(float)
        reach = max(1e-3, float(np.nanmax(np.abs(alike)))) * 1.05 if np.isfinite(alike).any() else 1.0
        unit = "difference, 0 to 1" if shares else "less error, in counts"
        st.markdown(f"**{plain(str(task))}**: worth in {part['metric'].iloc[0]}")
        st.altair_chart(_chart(part, unit, reach), width="stretch", key=f"ablation.chart.{number}")


def _chart(frame: pd.DataFrame, title: str, reach: float) -> alt.LayerChart | alt.FacetChart:
    found = [name for name in _LOOKS if name in set(frame["verdict"])]
    y = alt.Y("part:N", sort=list(frame["part"]), title=None, axis=alt.Axis(labelLimit=230, ticks=False, domain=False))
    x = alt.Scale(domain=[-reach, reach])
    colour = alt.Color(
        "verdict:N", title=None, legend=alt.Legend(orient="top"), scale=alt.Scale(domain=found, range=[_LOOKS[n][0] for n in found])
    )  # fmt: skip
    shape = alt.Shape("verdict:N", title=None, scale=alt.Scale(domain=found, range=[_LOOKS[n][1] for n in found]))
    numbers = [alt.Tooltip(f"{name}:Q", format="+.3f") for name in ("worth", "low", "high")]
    tips = ["part:N", alt.Tooltip("instead:N", title="against"), *numbers, "verdict:N"]
    base = alt.Chart(frame)
    zero = base.mark_rule(strokeDash=[4, 3], opacity=0.7, color="#8a8a8a").encode(x=alt.datum(0))
    lines = base.mark_rule(size=2).encode(
        x=alt.X("low:Q", title=title, scale=x), x2="high:Q", y=y, color=colour, tooltip=tips
    )
    dots = base.mark_point(size=80, filled=True, opacity=1).encode(
        x="worth:Q", y=y, color=colour, shape=shape, tooltip=tips
    )
    return alt.layer(zero, lines, dots).properties(height=alt.Step(22))
