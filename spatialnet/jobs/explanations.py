"""Explanations as files: a key names one, and what was computed once is read back. No torch."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from spatialnet.settings import Settings


@dataclass(frozen=True)
class ExplanationRequest:
    """Which explanation.

    Attributes:
        run: identifier of the run.
        chip: index into the data set.
        task: name of the task.
        class_index: index into the task's classes.
        method: a name in `spatialnet.explain.methods.METHODS`.
        dataset: identifier of the data set; empty = the one that the run was trained on, or its first.
        against: index of another class: why the one rather than this; None = the one alone.
        baseline: what methods with a baseline start from, a name in `spatialnet.explain.methods.BASELINES`.
    """

    run: str
    chip: int
    task: str
    class_index: int
    method: str
    dataset: str = ""
    against: int | None = None
    baseline: str = "mean"

    @property
    def key(self) -> str:
        """Names the explanation's files; a run's weights never change, so nor does what it names."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:40]


def explanation_file(settings: Settings, request: ExplanationRequest) -> Path:
    """Where the explanation's facts are kept."""
    return settings.cache / "overlays" / f"{request.key}.json"


def kept_explanation(settings: Settings, request: ExplanationRequest) -> dict[str, Any] | None:
    """The explanation, if it was computed before."""
    try:
        return dict(json.loads(explanation_file(settings, request).read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return None
