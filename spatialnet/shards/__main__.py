"""One shard of published work: `python -m spatialnet.shards FOLDER --shard i/n`. No database, no workspace."""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path

from spatialnet.errors import PredictionRefused, SpatialNetError
from spatialnet.shards.manifest import check_shard, read_manifest
from spatialnet.shards.run import finish, run_shard


def main(arguments: list[str] | None = None) -> int:
    """Do a shard, or put the results together.

    Returns:
        0 done; 3 stopped, the same command goes on; 1 an error, which is printed.
    """
    parser = argparse.ArgumentParser(prog="python -m spatialnet.shards", description=__doc__)
    parser.add_argument("folder", type=Path, help="the work folder, as `predict` or `embed` made it")
    parser.add_argument("--shard", metavar="I/N", default="1/1", help="which shard, from 1 (default: all)")
    parser.add_argument("--finish", action="store_true", help="put the results together once every shard is done")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:<index>; default auto")
    given = parser.parse_args(arguments)
    asked: list[int] = []
    before = {s: signal.signal(s, lambda number, _frame: asked.append(number)) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        manifest = read_manifest(given.folder)
        if given.finish:
            finish(manifest)
            return 0
        number, shards = parse_shard(given.shard)
        whole = run_shard(manifest, number, shards, should_stop=lambda: bool(asked), device=given.device)
    except SpatialNetError as error:
        print(error, file=sys.stderr)
        return 1
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return 0 if whole else 3


def parse_shard(text: str) -> tuple[int, int]:
    """`2/5` as (2, 5).

    Raises:
        PredictionRefused: it is not written like that, or there is no such shard.
    """
    first, _, second = text.partition("/")
    if not (first.isascii() and first.isdigit() and second.isascii() and second.isdigit()):
        raise PredictionRefused(f"--shard {text[:20]!r} is no shard. Write I/N, for example 1/5.")
    check_shard(int(first), int(second))
    return int(first), int(second)


if __name__ == "__main__":
    sys.exit(main())
