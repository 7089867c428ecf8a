"""What a run is measured beside: the cheap rivals in its report, by name and in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

RIVALS = {
    "majority": "majority answer",
    "band_statistics": "logistic regression on band means and deviations",
    "frozen_features": "logistic regression on features before training",
}
"""What people read."""


def rival_of(values: Mapping[str, Any], name: str | None = None) -> dict[str, Any]:
    """The measured rival of one task: `value`, `low`, `high`, `all`.

    Args:
        values: the task's entry in a report.
        name: which rival; default the best one, which the margin is over.
    """
    wanted = name or values["margin"]["over"]
    return dict(values[wanted] if wanted in values else values["controls"][wanted])
