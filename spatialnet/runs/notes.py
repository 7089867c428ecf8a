"""What people wrote about a run: lines in its folder that are only ever added to."""

from __future__ import annotations

import time
from dataclasses import dataclass

from spatialnet.errors import RunRefused
from spatialnet.runs.folder import Run
from spatialnet.runs.publishing import add_line, read_lines

FILE = "notes.jsonl"
MOST_CHARACTERS = 2000
MOST_NOTES = 500


@dataclass(frozen=True)
class Note:
    """One note.

    Attributes:
        text: what was written.
        person: who wrote it.
        at: seconds since 1970, UTC.
    """

    text: str
    person: str
    at: float


def notes(run: Run) -> list[Note]:
    """The notes on a run, oldest first."""
    found = []
    for values in read_lines(run.folder / FILE):
        try:
            found.append(Note(str(values["text"]), str(values["person"]), float(values["at"])))
        except (KeyError, TypeError, ValueError):
            continue
    return found


def add_note(run: Run, text: str, person: str) -> Note:
    """Add a note.

    Args:
        run: which run.
        text: what to note.
        person: who notes it.

    Raises:
        RunRefused: the text is empty or too long, or the run has too many notes.
        NotEnoughDisk: the disk is full.
    """
    text = text.strip()
    if not text or len(text) > MOST_CHARACTERS:
        raise RunRefused(f"The note has {len(text):,} characters; write 1 to {MOST_CHARACTERS:,}.")
    if len(notes(run)) >= MOST_NOTES:
        raise RunRefused(f"Run {run.title[:80]!r} has {MOST_NOTES} notes, which is the most that a run keeps.")
    note = Note(text, person.strip()[:100], time.time())
    add_line(run.folder / FILE, {"text": note.text, "person": note.person, "at": note.at})
    return note
