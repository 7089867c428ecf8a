"""What an importer is: a name, a layout in words, and one function from a source to a `Listing`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from spatialnet.errors import ImportRefused
from spatialnet.importing.listing import Listing

Family = Literal["yours", "paper", "field"]
Progress = Callable[[float, str], None]


@dataclass(frozen=True)
class Option:
    """A question that an importer asks.

    Attributes:
        name: identifier.
        label: what people read.
        help: one sentence.
        default: the answer when none is given; "" may mean that one must be given.
        choices: the possible answers, or empty for free text.
        file: the answer is the path of a file; relative paths start at the source folder.
        required: no answer is refused.
    """

    name: str
    label: str
    help: str
    default: str = ""
    choices: tuple[str, ...] = ()
    file: bool = False
    required: bool = False


@dataclass(frozen=True)
class Remote:
    """A file on a public host.

    Attributes:
        url: where it is (https).
        name: the file name it is kept under.
        md5: its checksum as the publisher states it, or "".
        sha256: its checksum, or "".
        size: bytes, 0 where not stated.
    """

    url: str
    name: str
    md5: str = ""
    sha256: str = ""
    size: int = 0


@dataclass(frozen=True)
class Source:
    """What a person points at.

    Attributes:
        path: a folder or file.
        options: answers by option name.
        progress: called with a share in 0..1 and what is being done.
    """

    path: Path
    options: Mapping[str, str] = field(default_factory=dict)
    progress: Progress = lambda _share, _text: None

    def file(self, name: str) -> Path | None:
        """The file that answers option `name`, or None where nothing was given.

        Raises:
            ImportRefused: there is no such file.
        """
        answer = self.options.get(name, "").strip()
        if not answer:
            return None
        folder = self.path if self.path.is_dir() else self.path.parent
        path = folder / answer
        if not path.is_file():
            raise ImportRefused(
                f"There is no file {answer[:120]!r}. Give a path, or one relative to the source folder."
            )
        return path


@dataclass(frozen=True)
class Importer:
    """One format.

    Attributes:
        name: identifier; also the file in `spatialnet/importing/formats/`.
        title: what people read.
        about: one sentence: what it is and what becomes of it.
        layout: the files as users download them, as an indented tree.
        family: `yours` (generic), `paper` (the paper's data sets), `field` (well-known ones).
        recognise: says in a few words why a folder or file looks like this format, or None.
        list_chips: finds the chips.
        options: what it asks.
        downloads: files that can be fetched, in order; empty where people must fetch them themselves.
    """

    name: str
    title: str
    about: str
    layout: str
    family: Family
    recognise: Callable[[Path], str | None]
    list_chips: Callable[[Source], Listing]
    options: tuple[Option, ...] = ()
    downloads: tuple[Remote, ...] = ()

    def listing(self, source: Source) -> Listing:
        """Find the chips of a source.

        Raises:
            ImportRefused: the source is missing, an answer is missing or unknown, or the layout is another one.
            SpatialNetError: another of its children says what is wrong with a file.
        """
        if not source.path.exists():
            raise ImportRefused(f"There is nothing at {str(source.path)[:200]!r}. Check the path.")
        known = {option.name: option for option in self.options}
        for name in source.options:
            if name not in known:
                raise ImportRefused(f"{self.title} has no option {name[:40]!r}; it has {', '.join(known) or 'none'}.")
        answers = {name: source.options.get(name, "").strip() or option.default for name, option in known.items()}
        for name, option in known.items():
            if option.required and not answers[name]:
                raise ImportRefused(f"{self.title} needs an answer for {option.label!r}: {option.help}")
            if option.choices and answers[name] and answers[name] not in option.choices:
                raise ImportRefused(
                    f"{option.label} cannot be {answers[name][:40]!r}. Use one of {', '.join(option.choices)}."
                )
        return self.list_chips(Source(source.path, answers, source.progress))
