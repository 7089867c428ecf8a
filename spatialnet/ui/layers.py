"""What the map shows: the choice of a layer, its tiles and its legend."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import streamlit as st

from spatialnet.datasets.catalogue import target_facts
from spatialnet.datasets.packed import PackedChips
from spatialnet.joint import part_of
from spatialnet.palette import NONE_PRESENT_COLOUR, class_colours
from spatialnet.runs import Run
from spatialnet.tasks import Task
from spatialnet.ui import markup
from spatialnet.ui.area_panel import AREA, prediction_version, shown_prediction
from spatialnet.ui.pickers import pick
from spatialnet.ui.split_text import split_sentence
from spatialnet.ui.why_map_panel import WHY, shown_why_map, why_map_key, why_map_note
from spatialnet.web import addresses
from spatialnet.web.colours import CONFIDENCE_RAMP, SPLIT_COLOURS

PREDICTION, CONFIDENCE, SCORE, CHANGE = "prediction", "confidence", "score", "change"
TARGET, LAND_COVER, SPLITS, NOTHING = "target", "land-cover", "splits", "none"
_TITLES = {
    PREDICTION: "Prediction", CONFIDENCE: "Confidence", SCORE: "Score of a class", CHANGE: "What changed", TARGET: "Target",
    LAND_COVER: "Land cover", SPLITS: "Splits", WHY: "Why-map", AREA: "Predicted area", NOTHING: "Picture only",
}  # fmt: skip


_OFF = "off"


@dataclass(frozen=True)
class Layer:
    """What lies over the scene.

    Attributes:
        tiles: address, or None.
        legend: HTML.
        note: one line that says what it is and where it comes from.
        classes: the classes that can be switched off, where there are any.
        why: what is known of the Why-map, where it is one.
    """

    tiles: str | None
    legend: str
    note: str
    why: dict[str, Any] | None = None
    classes: tuple[str, ...] = ()


def pick_layer(data: PackedChips, run: Run | None, task: Task, before: Run | None) -> Layer:
    """The choice of what lies over the scene.

    Args:
        data: the data set.
        run: the chosen run, if there is one.
        task: the chosen task.
        before: the run to compare with, if there is one.
    """
    chosen = pick("Layer", _there(data, run, task, before), "layer")
    return _layer(chosen, data, run, task, before)


def pick_beside(data: PackedChips, run: Run | None, task: Task, before: Run | None) -> Layer | None:
    """The choice of a layer to compare with, right of the line on the map; None for no comparison."""
    options = {_OFF: "Nothing"} | _there(data, run, task, before)
    chosen = pick(
        "Compare with", options, "beside", "Shown right of a line that you can drag, or move with the arrow keys."
    )
    return _layer(chosen, data, run, task, before, "beside-class") if chosen != _OFF else None


def _there(data: PackedChips, run: Run | None, task: Task, before: Run | None) -> dict[str, str]:
    """The layers that there are, with their titles."""
    predicted = shown_prediction(data)
    # A run's maps are rasters of places; chips that are files have none.
    mapped = run is not None and _has_map(data, run, task)
    there = {
        PREDICTION: mapped, CONFIDENCE: mapped, SCORE: mapped, CHANGE: mapped and before is not None, TARGET: task.kind != "count",
        LAND_COVER: any(place.get("land_cover") for place in data.places), SPLITS: True,
        WHY: shown_why_map(data) is not None, AREA: predicted is not None and task.name in predicted.facts["tasks"], NOTHING: True,
    }  # fmt: skip
    return {name: _TITLES[name] for name, shown in there.items() if shown}


def _has_map(data: PackedChips, run: Run, task: Task) -> bool:
    maps = part_of(run.folder, data.name) / "maps"
    return any((maps / place["name"] / f"{task.name}.tif").is_file() for place in data.places)


def _part(data: PackedChips, run: Run) -> str:
    """Which data set's maps of a run are meant; empty for a run of one, whose addresses stay as they were."""
    return data.name if len(run.datasets) > 1 else ""


