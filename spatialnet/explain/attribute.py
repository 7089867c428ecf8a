"""Any attribution method, for any task and class, on a batch of chips."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from spatialnet.errors import ExplanationFailed
from spatialnet.explain import (
    attention_rollout,
    corrected_gradient,
    gradient_attention,
    gradient_shap,
    integrated_gradients,
    occlusion,
    query_attention,
)
from spatialnet.explain.methods import METHODS
from spatialnet.explain.question import Evidence, Question, ask, left_as_found
from spatialnet.model import SpatialNetViT

EXPLAINERS: dict[str, Callable[[Question], Evidence]] = {
    "corrected_gradient": corrected_gradient.explain,
    "occlusion": occlusion.explain,
    "integrated_gradients": integrated_gradients.explain,
    "gradient_shap": gradient_shap.explain,
    "gradient_attention": gradient_attention.explain,
    "attention_rollout": attention_rollout.explain,
    "query_attention": query_attention.explain,
}
"""The function of each method in `METHODS`."""


@dataclass(frozen=True)
class Attribution:
    """Evidence per pixel for one task and class.

    Attributes:
        method: name of the method, see `METHODS` for whether values are signed.
        task: name of the task.
        class_index: index into the task's classes.
        values: (batch, height, width) float32 on chip pixels.
        bands: share of the evidence per sensor (batch, bands) float32, 0..1, summing to 1 over all sensors; empty where
            the method cannot tell.
        info: JSON-ready facts: `score` and `probability` (or count) per chip, `unit` of the values, and more by
            method.
    """

    method: str
    task: str
    class_index: int
    values: npt.NDArray[np.float32]
    bands: dict[str, npt.NDArray[np.float32]] = field(default_factory=dict)
    info: dict[str, Any] = field(default_factory=dict)


def attribute(
    model: SpatialNetViT,
    images: Mapping[str, Tensor],
    task: str,
    class_index: int,
    method: str,
    *,
    present: Mapping[str, Tensor] | None = None,
    gsd: Tensor | None = None,
    against: int | None = None,
    start: Mapping[str, Tensor] | None = None,
) -> Attribution:
    """Explain one class of one task for a batch of chips. The model is left exactly as found.

    Args:
        model: the run's model, in any mode.
        images: what `model.prepare` gave: per sensor (batch, bands, height, width), normalised.
        task: name of the task.
        class_index: index into the task's classes; for `binary` 0 is "no" and 1 is "yes".
        method: a name in `METHODS`.
        present: (batch,) bool per sensor, False where a chip lacks it; default True.
        gsd: (batch,) metres per pixel; default the model's own.
        against: another class of a `multiclass` task: why the one rather than this. Score and probability are then those of the
            choice between the two.
        start: for methods with a baseline, the chips that they start from, as `images` (`spatialnet.explain.baselines`); default the
            training mean.

    Raises:
        ExplanationFailed: an unknown method, task, class or sensor, images that do not fit each other, or an answer of
            the model that is not a number.
    """
    if method not in EXPLAINERS:
        raise ExplanationFailed(f"There is no method {method[:64]!r}. Choose one of {', '.join(METHODS)}.")
    if against is not None and not METHODS[method].class_specific:
        raise ExplanationFailed(f"{METHODS[method].title} gives the same map for every class. Choose another method.")
    if start is not None and not METHODS[method].baseline:
        raise ExplanationFailed(
            f"{METHODS[method].title} has no baseline to choose. Leave it out, or choose another method."
        )
    question = ask(model, images, task, class_index, present=present, gsd=gsd, against=against, start=start)
    with torch.inference_mode(False), left_as_found(model):
        evidence = EXPLAINERS[method](question)
    if not torch.isfinite(evidence.logits).all() or not torch.isfinite(evidence.values).all():
        raise ExplanationFailed(
            "The model's answer for this chip is not a number, so there is nothing to explain. Train the run again."
        )
    answer = {
        "score": question.score_of(evidence.logits).tolist(),
        "probability": question.probability(evidence.logits).tolist(),
    }
    return Attribution(
        method,
        task,
        class_index,
        evidence.values.float().cpu().numpy(),
        {name: share.float().cpu().numpy() for name, share in evidence.bands.items()},
        answer | evidence.info,
    )
