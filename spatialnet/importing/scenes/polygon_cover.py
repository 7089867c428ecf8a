"""Label polygons as land cover: which polygon is which class, what contradicts itself, and class codes on a pixel grid."""

from __future__ import annotations

import colorsys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pandas as pd
import shapely
from rasterio.crs import CRS
from rasterio.features import rasterize

from spatialnet.errors import ImportRefused
from spatialnet.importing.listing import Note
from spatialnet.importing.scenes.derive import MAX_CODE, Rule, Rules
from spatialnet.importing.scenes.land_cover import Grid
from spatialnet.importing.scenes.vector import Shapes
from spatialnet.importing.target_plan import as_text, class_name
from spatialnet.tasks import Task

OVERLAP = 1e-3
"""Polygons overlap where they share more than this part of the smaller one; less is how borders were drawn."""

AGREEMENT = 0.8
"""A column of numbers stands for the class names where it agrees with them for at least this share of polygons."""

_COLOURS = ("#0072b2", "#009e73", "#e69f00", "#cc79a7", "#56b4e9", "#d55e00", "#f0e442", "#8e8e93")  # Okabe and Ito
_GOLDEN = 0.618033988749895


@dataclass(frozen=True)
class PolygonCover:
    """Label polygons that can be asked for class codes on any pixel grid.

    Attributes:
        title: the file's name, for messages.
        shapes: the polygons.
        classes: (n,) class code of each polygon.
        disputed: ground that polygons of different classes claim: nothing is known there.
    """

    title: str
    shapes: Shapes
    classes: npt.NDArray[np.int32]
    disputed: npt.NDArray[np.object_]
    _moved: dict[str, tuple[shapely.STRtree, npt.NDArray[np.int32]]] = field(default_factory=dict, compare=False)

    def codes(self, grid: Grid) -> npt.NDArray[np.int32]:
        """Class codes on a pixel grid, by the middle of each pixel: (height, width) int32, -1 outside of all polygons."""
        tree, codes = self._in(grid.crs)
        a, b, c, d = grid.corners()
        here = np.sort(tree.query(shapely.Polygon((a, b, d, c))))
        if not len(here):
            return np.full((grid.height, grid.width), -1, np.int32)
        found: npt.NDArray[np.int32] = rasterize(
            zip(tree.geometries[here], codes[here].tolist(), strict=True), out_shape=(grid.height, grid.width), fill=-1,
            transform=grid.transform, dtype="int32",
        )  # fmt: skip
        return found

    def renumbered(self, codes: Mapping[int, int]) -> PolygonCover:
        """The same with other class codes, so that several files can share one list of classes."""
        return PolygonCover(
            self.title, self.shapes, np.array([codes[int(c)] for c in self.classes], np.int32), self.disputed
        )

    def _in(self, crs: CRS) -> tuple[shapely.STRtree, npt.NDArray[np.int32]]:
        key = crs.to_wkt()
        if key not in self._moved:
            every = np.concatenate([self.shapes.geometries, self.disputed])
            whole = Shapes(
                self.title, every, pd.DataFrame(index=range(len(every))), self.shapes.crs, np.arange(len(every))
            )
            # What is disputed is drawn last.
            codes = np.concatenate([self.classes, np.full(len(self.disputed), -1)]).astype(np.int32)
            self._moved[key] = (shapely.STRtree(whole.in_crs(crs)), codes)
        return self._moved[key]


def polygon_cover(shapes: Shapes, column: str) -> tuple[PolygonCover, dict[int, str], list[Note]]:
    """Sort polygons into classes.

    Args:
        shapes: the polygons.
        column: the column that names their class; "" where there is only one.

    Returns:
        The polygons as land cover, the class name per code (from 1), and what was noticed.

    Raises:
        ImportRefused: no such column, several to choose from, no class or too many.
    """
    column = _class_column(shapes, column)
    values = [as_text(cell) for cell in shapes.table[column]]
    forms = [None if value is None else class_name(value) for value in values]
    names = sorted({form for form in forms if form})
    if not names or len(names) > MAX_CODE:
        raise ImportRefused(
            f"Column {column[:60]!r} of {shapes.name} holds {len(names)} classes; 1 to {MAX_CODE} can be used. "
            "Choose the column that names the class."
        )
    named = np.array([index for index, form in enumerate(forms) if form], dtype=np.int64)
    codes = np.array([names.index(str(forms[index])) + 1 for index in named], dtype=np.int32)
    kept = Shapes(
        shapes.name, shapes.geometries[named], shapes.table.iloc[named].reset_index(drop=True), shapes.crs,
        shapes.numbers[named], shapes.mended, shapes.left_out,
    )  # fmt: skip
    said = [f"polygon {number + 1} ({names[code - 1]})" for number, code in zip(kept.numbers, codes, strict=True)]
    disputed, overlaps = _overlaps(kept, codes, said)
    unnamed = tuple(f"polygon {shapes.numbers[index] + 1}" for index, form in enumerate(forms) if not form)
    notes = []
    if shapes.left_out:
        notes.append(
            Note("note", f"{shapes.name} holds {shapes.left_out} entries that are no polygons; they were left out.")
        )
    if unnamed:
        notes.append(Note("note", "Some polygons have no class and were left out.", unnamed))
    if shapes.mended:
        mended = tuple(f"polygon {number + 1}" for number in shapes.mended)
        notes.append(
            Note("note", "Some polygons were not valid (their border crosses itself) and were mended.", mended)
        )
    notes += [*_spellings(values, forms), *overlaps, *_disagreements(kept, column, codes, names, said)]
    cover = PolygonCover(shapes.name, kept, codes, disputed)
    return cover, dict(enumerate(names, start=1)), notes


