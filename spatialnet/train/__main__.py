"""`python -m spatialnet.train RUN --data FOLDER`: train a run folder; needs torch, timm, numpy and safetensors only."""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path
from typing import Any

from spatialnet.datasets.packed import PackedChips
from spatialnet.errors import SpatialNetError
from spatialnet.train.run import train


def main(arguments: list[str] | None = None) -> int:
    """Train, print a line per epoch, and stop cleanly on Ctrl-C or SIGTERM.

    Returns:
        0 finished; 3 stopped, the same command goes on; 1 an error, which is printed.
    """
    parser = argparse.ArgumentParser(prog="python -m spatialnet.train", description=__doc__)
    parser.add_argument("run", type=Path, metavar="RUN", help="the run's folder; holds recipe.toml")
    parser.add_argument(
        "--data", type=Path, required=True, action="append", metavar="FOLDER",
        help="the data set's folder; once for each data set of a joint run",
    )  # fmt: skip
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:<index>; default auto")
    parser.add_argument(
        "--weights", type=Path, metavar="FOLDER", help="where file: weights lie and converted ones are kept"
    )
    parser.add_argument(
        "--parts",
        type=int,
        metavar="N",
        help="into how many parts a step is cut, to fit into memory; default by the recipe",
    )
    given = parser.parse_args(arguments)
    asked: list[int] = []
    before = {s: signal.signal(s, lambda number, _frame: asked.append(number)) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        data = [PackedChips.open(folder.resolve()) for folder in given.data]
        result = train(
            given.run.resolve(),
            data,
            device=given.device,
            should_stop=lambda: bool(asked),
            heartbeat=_show,
            weights_folder=given.weights,
            parts=given.parts,
        )
    except SpatialNetError as error:
        print(error, file=sys.stderr)
        return 1
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    print(f"{result['state']} at step {result['step']} of {result['steps']} after {result['seconds']:.0f} s")
    return 0 if result["state"] == "finished" else 3


def _show(line: dict[str, Any]) -> None:
    if "validation" in line:
        pace = f"{line['chips_per_second']:.0f} chips/s"
        shown = "  ".join(
            f"{task} " + " ".join(f"{k} {v:.3f}" for k, v in m.items()) for task, m in line["validation"].items()
        )
        print(
            f"epoch {line['epoch']}/{line['epochs']}  loss {line['loss']:.3f}  {shown}  {pace}",
            flush=True,
        )


if __name__ == "__main__":
    sys.exit(main())
