"""The captions of a run: learnt by a job, and how good they are."""

from __future__ import annotations

import streamlit as st

from spatialnet.datasets.captions import has_captions
from spatialnet.datasets.catalogue import open_dataset
from spatialnet.datasets.packed import PackedChips
from spatialnet.errors import SpatialNetError
from spatialnet.jobs.requests import request_captions
from spatialnet.jobs.services import services
from spatialnet.joint import part_of
from spatialnet.predict.captions import read_caption_report
from spatialnet.runs import Run
from spatialnet.ui.frame import show_error
from spatialnet.ui.live_jobs import progress_text
from spatialnet.ui.markup import plain


def captions_panel(run: Run) -> None:
    """Draw it for each data set of a finished run that has captions; nothing for others."""
    for name in run.datasets if run.done else ():
        try:
            data = open_dataset(services().settings, name)
        except SpatialNetError:
            continue  # where the run comes from says so already
        if has_captions(data):
            _panel(run, data)


def _panel(run: Run, data: PackedChips) -> None:
    st.subheader(f"Captions of {plain(data.title)}" if len(run.datasets) > 1 else "Captions", anchor=False)
    report = read_caption_report(part_of(run.folder, data.name))
    if report is None:
        st.caption(
            "The data set describes its chips in sentences. The run can learn to write such sentences from what its network sees; "
            "the network stays as it is."
        )
    elif not report["run"]:
        st.caption("Every chip has a caption. No chip of the test split came with one, so nothing was measured.")
    else:
        own, usual = report["run"], report["majority"]
        left, right = st.columns(2)
        left.metric("BLEU (0 to 100)", f"{own['bleu']:.1f}", f"{own['bleu'] - usual['bleu']:+.1f} against the control")
        right.metric(
            "ROUGE-L (0 to 1)", f"{own['rouge_l']:.3f}", f"{own['rouge_l'] - usual['rouge_l']:+.3f} against the control"
        )
        st.caption(
            f"The control always says the most frequent training caption: BLEU {usual['bleu']:.1f}, ROUGE-L {usual['rouge_l']:.3f}. "
            f"Measured on {report['chips']:,} test chips; the map and each chip's page show the sentences."
        )
    jobs = services().jobs
    asked = (run.name, data.name)
    for job in jobs.store.live():
        if job.kind == "caption" and (job.spec.get("captions_of"), job.spec.get("dataset")) == asked:
            st.caption(f"Being learnt: {progress_text(job)}")
            return
    if st.button(
        "Learn captions" if report is None else "Learn captions again",
        icon=":material/notes:",
        key=f"captions.{data.name}",
    ):
        try:
            request_captions(jobs, run, data)
        except SpatialNetError as error:
            show_error(error)
            return
        st.rerun()