def polygon_rules(names: Mapping[int, str], title: str, min_share: float, min_known: float) -> Rules:
    """What polygons say of a chip: the class of most of its labelled ground, and the classes that are present.

    Args:
        names: class name per code.
        title: what the polygons are.
        min_share: a class is present where it covers at least this share of a chip.
        min_known: a chip has a land use where at least this share of it is labelled.
    """
    colours = {code: _colour(index) for index, code in enumerate(names)}
    groups, classes, shades = tuple((code,) for code in names), tuple(names.values()), tuple(colours.values())
    rules = [Rule(Task("presence", "multilabel", classes, "Object presence", shades), "presence", groups, min_share)]
    if len(names) > 1:
        rules.insert(0, Rule(Task("land_use", "multiclass", classes, "Land use", shades), "majority", groups, 0.0))
    return Rules(title, dict(names), colours, tuple(rules), min_known, complete=False)


def _class_column(shapes: Shapes, column: str) -> str:
    columns = [name for name in shapes.table if shapes.table[name].notna().any()]
    listed = ", ".join(repr(name[:40]) for name in columns[:20]) or "none"
    if column and column not in columns:
        raise ImportRefused(f"{shapes.name} has no column {column[:60]!r}; it has {listed}.")
    if not column and len(columns) != 1:
        raise ImportRefused(f"{shapes.name} has {len(columns)} columns ({listed}). Say which one names the class.")
    return column or columns[0]


def _spellings(values: Sequence[str | None], forms: Sequence[str | None]) -> list[Note]:
    seen: dict[str, dict[str, None]] = {}
    for value, form in zip(values, forms, strict=True):
        if value and form:
            seen.setdefault(form, {})[value] = None
    several = tuple(" = ".join(repr(value[:40]) for value in spelt) for spelt in seen.values() if len(spelt) > 1)
    return (
        [Note("note", "Classes that differ only by case, spaces or underscores were taken for one.", several)]
        if several
        else []
    )


def _overlaps(
    shapes: Shapes, codes: npt.NDArray[np.int32], said: Sequence[str]
) -> tuple[npt.NDArray[np.object_], list[Note]]:
    """Ground that two classes claim, and a note that names the polygons."""
    first, second = shapely.STRtree(shapes.geometries).query(shapes.geometries, predicate="intersects")
    pairs = (first < second) & (codes[first] != codes[second])
    first, second = first[pairs], second[pairs]
    shared = shapely.intersection(shapes.geometries[first], shapes.geometries[second])
    smaller = np.minimum(shapely.area(shapes.geometries[first]), shapely.area(shapes.geometries[second]))
    real = shapely.area(shared) > OVERLAP * smaller
    if not real.any():
        return np.empty(0, object), []
    names = tuple(f"{said[a]} and {said[b]}" for a, b in zip(first[real], second[real], strict=True))
    text = "Polygons of different classes cover the same ground, which is taken for unknown."
    return shared[real], [Note("note", text, names)]


def _disagreements(
    shapes: Shapes, column: str, codes: npt.NDArray[np.int32], names: Sequence[str], said: Sequence[str]
) -> list[Note]:
    """Polygons whose class number, in another column, belongs to another class name."""
    notes = []
    for other in shapes.table.columns:
        numbers = [as_text(cell) for cell in shapes.table[other]]
        used = {number for number in numbers if number is not None}
        if other == column or not 1 < len(used) <= 2 * len(names) or not all(n.lstrip("-").isdigit() for n in used):
            continue
        meant = _one_to_one(pd.crosstab(pd.Series(codes, name="class"), pd.Series(numbers, name="number")))
        odd = [
            i
            for i, (code, n) in enumerate(zip(codes, numbers, strict=True))
            if n is not None and meant.get(int(code)) != n
        ]
        if odd and 1 - len(odd) / len(codes) >= AGREEMENT:
            text = (
                f"Column {other[:40]!r} gives some polygons the number of another class than {column[:40]!r}, "
                "which was used. Check them."
            )
            notes.append(Note("note", text, tuple(f"{said[i]}: {other[:40]} {numbers[i]}" for i in odd)))
    return notes


def _one_to_one(table: pd.DataFrame) -> dict[int, str]:
    """The number that each class most likely means: pairs by how often they occur, each side used once."""
    counts = table.stack().sort_values(ascending=False, kind="stable")
    meant: dict[int, str] = {}
    for (code, number), count in counts.items():
        if count and int(code) not in meant and number not in meant.values():
            meant[int(code)] = str(number)
    return meant


def _colour(index: int) -> str:
    if index < len(_COLOURS):
        return _COLOURS[index]
    red, green, blue = colorsys.hsv_to_rgb(index * _GOLDEN % 1, 0.45 + 0.5 * (index % 3) / 2, 0.6 + 0.35 * (index % 2))
    return f"#{round(red * 255):02x}{round(green * 255):02x}{round(blue * 255):02x}"
