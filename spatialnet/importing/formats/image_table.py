"""Images of any arrangement and a table that says what is on them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from spatialnet.errors import ImportRefused
from spatialnet.importing.images.class_folders import folders_in
from spatialnet.importing.images.files import SPLIT_NAMES, ImageFiles, file_pixels, find_images, stem
from spatialnet.importing.images.label_columns import named_plans, presence_from, proposed_plans
from spatialnet.importing.images.sensor import SENSOR_OPTIONS, image_sensor
from spatialnet.importing.images.tables import TABLE_SUFFIXES, read_table
from spatialnet.importing.importer import Importer, Option, Source
from spatialnet.importing.listing import Listing, Note, Origin
from spatialnet.importing.target_plan import TargetPlan, as_text
from spatialnet.importing.vocabulary import renamed, suggest
from spatialnet.raster import IMAGE_SUFFIXES

_SPLIT_COLUMNS = ("split", "subset", "partition", "set")
_LOOK_AT = 2000
"""Rows that are looked at to find the file column."""
_PLACES = {"longitude": ("longitude", "lon", "lng"), "latitude": ("latitude", "lat")}
_LIMITS = {"longitude": 180.0, "latitude": 90.0}


def recognise(path: Path) -> str | None:
    """A table beside images or beside folders that hold images; only the folder's own entries are read."""
    try:
        names = sorted(entry.name for entry in path.iterdir())
    except OSError:
        return None
    tables = [name for name in names if _is_table(name) and not name.startswith(".")]
    images = any(name.lower().endswith(IMAGE_SUFFIXES) for name in names) or bool(folders_in(path))
    return f"the table {tables[0]}" if tables and images else None


def _is_table(name: str) -> bool:
    # Text files are read as tables where people name them; unasked they are more often notes and licences.
    return name.lower().endswith(TABLE_SUFFIXES) and not name.lower().endswith(".txt")


def _list_chips(source: Source) -> Listing:
    files = find_images(source)
    answers = source.options
    path = source.file("table") or _only_table(files)
    table, notes = read_table(path, (answers["file"],) if answers.get("file") else ())
    for option in ("file", "split", "region", "group"):
        if answers.get(option) and answers[option] not in table.columns:
            raise ImportRefused(
                f"{path.name[:60]!r} has no column {answers[option][:60]!r}; it has {', '.join(map(str, table.columns))[:160]}."
            )
    column, of_row, notes_on_file = _file_column(files, table, path, answers.get("file", ""))
    if column not in answers.values():
        table, _ = read_table(path, (column,))  # names such as 007 are no numbers
        column, of_row, notes_on_file = _file_column(files, table, path, column)
    notes += notes_on_file
    table, names, more = _matched(files, table, column, of_row, path)
    notes += more
    chips, used, more = _chips(table, names, answers)
    notes += more
    labels = table.drop(columns=[column])
    candidates = labels.drop(columns=[c for c in used if c in labels])
    plans: tuple[TargetPlan, ...] = ()
    presence = pd.DataFrame(index=table.index)
    if answers.get("presence_from"):
        presence, (plans, more) = presence_from(candidates, answers["presence_from"])
        notes += more
        candidates = candidates.drop(columns=[name for note in more for name in note.names])
    sign = answers.get("separator", "")
    if answers.get("labels"):
        wanted, more = named_plans(labels, answers["labels"], sign)
    else:
        wanted, more = proposed_plans(candidates, sign)
    plans, notes = (*wanted, *plans), (*notes, *more)
    if not plans:
        raise ImportRefused(
            f"No column of {path.name[:60]!r} looks like labels. Name one of {', '.join(map(str, labels.columns))[:160]}."
        )
    suggested = tuple(suggest(plan) for plan in plans)
    notes += tuple(note for before, after in zip(plans, suggested, strict=True) for note in renamed(before, after))
    sensor, bands, more = image_sensor(source, files.root, names)
    origin = Origin(
        files.root.name, f"Images with the table {path.name}.", "not stated by the source", "not stated by the source",
        "images and a table",
    )  # fmt: skip
    return Listing(
        "image_table", origin, chips, pd.concat([labels, presence], axis=1), (file_pixels(files.root, names, sensor, bands),),
        suggested, notes=(*files.notes, *notes, *more),
    )  # fmt: skip


