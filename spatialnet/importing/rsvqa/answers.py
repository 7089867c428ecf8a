"""The question files of the RSVQA data sets, turned into labels of whole images.

A question and its answer say something of one object on one image: whether it is there, or how many. What was not asked
is unknown. Questions about some objects only (small ones, those beside a road) say nothing of all and are left out.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from spatialnet.errors import ImportRefused
from spatialnet.importing.importer import Option, Progress, Source
from spatialnet.importing.listing import Listing, Note, Origin, Pixels
from spatialnet.importing.rsvqa.questions import Question, comparison_holds, parse_question
from spatialnet.importing.target_plan import TargetPlan
from spatialnet.raster import IMAGE_SUFFIXES
from spatialnet.sensors import SENSORS

MIN_IMAGES = Option(
    "min_images", "Images per object",
    "An object becomes a class when a question about it was asked of at least this many images.", "20",
)  # fmt: skip


@dataclass(frozen=True)
class QuestionSet:
    """One RSVQA data set.

    Attributes:
        importer: name of its importer.
        origin: title, licence, citation.
        prefix: of the question files: `LR_split`.
        splits: the word of a file's name to the split it means, in the order of the chips.
        regions: the word of a file's name to the region it lies in, where one is known.
        images: folders in which the images may lie, relative to the source, best first.
        gsd_m: ground sample distance in metres per pixel.
        sensor_title: what people read of the images.
    """

    importer: str
    origin: Origin
    prefix: str
    splits: Mapping[str, str]
    regions: Mapping[str, str]
    images: tuple[str, ...]
    gsd_m: float
    sensor_title: str

    def file_name(self, word: str, kind: str) -> str:
        """Name of one question file; `kind` is `questions`, `answers` or `images`."""
        return f"{self.prefix}_{word}_{kind}.json"

    def root(self, path: Path) -> Path | None:
        """The folder that holds the question files: `path` or one folder below it; None where there are none."""
        if not path.is_dir():
            return None
        folders = [path, *sorted(p for p in path.iterdir() if p.is_dir())]
        wanted = [self.file_name(word, "questions") for word in self.splits]
        return next((folder for folder in folders if any((folder / name).is_file() for name in wanted)), None)

    def recognise(self, path: Path) -> str | None:
        """Why a folder looks like this data set, or None."""
        root = self.root(path)
        if root is None:
            return None
        found = sum((root / self.file_name(word, "questions")).is_file() for word in self.splits)
        return f"{found} of {len(self.splits)} question files ({self.prefix}_..._questions.json)"


@dataclass
class _Answers:
    """What the answers say, gathered question by question. Keys are (object, image number); None is a contradiction."""

    presence: dict[str, dict[int, bool | None]] = field(default_factory=dict)
    counts: dict[str, dict[int, int | None]] = field(default_factory=dict)
    rural_urban: dict[int, str | None] = field(default_factory=dict)
    comparisons: list[tuple[int, Question, bool]] = field(default_factory=list)
    asked: int = 0
    unparsed: list[str] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)
    partial: int = 0
    area: int = 0

    def add(self, image: int, text: str, kind: str, answers: set[str]) -> None:
        """Take one question with every answer given to it."""
        self.asked += 1
        question = parse_question(text)
        if question is None or question.kind != kind:
            self.unparsed.append(text)
            return
        if question.kind == "area":
            self.area += 1
            return
        if not all(thing is None or thing.plain for thing in (question.thing, question.other)):
            self.partial += 1
            return
        for answer in sorted(answers):
            if not self._take(image, question, answer.strip().lower()):
                self.unread.append(f"{text} {answer[:40]}")

    def _take(self, image: int, question: Question, answer: str) -> bool:
        name = question.thing.name if question.thing else ""
        if question.kind == "rural_urban" and answer in ("rural", "urban"):
            _agree(self.rural_urban, image, answer)
        elif question.kind == "count" and answer.isascii() and answer.isdigit() and len(answer) < 8:
            _agree(self.counts.setdefault(name, {}), image, int(answer))
        elif question.kind == "presence" and answer in ("yes", "no"):
            _agree(self.presence.setdefault(name, {}), image, answer == "yes")
        elif question.kind == "comp" and answer in ("yes", "no"):
            self.comparisons.append((image, question, answer == "yes"))
        else:
            return False
        return True


def _agree(known: dict[int, Any], image: int, answer: object) -> None:
    if known.setdefault(image, answer) != answer:
        known[image] = None


def list_questions(data: QuestionSet, source: Source) -> Listing:
    """One chip per image, with what its questions say.

    Raises:
        ImportRefused: files are missing or of another form, or no object is asked for often enough.
    """
    least = _least(source.options["min_images"])
    root = data.root(source.path)
    if root is None:
        raise ImportRefused(
            f"{str(source.path)[:200]!r} holds no {data.file_name('train', 'questions')}. "
            "Point at the folder with the question files."
        )
    files = _image_files(data, root)
    chips, notes, answers = _read_splits(data, root, files, source.progress)
    labels, targets = _labels(answers, len(chips), least, notes)
    _say_what_was_left_out(answers, notes)
    sensor = replace(SENSORS["rgb"], gsd_m=data.gsd_m, title=data.sensor_title)
    paths = tuple(files[image] for image in chips.pop("image"))
    chips.insert(0, "key", [path.relative_to(root).as_posix() for path in paths])
    zeros = np.zeros(len(paths), np.int64)
    pixels = Pixels(
        sensor, "files", paths, np.arange(len(paths), dtype=np.int32)[:, None], zeros, zeros, bands=(1, 2, 3)
    )
    source.progress(1.0, "listed")
    return Listing(data.importer, data.origin, chips, labels, (pixels,), tuple(targets), notes=tuple(notes))


def _least(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 0 < int(text[:9]) < 10**8):
        raise ImportRefused(f"{MIN_IMAGES.label} is {text[:40]!r}. Give a whole number from 1.")
    return int(text)


def _image_files(data: QuestionSet, root: Path) -> dict[int, Path]:
    """Image files by number, of the first folder that holds any."""
    for name in data.images:
        folder = root / name
        found = {}
        for path in sorted(folder.iterdir()) if folder.is_dir() else []:
            if path.suffix.lower() in IMAGE_SUFFIXES and path.stem.isascii() and path.stem.isdigit():
                found[int(path.stem)] = path
        if found:
            return found
    raise ImportRefused(
        f"No images are in {' or '.join(data.images)} beside the question files. Unpack the images there, as <number>.tif."
    )


def _read_splits(
    data: QuestionSet, root: Path, files: Mapping[int, Path], progress: Progress
) -> tuple[pd.DataFrame, list[Note], _Answers]:
    notes: list[Note] = []
    numbers: dict[int, int] = {}
    rows: list[dict[str, Any]] = []
    answers = _Answers()
    for done, (word, split) in enumerate(data.splits.items()):
        progress(done / len(data.splits), f"questions of {word}")
        if not (root / data.file_name(word, "questions")).is_file():
            notes.append(Note("note", f"There is no {data.file_name(word, 'questions')}; that split is left out."))
            continue
        images = [row["id"] for row in _active(root / data.file_name(word, "images"), "images", {"id": int})]
        there = [image for image in images if image in files]
        gone = [f"{image}.tif" for image in images if image not in files]
        if not there:
            raise ImportRefused(
                f"None of the {len(images):,} images of {data.file_name(word, 'images')} is in "
                f"{' or '.join(data.images)}. Unpack the images of this split, or remove its question files."
            )
        if gone:
            notes.append(
                Note("drop", f"{len(gone):,} of {len(images):,} images of split {word} are missing.", tuple(gone))
            )
        twice = [image for image in there if image in numbers]
        if twice:
            notes.append(Note("note", f"{len(twice):,} images of split {word} are already in another split; they stay there.",
                              tuple(f"{image}.tif" for image in twice)))  # fmt: skip
        own = {}
        for image in dict.fromkeys(there):
            if image not in numbers:
                own[image] = numbers[image] = len(rows)
                rows.append({"image": image, "split": split, "group": "", "region": data.regions.get(word, "")})
        for image, text, kind, said in _questions(data, root, word):
            if image in own:
                answers.add(own[image], text, kind, said)
    chips = pd.DataFrame(rows)
    return (chips if data.regions else chips.drop(columns="region")), notes, answers


def _questions(data: QuestionSet, root: Path, word: str) -> Iterator[tuple[int, str, str, set[str]]]:
    said: dict[int, set[str]] = {}
    for row in _active(root / data.file_name(word, "answers"), "answers", {"question_id": int, "answer": str}):
        said.setdefault(row["question_id"], set()).add(row["answer"])
    wanted = {"id": int, "img_id": int, "type": str, "question": str}
    for row in _active(root / data.file_name(word, "questions"), "questions", wanted):
        yield row["img_id"], row["question"], row["type"], said.get(row["id"], set())


def _active(path: Path, key: str, wanted: Mapping[str, type]) -> list[dict[str, Any]]:
    """The rows of a question file that belong to its split; the others are stubs that say `"active": false`."""
    form = f'wanted is {{"{key}": [{{{", ".join(wanted)}, ...}}]}}, as the publisher\'s files have it'
    try:
        values = json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise ImportRefused(f"There is no {path.name} beside the other question files. Download it too.") from error
    except (OSError, ValueError, RecursionError) as error:
        raise ImportRefused(
            f"{path.name} cannot be read: it is empty, cut short or no JSON. Download it again."
        ) from error
    rows = values.get(key) if isinstance(values, dict) else None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ImportRefused(f"{path.name} has another form: {form}. Choose the file of this data set.")
    active = [row for row in rows if row.get("active") is True]
    for row in active:
        for name, kind in wanted.items():
            if type(row.get(name)) is not kind:
                raise ImportRefused(
                    f"{path.name} holds a row without {name}: {form}. Choose the file of this data set."
                )
    if not active:
        raise ImportRefused(f"{path.name} holds no active row: {form}. Download it again.")
    return active


def _labels(answers: _Answers, chips: int, least: int, notes: list[Note]) -> tuple[pd.DataFrame, list[TargetPlan]]:
    columns: dict[str, Any] = {}
    targets: list[TargetPlan] = []
    presence = _often(answers.presence, least, "presence", notes)
    counts = _often(answers.counts, least, "count", notes)
    for name in presence:
        columns[f"presence: {name}"] = _column(answers.presence[name], chips, {True: "yes", False: "no"}.get)
    for name in counts:
        columns[f"count: {name}"] = _column(answers.counts[name], chips, float).astype(float)
    if presence:
        mapping = {f"presence: {name}": name for name in presence}
        # A single column is read as a list of values: its "yes" is then the class, and its "no" the empty list.
        mapping = mapping if len(presence) > 1 else {"yes": presence[0]}
        targets.append(TargetPlan("presence", "multilabel", "Object presence", tuple(f"presence: {n}" for n in presence),
                                  tuple(presence), mapping))  # fmt: skip
    if counts:
        targets.append(TargetPlan("count", "count", "Object count", tuple(f"count: {n}" for n in counts), tuple(counts),
                                  {f"count: {name}": name for name in counts}))  # fmt: skip
    if any(answer is not None for answer in answers.rural_urban.values()):
        columns["rural_urban"] = _column(answers.rural_urban, chips, str)
        targets.append(TargetPlan("rural_urban", "binary", "Rural or urban", ("rural_urban",), ("rural", "urban"),
                                  {"rural": "rural", "urban": "urban"}))  # fmt: skip
    if not targets:
        raise ImportRefused(
            f"No object is asked for on {least:,} images or more, so there is nothing to learn. Lower {MIN_IMAGES.label!r}."
        )
    columns |= _compare(answers, chips, notes)
    return pd.DataFrame(columns), targets


def _often(known: Mapping[str, Mapping[int, Any]], least: int, what: str, notes: list[Note]) -> list[str]:
    """Objects that were asked for on enough images, the most asked first."""
    asked = {name: sum(answer is not None for answer in said.values()) for name, said in known.items()}
    chosen = sorted((name for name in asked if asked[name] >= least), key=lambda name: (-asked[name], name))
    rare = sorted(set(asked) - set(chosen))
    if rare:
        notes.append(Note("note", f"{len(rare):,} of {len(asked):,} objects of {what} questions were asked for on fewer than "
                          f"{least:,} images and become no class.", tuple(rare)))  # fmt: skip
    unclear = sum(answer is None for said in known.values() for answer in said.values())
    if unclear:
        notes.append(
            Note("note", f"{unclear:,} answers to {what} questions contradict each other and count as unknown.")
        )
    return chosen


def _column(known: Mapping[int, Any], chips: int, value: Callable[[Any], object]) -> np.ndarray[Any, Any]:
    column = np.full(chips, None, object)
    for image, answer in known.items():
        column[image] = None if answer is None else value(answer)
    return column


def _compare(answers: _Answers, chips: int, notes: list[Note]) -> dict[str, Any]:
    """How often comparisons agree with counts: a check of the labels that costs nothing."""
    checked, agreeing = np.zeros(chips, np.int64), np.zeros(chips, np.int64)
    for image, question, said in answers.comparisons:
        first, second = (
            answers.counts.get(t.name, {}).get(image) if t else None for t in (question.thing, question.other)
        )
        if first is None or second is None:
            continue
        checked[image] += 1
        agreeing[image] += comparison_holds(question.comparison, first, second) == said
    if checked.any():
        notes.append(
            Note("note", f"{agreeing.sum():,} of {checked.sum():,} comparison questions agree with the counts.")
        )
    return {"comparisons checked": checked, "comparisons agreeing": agreeing}


def _say_what_was_left_out(answers: _Answers, notes: list[Note]) -> None:
    if answers.partial:
        notes.append(Note("note", f"{answers.partial:,} of {answers.asked:,} questions ask for some objects only (small ones, "
                          "those beside a road) and were left out."))  # fmt: skip
    if answers.area:
        notes.append(Note("note", f"{answers.area:,} questions ask for an area; no task is made of them."))
    if answers.unparsed:
        notes.append(Note("note", f"{len(answers.unparsed):,} of {answers.asked:,} questions fit no template and were left out.",
                          tuple(dict.fromkeys(text[:120] for text in answers.unparsed))[:1000]))  # fmt: skip
    if answers.unread:
        notes.append(Note("note", f"{len(answers.unread):,} answers were of no expected form and were left out.",
                          tuple(dict.fromkeys(text[:160] for text in answers.unread))[:1000]))  # fmt: skip
    unclear = sum(answer is None for answer in answers.rural_urban.values())
    if unclear:
        notes.append(Note("note", f"{unclear:,} images are called both rural and urban and count as unknown."))