def _layer(
    chosen: str, data: PackedChips, run: Run | None, task: Task, before: Run | None, class_key: str = "class"
) -> Layer:
    classes = list(zip(class_colours(task), task.classes, strict=True))
    if task.kind == "multilabel":
        classes = [*classes, (NONE_PRESENT_COLOUR, "none present")]
    if chosen == PREDICTION and run:
        what = "the most probable class present" if task.kind == "multilabel" else "the most probable class"
        return Layer(
            addresses.run_tiles(run.name, task.name, dataset=_part(data, run)),
            markup.swatches(classes),
            f"{task.label}: {what} by run {run.title}.",
            classes=task.classes,
        )
    if chosen == AREA and (predicted := shown_prediction(data)):
        there = "" if predicted.finished else "; more parts appear as they are done"
        return Layer(
            addresses.prediction_tiles(predicted.key, task.name, version=prediction_version(predicted, task.name)),
            markup.swatches(classes),
            f"{task.label} over the asked area, by run {predicted.facts['title']}{there}.",
            classes=task.classes,
        )
    if chosen == CONFIDENCE and run:
        legend = markup.ramp(CONFIDENCE_RAMP, "0 %", "100 %")
        return Layer(
            addresses.run_tiles(run.name, task.name, "confidence", dataset=_part(data, run)),
            legend,
            "Score of the answer; for presence, of its least sure yes or no.",
        )
    if chosen == SCORE and run:
        name = st.selectbox("Class", task.classes, key=f"{class_key}.{task.name}", persist_state="session")
        index = task.classes.index(name) if name in task.classes else 0
        legend = markup.ramp(CONFIDENCE_RAMP, "0 %", "100 %")
        tiles = addresses.run_tiles(run.name, task.name, f"p{index}", dataset=_part(data, run))
        return Layer(tiles, legend, f"Score of {task.classes[index]}.")
    if chosen == CHANGE and run and before:
        note = f"Where the class differs from run {before.title}, in the new class's colour; a veil where both agree."
        tiles = addresses.change_tiles(run.name, task.name, before.name, dataset=_part(data, run))
        return Layer(tiles, markup.swatches(classes), note)
    if chosen == TARGET:
        derived, sentence = target_facts(data, task)
        return Layer(
            addresses.target_tiles(data.name, task.name, version=data.fingerprint),
            markup.swatches(classes),
            f"{'Derived target' if derived else 'Target of the source'}: {sentence.rstrip('.')}.",
        )
    if chosen == LAND_COVER:
        rules = data.manifest.get("rules") or {}
        cover = [(entry["colour"], entry["name"]) for entry in rules.get("classes", [])]
        return Layer(
            addresses.land_cover_tiles(data.name, data.fingerprint),
            markup.swatches(cover),
            f"{rules.get('title', 'Land cover')}: the raster that targets are derived from.",
        )
    if chosen == SPLITS:
        counts = data.manifest["split"]["counts"]
        legend = markup.swatches(
            [(colour, f"{name} ({counts[name]:,} chips)") for name, colour in SPLIT_COLOURS.items() if counts.get(name)]
        )
        return Layer(addresses.split_tiles(data.name, data.fingerprint), legend, split_sentence(data))
    if chosen == WHY and (facts := shown_why_map(data)):
        return _why_layer(data, facts)
    return Layer(None, "", "The pictures in the chosen bands.")


def _why_layer(data: PackedChips, facts: dict[str, Any]) -> Layer:
    legend, classes, other = facts["legend"], data.task(facts["task"]).classes, facts.get("against")
    name, opposed = classes[facts["class_index"]], "against" if other is None else f"for {classes[other]}"
    low = f"{legend['low']:.2g} {opposed}" if legend["signed"] else "none"
    shown = markup.ramp(legend["colours"], low, f"{legend['high']:.2g} for {name}")
    return Layer(addresses.why_map_tiles(why_map_key()), shown, why_map_note(data, facts), facts)