def _only_table(files: ImageFiles) -> Path:
    tables = [name for name in files.others if _is_table(name)]
    top = [name for name in tables if "/" not in name] or tables
    if len(top) != 1:
        found = f"{len(top)} tables ({', '.join(top)[:160]})" if top else "no table (CSV or Parquet)"
        raise ImportRefused(f"There is {found} in {files.root.name[:80]!r}. Say which file is the table.")
    return files.root / top[0]


def _file_column(
    files: ImageFiles, table: pd.DataFrame, path: Path, wanted: str
) -> tuple[str, list[str | None], tuple[Note, ...]]:
    """The column of file names, and the image that each row names."""
    ways = _ways(files)
    columns = [wanted] if wanted else [str(c) for c in table.columns]
    found = _named(files, table.head(_LOOK_AT), columns, ways) or _named(files, table, columns, ways)
    if not found:
        where = f"Column {wanted[:60]!r}" if wanted else "No column"
        raise ImportRefused(
            f"{where} of {path.name[:60]!r} holds names of the images in {files.root.name[:60]!r} (such as "
            f"{files.names[0][-60:]!r}). Choose the table or column that does."
        )
    best = max(hits for hits, _, _ in found.values())
    several = [column for column, (hits, _, _) in found.items() if hits * 2 >= best]
    if len(several) > 1:
        raise ImportRefused(
            f"Columns {', '.join(several)[:160]} all hold names of images. Say which is the file column."
        )
    _, way, matched = _named(files, table, several, ways)[several[0]]
    note = Note("note", f"Images are named by column {several[0]} of {path.name} ({way}).")
    return several[0], matched, (note,)


def _named(
    files: ImageFiles, table: pd.DataFrame, columns: Sequence[str], ways: Mapping[str, Mapping[str, str]]
) -> dict[str, tuple[int, str, list[str | None]]]:
    """Columns that name images: how many, in which way, and the image of each row."""
    found: dict[str, tuple[int, str, list[str | None]]] = {}
    for column in columns:
        cells = [as_text(cell) if isinstance(cell, str | int | float) else None for cell in table[column]]
        plain = [None if cell is None else _plain(cell, files.root) for cell in cells]
        for way, images in ways.items():
            matched = [None if cell is None else images.get(cell, images.get(cell.lower())) for cell in plain]
            hits = sum(image is not None for image in matched)
            if hits > found.get(column, (0, "", []))[0]:
                found[column] = hits, way, matched
    return found


def _ways(files: ImageFiles) -> dict[str, dict[str, str]]:
    """Three ways in which a table may name images; names that several images share are left out."""
    ways: dict[str, dict[str, str]] = {}
    for way, short in {
        "paths": lambda name: name,
        "file names without folder": lambda name: name.rpartition("/")[2],
        "file names without folder and suffix": stem,
    }.items():
        images: dict[str, str] = {}
        shared: set[str] = set()
        for name in files.names:
            for text in {short(name), short(name).lower()}:
                if images.setdefault(text, name) != name:
                    shared.add(text)
        exact = {short(name): name for name in files.names} if way == "paths" else {}
        ways[way] = {text: name for text, name in images.items() if text not in shared} | exact
    return ways


def _plain(cell: str, root: Path) -> str:
    return cell.replace("\\", "/").removeprefix(f"{root.as_posix()}/").removeprefix("./").removeprefix(f"{root.name}/")


