"""What a benchmark gives back, and how to measure here.

CPU time of single-threaded runs, the minimum of k, both sides interleaved in one process: on a shared machine this
stays within 10-20 % where wall time moves tenfold.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

REPOSITORY = Path(__file__).resolve().parents[1]


class CannotRun(Exception):
    """This benchmark cannot run here; the message says what it needs. The command exits with 3."""


@dataclass(frozen=True)
class Figure:
    """One number with its target.

    Attributes:
        id: as named in the benchmark's docstring.
        value: the number.
        unit: for example `x`, `s`, `ms`, `chips`.
        better: which direction is better.
        target: what it should reach.
        n: how many measurements stand behind it.
        spread: lowest and highest plausible value (for a ratio of minima: lower and upper quartile of paired ratios).
    """

    id: str
    value: float
    unit: str
    better: Literal["higher", "lower"]
    target: float
    n: int
    spread: tuple[float, float]

    @property
    def met(self) -> bool:
        """The value reaches the target."""
        return self.value >= self.target if self.better == "higher" else self.value <= self.target


@dataclass(frozen=True)
class Result:
    """What `run` returns.

    Attributes:
        figures: numbers with targets.
        rows: what else the table shows, label -> text: both sides of each ratio, the machine's matrix-product ceiling,
            a random or an empty row.
    """

    figures: list[Figure]
    rows: Mapping[str, str] = field(default_factory=dict)

    def table(self) -> str:
        """A short table for people."""
        lines = [(label, text) for label, text in self.rows.items()]
        for figure in self.figures:
            sign = ">=" if figure.better == "higher" else "<="
            low, high = figure.spread
            lines.append(
                (
                    figure.id,
                    f"{figure.value:.4g} {figure.unit}  ({low:.4g} to {high:.4g}, n={figure.n}; "
                    f"target {sign} {figure.target:g}: {'met' if figure.met else 'NOT met'})",
                )
            )
        width = max((len(label) for label, _ in lines), default=0)
        return "\n".join(f"{label:<{width}}  {text}" for label, text in lines)

    def to_json(self, name: str, seconds: float) -> dict[str, Any]:
        """The result in the form that is written by `--json`."""
        figures = [asdict(figure) | {"spread": list(figure.spread)} for figure in self.figures]
        return {
            "benchmark": name,
            "commit": commit(),
            "machine": machine(),
            "seconds": round(seconds, 2),
            "figures": figures,
        }


def cpu_seconds(
    sides: Mapping[str, Callable[[], object]], *, rounds: int = 15, calls: int = 1
) -> dict[str, list[float]]:
    """CPU seconds per call of each side, interleaved: side by side in every round, after one round that does not count.

    Args:
        sides: what to measure, by name.
        rounds: how often each side is measured.
        calls: calls per measurement, for work that is short beside the clock's step.
    """
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for round_number in range(rounds + 1):
        for name, call in sides.items():
            start = time.process_time()
            for _ in range(calls):
                call()
            if round_number:
                seconds[name].append((time.process_time() - start) / calls)
    return seconds


def ratio_of_minima(above: list[float], below: list[float]) -> tuple[float, tuple[float, float]]:
    """The ratio of the two minima, and the lower and upper quartile of the rounds' own ratios (widened to hold it)."""
    value = min(above) / min(below)
    paired = sorted(a / b for a, b in zip(above, below, strict=True))
    low, high = paired[len(paired) // 4], paired[-1 - len(paired) // 4]
    return value, (min(low, value), max(high, value))


@contextmanager
def one_thread() -> Iterator[None]:
    """Torch on one thread, as every ratio of CPU times needs it; restored afterwards."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def matmul_gflops(size: int = 768, rounds: int = 10) -> float:
    """The machine's ceiling: float32 matrix product in GFLOP/s on one thread, best of the rounds, in CPU time."""
    import torch

    with one_thread(), torch.inference_mode():
        a, b = torch.rand(size, size), torch.rand(size, size)
        best = min(cpu_seconds({"matmul": lambda: a @ b}, rounds=rounds)["matmul"])
    return 2e-9 * size**3 / best


def machine() -> str:
    """Processor, cores, system and Python version in one line."""
    model = platform.processor() or platform.machine()
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
                break
    except OSError:  # not Linux
        pass
    return (
        f"{model}, {os.cpu_count()} cores, {platform.system()} {platform.release()}, Python {platform.python_version()}"
    )


def commit() -> str:
    """The commit measured, with `+changes` where the working tree differs; `unknown` outside a repository."""
    try:
        head = _git("rev-parse", "--short=12", "HEAD")
        return head + ("+changes" if _git("status", "--porcelain") else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=REPOSITORY, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write one result; a reader sees the old file or the whole new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    temporary.replace(path)
