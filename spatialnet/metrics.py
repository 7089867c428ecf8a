"""Metrics per task from probabilities and targets. NumPy only; unknown targets are left out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from spatialnet.errors import TargetsInvalid
from spatialnet.tasks import COUNT_EDGES, UNKNOWN_CLASS, Task

Floats = npt.NDArray[np.floating[Any]]


def metrics(task: Task, probabilities: npt.NDArray[Any], targets: npt.NDArray[Any]) -> dict[str, float]:
    """How well predictions of one task fit its targets.

    Args:
        task: the task; its kind decides which metrics there are.
        probabilities: (chips, classes) as `spatialnet.model.probabilities` gives them; `binary` (chips, 2);
            `count` the counts themselves.
        targets: as a data set stores them: `multiclass` (chips,) class indices, -100 unknown; `multilabel`
            and `count` (chips, classes), NaN unknown; `binary` (chips,), NaN unknown.

    Returns:
        `multiclass`: accuracy, macro_f1 (over the classes that occur in the targets). `multilabel`: mean_ap
        (over the classes that occur), micro_f1 at 0.5. `binary`: balanced_accuracy, f1 of class 1, accuracy.
        `count`: mae and rmse in counts, binned_accuracy (how often the count lies in the right one of
        `spatialnet.tasks.COUNT_BINS`). All others in 0..1. Empty when no target is known; a metric that the known
        targets do not define (no class occurs) is left out.

    Raises:
        TargetsInvalid: shapes do not fit the task.
    """
    probabilities, targets = np.asarray(probabilities, np.float64), np.asarray(targets)
    per_class = task.kind in ("multilabel", "count")
    wanted = (len(probabilities), len(task.classes))
    if probabilities.shape != wanted or targets.shape != (wanted if per_class else wanted[:1]):
        raise TargetsInvalid(
            f"Task {task.name} has probabilities of shape {probabilities.shape} and targets of shape {targets.shape}; "
            f"(chips, {len(task.classes)}) and {'the same' if per_class else '(chips,)'} are wanted."
        )
    if task.kind == "multiclass":
        known = targets != UNKNOWN_CLASS
        return _multiclass(probabilities[known], targets[known].astype(np.int64))
    known = ~np.isnan(targets)
    if task.kind == "multilabel":
        return _multilabel(probabilities, targets, known)
    if task.kind == "binary":
        return _binary(probabilities[known], targets[known] > 0.5)
    return _count(probabilities[known], targets[known])


def higher_is_better(metric: str) -> bool:
    """Whether more is better: False for errors (mae, rmse)."""
    return metric not in ("mae", "rmse")


def average_precision(scores: Floats, positive: npt.NDArray[np.bool_]) -> float:
    """Area under the precision-recall curve as a sum of steps, equal scores taken as one step.

    Args:
        scores: (chips,), higher means more likely.
        positive: (chips,) bool, at least one True.

    Source: Manning, Raghavan and Schütze, Introduction to Information Retrieval, 2008, section 8.4.
    """
    order = np.argsort(-scores, kind="stable")
    hits = np.cumsum(positive[order])
    last_of_equal = np.append(np.diff(scores[order]) != 0, True)
    hits, seen = hits[last_of_equal], (np.arange(len(scores)) + 1)[last_of_equal]
    gained = np.diff(hits, prepend=0)
    return float((gained * hits / seen).sum() / hits[-1])


def _f1(predicted: npt.NDArray[np.bool_], actual: npt.NDArray[np.bool_]) -> float:
    both = predicted.sum() + actual.sum()
    return float(2 * (predicted & actual).sum() / both) if both else 0.0


def _multiclass(probabilities: Floats, targets: npt.NDArray[np.int64]) -> dict[str, float]:
    if not len(targets):
        return {}
    predicted = probabilities.argmax(1)
    scores = [_f1(predicted == k, targets == k) for k in np.unique(targets)]
    return {"accuracy": float((predicted == targets).mean()), "macro_f1": float(np.mean(scores))}


def _multilabel(probabilities: Floats, targets: Floats, known: npt.NDArray[np.bool_]) -> dict[str, float]:
    if not known.any():
        return {}
    positive = known & (np.nan_to_num(targets) > 0.5)
    result = {"micro_f1": _f1(probabilities[known] >= 0.5, positive[known])}
    occurs = [k for k in range(targets.shape[1]) if positive[:, k].any()]
    if occurs:
        areas = [average_precision(probabilities[known[:, k], k], positive[known[:, k], k]) for k in occurs]
        result["mean_ap"] = float(np.mean(areas))
    return result


def _binary(probabilities: Floats, actual: npt.NDArray[np.bool_]) -> dict[str, float]:
    if not len(actual):
        return {}
    predicted = probabilities[:, 1] > probabilities[:, 0]
    recalls = [float((predicted == yes)[actual == yes].mean()) for yes in (False, True) if (actual == yes).any()]
    return {
        "accuracy": float((predicted == actual).mean()),
        "balanced_accuracy": float(np.mean(recalls)),
        "f1": _f1(predicted, actual),
    }


def _count(counts: Floats, targets: Floats) -> dict[str, float]:
    if not len(targets):
        return {}
    error = counts - targets
    said, wanted = (np.searchsorted(COUNT_EDGES, values) for values in (counts, targets))
    return {
        "mae": float(np.abs(error).mean()),
        "rmse": float(np.sqrt((error**2).mean())),
        "binned_accuracy": float((said == wanted).mean()),
    }


def caption_metrics(said: Sequence[str], references: Sequence[Sequence[str]]) -> dict[str, float]:
    """How near written captions are to people's.

    Args:
        said: one caption per chip.
        references: per chip what people wrote; chips without any are left out.

    Returns:
        bleu (0..100, of the whole corpus, letter case left aside) and rouge_l (0..1, the mean over chips of the F1 of
        the longest common subsequence with the nearest reference); empty where no chip has a reference.

    Source: Papineni et al. 2002 (ACL) by sacreBLEU (Post 2018); Lin 2004 (ROUGE).
    """
    from rouge_score.rouge_scorer import RougeScorer  # both take long to import and are seldom needed
    from sacrebleu.metrics.bleu import BLEU

    pairs = [(text, [r for r in known if r.strip()]) for text, known in zip(said, references, strict=True)]
    pairs = [(text, known) for text, known in pairs if known]
    if not pairs:
        return {}
    most = max(len(known) for _, known in pairs)
    columns = [[known[i] if i < len(known) else "" for _, known in pairs] for i in range(most)]  # "" is none
    scorer = RougeScorer(["rougeL"], use_stemmer=False)
    nearest = [max(scorer.score(r, text)["rougeL"].fmeasure for r in known) for text, known in pairs]
    bleu = BLEU(lowercase=True).corpus_score([text for text, _ in pairs], columns)
    return {"bleu": float(bleu.score), "rouge_l": float(np.mean(nearest))}