def _matched(
    files: ImageFiles, table: pd.DataFrame, column: str, of_row: list[str | None], path: Path
) -> tuple[pd.DataFrame, list[str], tuple[Note, ...]]:
    """Rows that have an image, each image once, in the order of the table."""
    notes = []
    missing = tuple(str(cell) for cell, name in zip(table[column], of_row, strict=True) if name is None)
    if missing:
        text = f"{len(missing)} rows of {path.name} name no image on disk (or several of one name) and are left out."
        notes.append(Note("drop", text, missing))
    there = [i for i, name in enumerate(of_row) if name is not None]
    names = [name for name in of_row if name is not None]
    table = table.iloc[there].reset_index(drop=True)
    alone = tuple(sorted(set(files.names) - set(names)))
    if alone:
        notes.append(Note("drop", f"{len(alone)} images are not in {path.name} and are left out.", alone))
    again = pd.Series(names).duplicated()
    if again.any():
        text_of = [tuple(map(str, row)) for row in table.drop(columns=[column]).itertuples(index=False)]
        first: dict[str, tuple[str, ...]] = {}
        for name, row in zip(names, text_of, strict=True):
            if first.setdefault(name, row) != row:
                raise ImportRefused(
                    f"Image {name[-80:]!r} is in two rows of {path.name[:60]!r} that differ. Correct the table."
                )
        twice = tuple(dict.fromkeys(name for name, flag in zip(names, again, strict=True) if flag))
        notes.append(
            Note("note", f"{len(twice)} images are in several equal rows of {path.name}; each counts once.", twice)
        )
        table = table[~again.to_numpy()].reset_index(drop=True)
        names = list(first)
    return table, names, tuple(notes)


def _chips(
    table: pd.DataFrame, names: list[str], answers: Mapping[str, str]
) -> tuple[pd.DataFrame, list[str], tuple[Note, ...]]:
    """Chips with split, group, region and place; the columns that were used for it; and what was taken unasked."""
    chips = pd.DataFrame({"key": names, "split": "", "group": ""})
    used, notes = [], []
    split = answers.get("split", "")
    if not split:
        likely = [str(c) for c in table.columns if str(c).lower() in _SPLIT_COLUMNS and not _strangers(table[c])]
        split = likely[0] if len(likely) == 1 else ""
        if split:
            notes.append(Note("note", f"Column {split} is taken for the official split."))
    if split:
        if strangers := _strangers(table[split]):
            raise ImportRefused(
                f"Column {split[:60]!r} holds {strangers[0][:40]!r}. Write train, validation or test, or nothing."
            )
        chips["split"] = [SPLIT_NAMES.get((as_text(cell) or "").lower(), "") for cell in table[split]]
        used.append(split)
    for option in ("group", "region"):
        if column := answers.get(option, ""):
            chips[option] = [as_text(cell) or "" for cell in table[column]]
            used.append(column)
    for name, spellings in _PLACES.items():
        for column in [str(c) for c in table.columns if str(c).lower() in spellings]:
            if (
                name not in chips
                and pd.api.types.is_numeric_dtype(table[column])
                and not (table[column].abs() > _LIMITS[name]).any()
            ):
                chips[name] = table[column].astype(float)
                used.append(column)
                notes.append(Note("note", f"Column {column} is taken for the {name} in degrees."))
    return chips, used, tuple(notes)


def _strangers(cells: pd.Series) -> list[str]:
    texts = {text for cell in cells.unique() if (text := as_text(cell)) is not None}
    return sorted(text for text in texts if text.lower() not in SPLIT_NAMES) or ([] if texts else ["nothing"])


IMPORTER = Importer(
    "image_table",
    "Images and a table",
    "Images (GeoTIFF, JPEG, PNG) and a CSV or Parquet table with one row per image; its columns become tasks.",
    """
folder/
    labels.csv          file,land_use,label_tree,label_water,split
    a.tif
    b.tif
or with the images in folders, named in the table as images/a.tif, a.tif or a
""".strip("\n"),
    "yours",
    recognise,
    _list_chips,
    (
        Option("table", "Table", "CSV or Parquet; the only one in the folder if not given.", file=True),
        Option("file", "File column", "Which column names the images; found by its values if not given."),
        Option(
            "labels", "Label columns",
            "Separated by commas, with the kind of task if it matters: 'land_use:multiclass, objects:multilabel, n_*:count'. "
            "Proposed from the values if not given.",
        ),
        Option("separator", "List separator", "What separates the values in a cell that lists several; found if not given."),
        Option(
            "presence_from", "Presence rule",
            "For columns of numbers: 'mentions_: yes>=2' or 'mentions_: yes>=2, no<=0'. Everything else is unknown.",
        ),
        Option("split", "Split column", "Holds train, validation (val) or test; a column called split if not given."),
        Option("region", "Region column", "For example a country; splits can keep regions apart."),
        Option("group", "Group column", "Chips of one group are never parted by a split, for example one flight."),
        *SENSOR_OPTIONS,
    ),
)  # fmt: skip
