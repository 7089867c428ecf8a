"""The command that gives a run captions."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from spatialnet.cli.progress import follow
from spatialnet.datasets.catalogue import open_dataset
from spatialnet.errors import RunNotFound
from spatialnet.jobs.requests import newest_done, request_captions
from spatialnet.jobs.services import services
from spatialnet.joint import part_of
from spatialnet.predict.captions import read_caption_report
from spatialnet.runs import list_runs, open_run


def add_caption_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `caption` to the parser."""
    caption = commands.add_parser(
        "caption", help="let a finished run describe chips in sentences (optional)",
        description="Train a small decoder on what the run's network sees, with the data set's own sentences and words; write a "
        "caption for every chip, and measure BLEU and ROUGE-L on the test split. The network stays as it is. It is done as a job, "
        "which the command follows.",
        epilog="example: python -m spatialnet caption --column captions --epochs 20",
    )  # fmt: skip
    caption.add_argument("--run", help="identifier of a run (default: the newest finished one)")
    caption.add_argument("--dataset", help="identifier of a data set that the run knows (default: its first)")
    caption.add_argument("--column", default="", help="column of the source's labels with sentences, or 'caption_*'")
    caption.add_argument("--epochs", type=int, default=20)
    caption.add_argument("--seed", type=int, default=0)
    caption.add_argument("--beams", type=int, default=3, help="beginnings kept while writing; 1 is greedy (default: 3)")
    caption.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:<index> (default: auto)")
    caption.add_argument("--no-wait", action="store_true", help="return at once; the job goes on by itself")
    caption.set_defaults(command="caption")


def _caption(options: argparse.Namespace) -> int:
    shared = services()
    run = open_run(shared.settings, options.run) if options.run else newest_done(list_runs(shared.settings))
    if run is None:
        raise RunNotFound("No run has finished yet. `python -m spatialnet sample` trains the first.")
    data = open_dataset(shared.settings, options.dataset or run.dataset)
    job = request_captions(
        shared.jobs, run, data, options.column, epochs=options.epochs, seed=options.seed, beams=options.beams, device=options.device
    )  # fmt: skip
    if options.no_wait:
        print(job.id)
        return 0
    if follow(shared, job):
        return 1
    report = read_caption_report(part_of(run.folder, data.name)) or {}
    for who, text in (("run", f"run {run.name}"), ("majority", "always the most frequent caption")):
        if measured := report.get(who):
            print(f"{text}: BLEU {measured['bleu']:.1f}, ROUGE-L {measured['rouge_l']:.3f}, n = {report['chips']}")
    return 0


CAPTION_COMMANDS: dict[str, Callable[[argparse.Namespace], int]] = {"caption": _caption}
