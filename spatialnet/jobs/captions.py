"""The optional captions of a run: a head is trained on what the run's network sees, and writes a sentence for every chip."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from spatialnet.datasets.captions import captions_of
from spatialnet.datasets.catalogue import open_dataset
from spatialnet.datasets.packed import PackedChips
from spatialnet.jobs.launch import Jobs
from spatialnet.jobs.reporter import Reporter
from spatialnet.jobs.requests import check_captions
from spatialnet.jobs.store import Job
from spatialnet.joint import model_of, part_of
from spatialnet.metrics import caption_metrics
from spatialnet.model import SpatialNetViT, load_model
from spatialnet.model.caption import CaptionHead, Seen, see
from spatialnet.predict.captions import CAPTIONS, REPORT, write_captions
from spatialnet.runs import Run, open_run, write_json
from spatialnet.train.captions import train_captions
from spatialnet.train.devices import resolve_device

HEAD = "caption.safetensors"
_BATCH = 64


def do_captions(jobs: Jobs, job: Job, report: Reporter) -> str:
    """Train and write the captions that were asked for (`spatialnet.jobs.requests.request_captions`).

    A job that was stopped begins anew; nothing is written before the end.

    Returns:
        BLEU and ROUGE-L beside the control, in one line.
    """
    spec = job.spec
    run, data = open_run(jobs.settings, str(spec["captions_of"])), open_dataset(jobs.settings, str(spec["dataset"]))
    measured = caption_run(
        run, data, str(spec["column"]), epochs=int(spec["epochs"]), seed=int(spec["seed"]), beams=int(spec["beams"]),
        device=report.device, progress=lambda share, text: report(share, text[:1].upper() + text[1:]),
    )  # fmt: skip
    if not measured["run"]:
        return "No chip of the test split has a caption, so nothing was measured."
    own, usual = measured["run"], measured["majority"]
    return (
        f"BLEU {own['bleu']:.1f} (always the most frequent caption {usual['bleu']:.1f}), "
        f"ROUGE-L {own['rouge_l']:.3f} ({usual['rouge_l']:.3f}), {measured['chips']:,} chips"
    )


def caption_run(
    run: Run, data: PackedChips, column: str = "", *, epochs: int = 20, seed: int = 0, device: str = "auto", beams: int = 3,
    progress: Callable[[float, str], None] = lambda _share, _text: None,
) -> dict[str, Any]:  # fmt: skip
    """Train a caption head for a finished run, write a caption for every chip, and measure them on the test split.

    Into the part of the run folder that belongs to the data set go `caption.safetensors` (the head with its words),
    `captions.parquet` and `captions.json`; the run's network and its other files stay as they are.

    Args:
        run: a finished run.
        data: a data set that it knows.
        column: where the captions are, see `captions_of`.
        epochs: passes over the training chips.
        seed: of all that is random.
        device: `auto`, `cpu`, `cuda` or `cuda:<index>`.
        beams: beginnings that are kept while writing; 1 takes the best next word each time.
        progress: called with a share in 0..1 and what is being done.

    Returns:
        JSON-ready: `split`, `chips` (test chips with captions), `words`, `epochs`, and `run` and `majority` (always the
        training caption that occurs most often), each with bleu and rouge_l, empty where no test chip has a caption.

    Raises:
        PredictionRefused: the run has no network yet or does not know the data set, or epochs or beams are out of range.
        SpatialNetError: another of its children, where captions, sensors or the disk do not do.
    """
    check_captions(run, data, epochs, beams)
    captions = captions_of(data, column)
    model, _ = load_model(model_of(run.folder, data.name), resolve_device(device))
    model.eval()
    looking = _looking(model, data)
    head = train_captions(
        model, looking, captions, data.in_split("train"), data.in_split("validation"), epochs=epochs, seed=seed,
        progress=lambda share, text: progress(0.7 * share, text),
    )  # fmt: skip
    said = []
    for start in range(0, len(data), _BATCH):
        said += head.write(looking(np.arange(start, min(start + _BATCH, len(data)))), beams)
        progress(0.7 + 0.3 * len(said) / len(data), f"{len(said):,} of {len(data):,} captions")
    report = _measured(data, captions, said) | {"words": len(head.words), "epochs": epochs, "column": column}
    _keep(part_of(run.folder, data.name), head, said, report)
    return report


def _looking(model: SpatialNetViT, data: PackedChips) -> Callable[[npt.NDArray[np.int64]], Seen]:
    names = [sensor.name for sensor in data.sensors if sensor.name in model.sensors]
    there = {name: data.present(name) for name in names}
    partial = any(not values.all() for values in there.values())

    def look(rows: npt.NDArray[np.int64]) -> Seen:
        pixels = {name: data.images(name)[rows] for name in names}
        present = {name: torch.from_numpy(there[name][rows]) for name in names} if partial else None
        return see(model, model.prepare(pixels, overwrite=True, dataset=data.name), present)

    return look


def _measured(data: PackedChips, captions: Sequence[Sequence[str]], said: Sequence[str]) -> dict[str, Any]:
    test = [int(chip) for chip in data.in_split("test") if captions[chip]]
    usual = Counter(text for chip in data.in_split("train") for text in captions[chip]).most_common(1)[0][0]
    known = [captions[chip] for chip in test]
    return {
        "split": "test", "chips": len(test), "run": caption_metrics([said[chip] for chip in test], known),
        "majority": caption_metrics([usual] * len(test), known),
    }  # fmt: skip


def _keep(folder: Path, head: CaptionHead, said: Sequence[str], report: dict[str, Any]) -> None:
    head.save(folder / HEAD)
    write_captions(folder / CAPTIONS, said)
    write_json(folder / REPORT, report)
