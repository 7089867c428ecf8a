"""The form that writes a recipe and starts a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any
from zlib import crc32

import streamlit as st

from spatialnet.datasets.catalogue import list_datasets
from spatialnet.datasets.packed import PackedChips
from spatialnet.errors import RecipeInvalid, SpatialNetError
from spatialnet.importing.vocabulary import join_tasks
from spatialnet.jobs.requests import check_names
from spatialnet.jobs.services import services
from spatialnet.presets import PRESETS, SALIENCY, preset_for, preset_named
from spatialnet.recipe import FIELDS, SECTIONS, Recipe, fine_tuning_recipe, paper_recipe, sample_recipe
from spatialnet.runs import Run, list_runs
from spatialnet.tasks import Task
from spatialnet.ui.frame import show_error
from spatialnet.ui.live_jobs import when
from spatialnet.ui.recipe_fields import draw_fields
from spatialnet.ui.run_start import draw_start

_WEIGHTS = {
    "none": "None: start from random weights",
    SALIENCY: "DINOv2-S derivative fine-tuned for saliency (fetched from the package index)",
    "timm": "A timm model from the Hugging Face hub",
    "file": "A safetensors file in the workspace's weights folder",
}
_FILE = "recipe-file"
_STARTS = {
    "quick": "Small and quick, from random weights",
    "fine-tune": "Fine-tune pretrained weights",
    "paper": "As the public code of the paper's authors",
    _FILE: "A recipe file",
}
_SHOWN = ("name", "preset", "weights", "parent", "epochs", "head_epochs", "tasks")
"""Fields that have their place in the short form."""

_TABS = {
    "model": "Model",
    "stages": "Stages",
    "steps": "Steps",
    "tasks": "Tasks",
    "augmentation": "Augmentation",
    "data": "Data",
}
_MOST_BYTES = 65_536


def draw_form(data: PackedChips) -> None:
    """Draw the form for a new run on a data set."""
    runs = {run.name: run for run in list_runs(services().settings, data.name) if run.done}
    st.subheader("New run", anchor=False)
    start = st.selectbox(
        "Start from", [*_STARTS, *runs], format_func=lambda n: _STARTS.get(n) or f"Go on from {run_text(runs[n])}", key="train.start.from",
        help="A run goes on from another's weights in a third of its epochs.",
    )  # fmt: skip
    try:
        basis = _basis(start, runs)
        if basis is None:
            return
        place = st.container()
        others = _other_sets(data)
        tasks = join_tasks({each.name: each.tasks for each in (data, *others)}).tasks if others else data.tasks
        sensors = list(dict.fromkeys(sensor.name for each in (data, *others) for sensor in each.sensors))
        check_names(basis, [task.name for task in tasks], sensors)
        # Another basis or other tasks are another form: a widget that kept its value would hide what the new one says.
        key = f"train.{crc32('/'.join([basis.to_toml(), *(task.name for task in tasks)]).encode()):x}"
        with place:
            recipe = replace(basis, **_short_form(tasks, basis, key))
        recipe = replace(recipe, **_every_choice(tasks, sensors, recipe, key))
        _show_file(recipe)
        draw_start(data, others, recipe, list(runs.values()))
    except SpatialNetError as error:
        show_error(error)


def run_text(run: Run) -> str:
    """A run in a picker."""
    return f"{run.title} · {when(run.created_at)}"


def _basis(start: str, runs: Mapping[str, Run]) -> Recipe | None:
    """The recipe that the form begins with; None where its file was not given yet."""
    if start in runs:
        return replace(Recipe.load(runs[start].folder / "recipe.toml").continued(start), name="continued")
    if start != _FILE:
        return {"quick": sample_recipe, "fine-tune": fine_tuning_recipe, "paper": paper_recipe}[start]()
    given = st.file_uploader("Recipe (TOML)", type="toml", key="train.recipe.file", max_upload_size=1)
    if given is None:
        st.caption("Every run keeps its recipe as a file; the Runs page and the box below a form give it out.")
        return None
    if given.size > _MOST_BYTES:
        raise RecipeInvalid(
            f"The file has {given.size:,} bytes; a recipe has at most {_MOST_BYTES:,}. Choose a recipe.toml."
        )
    try:
        return Recipe.from_toml(given.getvalue().decode("utf-8"))
    except UnicodeDecodeError as error:
        raise RecipeInvalid("The file is not text in UTF-8. Choose a recipe.toml.") from error


def _short_form(tasks: Sequence[Task], basis: Recipe, key: str) -> dict[str, Any]:
    values: dict[str, Any] = {
        "name": st.text_input("Name", basis.name, key=f"{key}.name", max_chars=60).strip() or "run"
    }
    left, right = st.columns(2)
    values["head_epochs"] = int(
        left.number_input(
            "Epochs, heads only", 0, 1000, basis.head_epochs, key=f"{key}.head_epochs", help=FIELDS["head_epochs"]
        )
    )
    values["epochs"] = int(
        right.number_input("Epochs, fine-tuning", 0, 1000, basis.epochs, key=f"{key}.epochs", help=FIELDS["epochs"])
    )
    if not basis.parent:
        values |= _model(basis, key)
    titles = {task.name: task.label for task in tasks}
    if len(titles) > 1:
        values["tasks"] = tuple(
            st.multiselect(
                "Tasks", list(titles), list(basis.tasks), format_func=titles.__getitem__, key=f"{key}.tasks",
                placeholder="All tasks together", help="Fewer tasks make a single-task model, to compare with.",
            )
        )  # fmt: skip
    return values


def _model(basis: Recipe, key: str) -> dict[str, Any]:
    presets = list(dict.fromkeys([*PRESETS, basis.preset]))
    preset = st.selectbox(
        "Model size", presets, presets.index(basis.preset), format_func=lambda n: preset_named(n).title, key=f"{key}.preset",
        help="`nano` suits small chips and two cores.",
    )  # fmt: skip
    kind, _, name = basis.weights.partition(":")
    if kind not in _WEIGHTS:
        raise RecipeInvalid(
            f"weights is {basis.weights[:80]!r}; it must be none, {SALIENCY}, timm:<model> or file:<name>."
        )
    source = st.selectbox(
        "Pretrained weights",
        list(_WEIGHTS),
        list(_WEIGHTS).index(kind),
        format_func=_WEIGHTS.__getitem__,
        key=f"{key}.weights",
    )
    weights = str(source)
    if source in ("timm", "file"):
        weights = f"{source}:{_weights_name(str(source), name, key)}"
    decided = preset_for(weights, preset)
    if decided != preset:
        st.caption(f"These weights decide the model size: {decided}.")
    return {"preset": preset, "weights": weights}


def _weights_name(source: str, before: str, key: str) -> str:
    """Which timm model, or which file of those that are there."""
    if source == "timm":
        name = st.text_input(
            "Model", before or "vit_small_patch16_224.dino", key=f"{key}.weights.timm", max_chars=120,
            help="A vision transformer by its name in timm. Its weights are fetched from the Hugging Face hub.",
        )  # fmt: skip
        if not name.strip():
            raise RecipeInvalid("No model is named. Write its name in timm, as vit_small_patch16_224.dino.")
        return name.strip()
    folder = services().settings.weights
    names = sorted({path.name for path in folder.glob("*.safetensors")} | ({before} - {""}))
    if not names:
        raise RecipeInvalid(f"There is no safetensors file in {folder}. Put one there, or choose other weights.")
    return str(st.selectbox("File", names, names.index(before) if before else 0, key=f"{key}.weights.file"))


def _other_sets(data: PackedChips) -> list[PackedChips]:
    """Further data sets for the same model."""
    found = {each.name: each for each in list_datasets(services().settings) if each.name != data.name}
    if not found:
        return []
    chosen = st.multiselect(
        "Learn from further data sets", list(found), format_func=lambda n: found[n].title, key="train.others", placeholder="Only this one",
        help="One model for several data sets, whatever their sensors. Tasks and classes of one name are shared; each data set "
        "keeps its own normalisation and its own report.",
    )  # fmt: skip
    return [found[name] for name in chosen]


def _every_choice(tasks: Sequence[Task], sensors: Sequence[str], basis: Recipe, key: str) -> dict[str, Any]:
    values: dict[str, Any] = {}
    options = {"sensors": sensors}
    with st.expander("Every choice of the recipe", icon=":material/tune:"):
        for tab, section in zip(st.tabs(list(_TABS.values())), _TABS, strict=True):
            names = [name for name in SECTIONS[section] if name not in (*_SHOWN, "task_weights")]
            with tab:
                values |= draw_fields(basis, names, key, options)
                if section == "model":
                    values |= draw_fields(basis, ["seed"], key, options)
                if section == "tasks":
                    values["task_weights"] = _task_weights(tasks, basis, key)
    return values


def _task_weights(tasks: Sequence[Task], basis: Recipe, key: str) -> tuple[tuple[str, float], ...]:
    before = dict(basis.task_weights)
    found = {
        task.name: st.number_input(
            f"Weight of {task.label}", 0.0, 1000.0, before.get(task.name, 1.0), 0.25, key=f"{key}.weight.{task.name}",
            help=FIELDS["task_weights"],
        )
        for task in tasks
    }  # fmt: skip
    return tuple((name, weight) for name, weight in found.items() if weight != 1.0)


def _show_file(recipe: Recipe) -> None:
    with st.popover("Recipe as a file", icon=":material/description:"):
        text = recipe.to_toml(documented=True)
        st.caption("`python -m spatialnet train --recipe recipe.toml` starts the same run.")
        st.download_button(
            "Download recipe.toml",
            text,
            "recipe.toml",
            "application/toml",
            key="train.recipe.download",
            on_click="ignore",
        )
        st.code(recipe.to_toml(), language="toml")
