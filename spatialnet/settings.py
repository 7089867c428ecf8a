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
    """

    workspace: Path
    database_url: str

    @property
    def datasets(self) -> Path:
        """One folder per data set."""
        return self.workspace / "datasets"

    @property
    def runs(self) -> Path:
        """One folder per run."""
        return self.workspace / "runs"

    @property
    def jobs(self) -> Path:
        """One folder per job: its specification and its log."""
        return self.workspace / "jobs"

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
    )
    for folder in (
        root,
        settings.datasets,
        settings.runs,
        settings.jobs,
        settings.cache,
        settings.weights,
        settings.locks,
    ):
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise PathRefused(
                f"The workspace {str(root)[:200]!r} cannot be used ({error.strerror}). "
                "Set SPATIALNET_DATA to a folder that you can write to."
            ) from error
    return settings


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
