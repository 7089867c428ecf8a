"""Figures that say how good SpatialNet is: each a ratio taken in one run, or a plain count.

`python -m benchmarks` lists them; `python -m benchmarks NAME [--shared DIR] [--json FILE]` runs one.

To add one, write `benchmarks/<name>.py` with a docstring that names its figures and what they are measured against, and
`def run(shared: Path | None) -> Result`. It is then listed and run by its name.
"""
