"""What a person decided about an import: everything that the pre-scan proposed, as they left it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from spatialnet.datasets.split_plans import SplitPlan, propose_split
from spatialnet.errors import ImportRefused
from spatialnet.importing.listing import Origin
from spatialnet.importing.prescan.scan import Scan
from spatialnet.importing.target_plan import TargetPlan


@dataclass(frozen=True)
class ImportPlan:
    """How a scanned source becomes a data set.

    Attributes:
        name: identifier of the data set: lower-case letters, digits and hyphens.
        origin: title, description, licence, citation, source.
        targets: the tasks and how labels become their targets.
        split: how chips are parted for training, validation and test.
        drop_duplicates: of chips with the very same pixels, keep only the first.
        keep_scenes: copy the rasters of each place into the data set, for its map.
    """

    name: str
    origin: Origin
    targets: tuple[TargetPlan, ...]
    split: SplitPlan
    drop_duplicates: bool = False
    keep_scenes: bool = True

    def __post_init__(self) -> None:
        if not self.targets:
            raise ImportRefused("The plan holds no task, so there is nothing to learn. Keep at least one.")
        names = [plan.name for plan in self.targets]
        if len(set(names)) < len(names):
            raise ImportRefused(f"Two tasks have one name ({', '.join(names)}). Rename one.")

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready values."""
        return {
            "name": self.name, "origin": dict(self.origin.__dict__), "targets": [t.to_dict() for t in self.targets],
            "split": self.split.to_dict(), "drop_duplicates": self.drop_duplicates, "keep_scenes": self.keep_scenes,
        }  # fmt: skip

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ImportPlan:
        """The plan that `to_dict` wrote.

        Raises:
            ImportRefused: it is not such a plan.
        """
        try:
            return cls(
                str(values["name"]), Origin(**values["origin"]), tuple(map(TargetPlan.from_dict, values["targets"])),
                SplitPlan.from_dict(values["split"]), bool(values["drop_duplicates"]), bool(values["keep_scenes"]),
            )  # fmt: skip
        except (KeyError, TypeError, AttributeError) as error:
            raise ImportRefused(f"The plan of this import cannot be read ({error}). Scan the source again.") from error


def propose_plan(scan: Scan, name: str, **origin: str) -> ImportPlan:
    """What is proposed for a scanned source.

    Args:
        scan: the pre-scan.
        name: identifier of the data set.
        origin: title, licence and the like, where a person said otherwise than the importer.
    """
    listing = scan.listing
    said: dict[str, Any] = {key: value for key, value in origin.items() if value}
    return ImportPlan(
        name, replace(listing.origin, **said), listing.targets, propose_split(scan.table(), listing.stride)
    )
