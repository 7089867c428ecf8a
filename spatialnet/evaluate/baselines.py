"""Cheap controls that a run must beat: the majority answer, and linear models on band statistics or on frozen features."""

from __future__ import annotations

import warnings
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from spatialnet.datasets.packed import PackedChips
from spatialnet.evaluate.intervals import goodness, main_value
from spatialnet.tasks import Task

Array = npt.NDArray[np.float32]


def band_statistics(data: PackedChips, indices: npt.NDArray[np.int64]) -> Array:
    """Mean and standard deviation per band over each chip's valid pixels: (chips, 2 x bands), sensors side by side.

    Where a chip lacks a band altogether, the band's training mean and standard deviation stand in.
    """
    columns = []
    for sensor in data.sensors:
        pixels = data.images(sensor.name)[indices]
        mean, std = data.statistics(sensor.name)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # a band without a valid pixel is replaced below
            means, stds = np.nanmean(pixels, axis=(2, 3)), np.nanstd(pixels, axis=(2, 3))
        columns += [np.where(np.isfinite(means), means, mean), np.where(np.isfinite(stds), stds, std)]
    return np.concatenate(columns, axis=1).astype(np.float32)


def majority_scores(task: Task, targets: npt.NDArray[np.float64], count: int) -> Array:
    """The scores of always answering what is most common in training: (count, classes).

    `multilabel` gives each class its share; `count` gives the median. Where no target is known: the first class, or 0.

    Args:
        task: any kind.
        targets: training targets with unknown ones left in.
        count: how many chips to answer.
    """
    if task.kind == "multiclass":
        known = targets[targets >= 0].astype(int)
        row = np.eye(len(task.classes))[np.bincount(known, minlength=len(task.classes)).argmax()]
    else:
        middle = np.nanmedian if task.kind == "count" else np.nanmean
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # a class without a known target is replaced by 0
            row = np.nan_to_num(middle(targets, axis=0))
        if task.kind == "binary":
            row = np.asarray([row <= 0.5, row > 0.5])
    return np.tile(row, (count, 1)).astype(np.float32)


def linear_scores(
    task: Task, train_x: Array, train_y: npt.NDArray[np.float64], test_x: Array, *, balanced: bool
) -> Array:
    """Scores of a linear model on features: (test chips, classes).

    Logistic regression per task (per class for `multilabel`); ridge regression on log(1 + count) for `count`.

    Args:
        task: any kind.
        train_x: (chips, features).
        train_y: training targets with unknown ones left in.
        test_x: (test chips, features).
        balanced: weigh classes by the inverse of their frequency.
    """
    if task.kind == "multiclass":
        known = train_y >= 0
        found = _fit_logistic(train_x[known], train_y[known].astype(int), test_x, balanced=balanced)
        scores = np.zeros((len(test_x), len(task.classes)), np.float32)
        for index, values in found.items():
            scores[:, index] = values
        return scores
    if task.kind == "count":
        columns = []
        for target in train_y.T:
            known = np.isfinite(target)
            if not known.any():
                columns.append(np.zeros(len(test_x)))
                continue
            model = make_pipeline(StandardScaler(), Ridge()).fit(train_x[known], np.log1p(target[known]))
            columns.append(np.expm1(model.predict(test_x)).clip(0))
        return np.stack(columns, axis=1).astype(np.float32)
    answers = []
    for target in train_y[:, None].T if task.kind == "binary" else train_y.T:
        known = np.isfinite(target)
        found = _fit_logistic(train_x[known], target[known].astype(int), test_x, balanced=balanced)
        answers.append(found.get(1, np.zeros(len(test_x), np.float32)))
    yes = np.stack(answers, axis=1)
    return np.concatenate([1 - yes, yes], axis=1) if task.kind == "binary" else yes


def better_linear(
    task: Task,
    features: Mapping[str, Array],
    train_y: npt.NDArray[np.float64],
    validation_y: npt.NDArray[np.float64],
) -> Array:
    """Of the plain and the class-balanced linear model, the test scores of the one that is better on the validation split.

    Args:
        task: any kind.
        features: (chips, features) for each of `train`, `validation` and `test`.
        train_y: training targets with unknown ones left in.
        validation_y: validation targets with unknown ones left in.
    """
    both = np.concatenate([features["validation"], features["test"]])
    found = []
    for balanced in (False, True):
        if balanced and task.kind == "count":
            continue  # regression has no classes to balance
        scores = linear_scores(task, features["train"], train_y, both, balanced=balanced)
        value = goodness(task) * main_value(task, scores[: len(validation_y)], validation_y)
        found.append((value if np.isfinite(value) else -np.inf, scores[len(validation_y) :]))
    return max(found, key=lambda pair: pair[0])[1]


def _fit_logistic(train_x: Array, train_y: npt.NDArray[np.int64], test_x: Array, *, balanced: bool) -> dict[int, Array]:
    classes = np.unique(train_y)
    if not len(classes):
        return {}
    if len(classes) == 1:
        return {int(classes[0]): np.ones(len(test_x), np.float32)}
    model = make_pipeline(
        StandardScaler(), LogisticRegression(max_iter=2000, class_weight="balanced" if balanced else None)
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a baseline that stops a little early is still one
        model.fit(train_x, train_y)
    scores = model.predict_proba(test_x).astype(np.float32)
    return {int(label): scores[:, column] for column, label in enumerate(classes)}
