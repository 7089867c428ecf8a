"""How a run learns: loss and validation metrics over epochs."""

from __future__ import annotations

import altair as alt
import pandas as pd
import streamlit as st

from spatialnet.runs import Run
from spatialnet.ui.live_jobs import duration
from spatialnet.ui.run_table import metric_cards


def draw_curves(run: Run) -> None:
    """Draw the curves of a run, live while it trains, and its metrics once it is done."""
    history = run.history()
    if not history:
        st.caption("The first report comes within seconds of the start.")
        return
    loss = pd.DataFrame([{"epoch": h["step"] / max(h["steps"], 1) * h["epochs"], "loss": h["loss"]} for h in history])
    metrics = pd.DataFrame(
        [
            {
                "epoch": h["epoch"],
                "metric": t.label,
                "value": h["validation"][t.name][t.main_metric],
            }
            for h in history
            if h.get("validation")
            for t in run.tasks
            if t.main_metric in h["validation"].get(t.name, {})
        ]
    )
    left, right = st.columns(2)
    left.altair_chart(
        alt.Chart(loss)
        .mark_line()
        .encode(
            x=alt.X("epoch:Q", axis=alt.Axis(tickMinStep=1)),
            y=alt.Y("loss:Q", title="training loss", scale=alt.Scale(zero=False)),
        )
        .properties(height=300)
    )
    if len(metrics):
        legend = alt.Legend(orient="bottom", columns=2, labelLimit=320)
        right.altair_chart(
            alt.Chart(metrics)
            .mark_line(point=True)
            .encode(
                x=alt.X("epoch:Q", axis=alt.Axis(tickMinStep=1)),
                y=alt.Y("value:Q", title="main metric, validation", scale=alt.Scale(zero=False)),
                color=alt.Color("metric:N", title=None, legend=legend),
            )
            .properties(height=300)
        )
    last = history[-1]
    left_text = f" · {duration(last['eta_seconds'])} left" if last.get("eta_seconds") and not run.done else ""
    st.caption(
        f"Epoch {last['epoch']} of {last['epochs']} · {last['chips_per_second']:,.0f} chips per second{left_text}"
    )
    if run.done:
        metric_cards(run)
