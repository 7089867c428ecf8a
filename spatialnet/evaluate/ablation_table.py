"""An ablation as rows of a table, for the page, the terminal and Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from spatialnet.evaluate.ablation import sentence
from spatialnet.evaluate.ground import ground_sentence
from spatialnet.tasks import Task

HEAD = ("Part", "Against", "Task", "Metric", "With", "Without", "Worth", "95 % interval", "Verdict")


@dataclass(frozen=True)
class Row:
    """One comparison on one task.

    Attributes:
        arm: identifier of the arm.
        part: what the base has.
        instead: what the arm has instead.
        task: what people read.
        metric: what people read.
        found: the entry of `compare_arms`.
    """

    arm: str
    part: str
    instead: str
    task: str
    metric: str
    found: Mapping[str, Any]

    @property
    def cells(self) -> tuple[str, ...]:
        """Texts in the order of `HEAD`."""
        held = self.found["worth"]
        bounds = "unknown" if held["low"] is None else f"{held['low']:+.3f} to {held['high']:+.3f}"
        return (
            self.part, self.instead, self.task, self.metric, _mean(self.found["base"]), _mean(self.found["arm"]),
            f"{held['value']:+.3f}", bounds, held["verdict"],
        )  # fmt: skip


def table_rows(
    arms: Sequence[Mapping[str, str]], results: Mapping[str, Any], tasks: Sequence[Task], names: Mapping[str, str]
) -> list[Row]:
    """The comparisons that are known so far, arm by arm.

    Args:
        arms: `name`, `part` and `instead` of each.
        results: `arms` by name what `compare_arms` gave; may be empty.
        tasks: the tasks of the data set.
        names: metrics as people read them; others are shown with spaces.
    """
    compared = results.get("arms", {})
    return [
        Row(arm["name"], arm["part"], arm["instead"], task.label, names.get(found["metric"], found["metric"].replace("_", " ")), found)
        for arm in arms
        for task in tasks
        for found in [compared.get(arm["name"], {}).get(task.name)]
        if found
    ]  # fmt: skip


def verdicts(rows: Sequence[Row]) -> list[str]:
    """One sentence for each arm."""
    arms: dict[str, list[Row]] = {}
    for row in rows:
        arms.setdefault(row.arm, []).append(row)
    return [sentence(r[0].part, r[0].instead, [(row.task, row.found) for row in r]) for r in arms.values()]


def markdown(rows: Sequence[Row]) -> str:
    """The table as Markdown."""
    lines = ["| " + " | ".join(HEAD) + " |", "|---|---|---|---|--:|--:|--:|--:|---|"]
    lines += ["| " + " | ".join(cell.replace("|", "\\|") for cell in row.cells) + " |" for row in rows]
    return "\n".join(lines)


def measured_on(info: Mapping[str, Any]) -> str:
    """On what, how often, and what the intervals hold: the small print under the table.

    Args:
        info: the content of `ablation.json`.
    """
    if "chips" not in info:
        return "No run is measured yet."
    seeds = len(next(iter(info["results"]["base"].values()))["values"]) if info["results"]["base"] else 0
    chance = (
        "the chance of training over the seeds (Student's t)"
        if seeds > 1
        else "not the chance of training, because there is one seed so far"
    )
    count = sum(len(tasks) for tasks in info["results"]["arms"].values())
    return (
        f"Test split: {ground_sentence(info)}. {seeds} of {info['seeds']} "
        f"seed{'s' * (info['seeds'] != 1)}. Worth above zero: the part helps. Intervals hold the chance of the test ground (drawn "
        f"{'chips' if info['blocks'] == info['chips'] else 'blocks'}) and {chance}. Of {count} "
        f"comparisons about {count / 20:.0f} would show a difference by luck alone."
    )


def _mean(side: Mapping[str, Any]) -> str:
    values = side["values"]
    spread = f" ({min(values):.3f} to {max(values):.3f})" if len(values) > 1 else ""
    return f"{side['mean']:.3f}{spread}"
