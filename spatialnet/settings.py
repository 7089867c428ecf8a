"""Where the workspace is. Read once, passed in."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from spatialnet.errors import PathRefused

REPOSITORY = Path(__file__).resolve().parents[1]

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")


@dataclass(frozen=True)
class Settings:
    """Folders and database of one installation.

    Attributes:
        workspace: holds everything that the app writes; never a system folder.
        database_url: SQLAlchemy address; SQLite in the workspace unless `SPATIALNET_DATABASE` says otherwise.
        sources: folders besides the inbox that pages may import from; `SPATIALNET_SOURCES` names them.
        ray: address of a Ray cluster that jobs run on, or "" for this machine; `SPATIALNET_RAY` names it.
    """

    workspace: Path
    database_url: str
    sources: tuple[Path, ...] = ()
    ray: str = ""

    @property
    def datasets(self) -> Path:
        """One folder per data set."""
        return self.workspace / "datasets"

    @property
    def runs(self) -> Path:
        """One folder per run."""
        return self.workspace / "runs"

    @property
    def ablations(self) -> Path:
        """One folder per ablation, with its own runs inside."""
        return self.workspace / "ablations"

    @property
    def jobs(self) -> Path:
        """One folder per job: its specification and its log."""
        return self.workspace / "jobs"

    @property
    def predictions(self) -> Path:
        """Predictions over places and areas that were asked for on the map."""
        return self.workspace / "predictions"

    @property
    def cache(self) -> Path:
        """Everything here can be deleted and is rebuilt on demand."""
        return self.workspace / "cache"

    @property
    def weights(self) -> Path:
        """Pretrained weights that were fetched or converted."""
        return self.workspace / "weights"

    @property
    def locks(self) -> Path:
        """One lock file per device; held by whoever computes on it."""
        return self.workspace / "locks"

    @property
    def inbox(self) -> Path:
        """What people put here, upload or download can be imported from the data-sets page."""
        return self.workspace / "inbox"

    @property
    def imports(self) -> Path:
        """One folder per pre-scan, and what was unpacked for it; removed after a week."""
        return self.workspace / "imports"

    @property
    def source_folders(self) -> tuple[Path, ...]:
        """Every folder that pages may import from, the inbox first."""
        return (self.inbox, *self.sources)

    def source(self, path: str | Path) -> Path:
        """A file or folder that pages may import from; symbolic links are followed before it is judged.

        Args:
            path: an absolute path.

        Raises:
            PathRefused: there is nothing, or it lies outside the source folders.
        """
        try:
            found = Path(path).resolve(strict=True)
        except (OSError, ValueError, RuntimeError) as error:
            raise PathRefused(f"There is nothing at {str(path)[-120:]!r} any more. Choose another entry.") from error
        if not any(found != folder and found.is_relative_to(folder.resolve()) for folder in self.source_folders):
            raise PathRefused(
                f"{str(path)[-120:]!r} lies outside the inbox and the folders in SPATIALNET_SOURCES. Put it into the inbox first."
            )
        return found


def load_settings(workspace: Path | None = None) -> Settings:
    """Settings from the environment, with the workspace folder created.

    Args:
        workspace: the folder to use; default `SPATIALNET_DATA`, else `data/` in the repository.

    Raises:
        PathRefused: the workspace cannot be created.
    """
    root = (workspace or Path(os.environ.get("SPATIALNET_DATA") or REPOSITORY / "data")).resolve()
    settings = Settings(
        workspace=root,
        database_url=os.environ.get("SPATIALNET_DATABASE") or f"sqlite:///{quote(str(root / 'spatialnet.sqlite'))}",
        sources=_sources(os.environ.get("SPATIALNET_SOURCES", "")),
        ray=os.environ.get("SPATIALNET_RAY", "").strip(),
    )
    for folder in (
        root,
        settings.datasets,
        settings.runs,
        settings.ablations,
        settings.jobs,
        settings.predictions,
        settings.cache,
        settings.weights,
        settings.locks,
        settings.inbox,
        settings.imports,
    ):
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise PathRefused(
                f"The workspace {str(root)[:200]!r} cannot be used ({error.strerror}). "
                "Set SPATIALNET_DATA to a folder that you can write to."
            ) from error
    return settings


def _sources(text: str) -> tuple[Path, ...]:
    """Folders of `SPATIALNET_SOURCES` that are there, as one text with the system's separator between them."""
    return tuple(Path(part).resolve() for part in text.split(os.pathsep) if part.strip() and Path(part).is_dir())


def inside(root: Path, name: str) -> Path:
    """The path of the entry called `name` in `root`; names that could lead elsewhere are refused.

    Args:
        root: a folder of the workspace.
        name: an identifier: lower-case letters, digits and hyphens, at most 64.

    Raises:
        PathRefused: `name` holds anything else.
    """
    if not _NAME.fullmatch(name):
        raise PathRefused(f"{name[:80]!r} is not a valid name. Use up to 64 lower-case letters, digits and hyphens.")
    return root / name
