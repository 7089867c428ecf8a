"""`python -m benchmarks` lists the benchmarks; `python -m benchmarks NAME` runs one.

Exit codes: 0 every target is met, 1 a target is missed, 2 wrong usage, 3 it cannot run here.
"""

from __future__ import annotations

import argparse
import importlib
import pkgutil
import sys
import time
from pathlib import Path

import benchmarks
from benchmarks.figures import CannotRun, Result, machine, write_json

_NOT_BENCHMARKS = {"__main__", "figures", "generated"}


def names() -> list[str]:
    """The benchmarks in this folder, in alphabetical order."""
    return sorted(
        module.name for module in pkgutil.iter_modules(benchmarks.__path__) if module.name not in _NOT_BENCHMARKS
    )


def listing() -> str:
    """One line per benchmark: its name and the first line of its docstring."""
    width = max((len(name) for name in names()), default=0)
    return "\n".join(f"{name:<{width}}  {_first_line(name)}" for name in names())


def _first_line(name: str) -> str:
    """The first line of a benchmark's docstring, read without running its imports."""
    import ast

    source = Path(benchmarks.__path__[0], f"{name}.py").read_text(encoding="utf-8")
    return (ast.get_docstring(ast.parse(source)) or "").partition("\n")[0]


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__.partition("\n")[0])
    parser.add_argument("name", nargs="?", help="one of the listed; none lists them")
    parser.add_argument("--shared", type=Path, help="folder with data that is too large for the repository")
    parser.add_argument("--json", type=Path, help="also write the result to this file")
    options = parser.parse_args(arguments)
    if options.name is None:
        print(listing())
        return 0
    if options.name not in names():
        print(f"There is no benchmark {options.name!r}. Choose one of: {', '.join(names())}.", file=sys.stderr)
        return 2
    started = time.monotonic()
    try:
        result: Result = importlib.import_module(f"benchmarks.{options.name}").run(options.shared)
    except CannotRun as reason:
        print(f"{options.name} cannot run here: {reason}", file=sys.stderr)
        return 3
    seconds = time.monotonic() - started
    print(f"{options.name} on {machine()}, {seconds:.1f} s")
    print(result.table())
    if options.json:
        write_json(options.json, result.to_json(options.name, seconds))
    return 0 if all(figure.met for figure in result.figures) else 1


if __name__ == "__main__":
    sys.exit(main())
