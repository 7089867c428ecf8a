"""A data set's split in words."""

from __future__ import annotations

from typing import Any

from spatialnet.datasets.packed import PackedChips


def split_sentence(data: PackedChips) -> str:
    """How the current split was made, which version it is, and how many others are kept."""
    split: dict[str, Any] = data.manifest["split"]
    said = str(split.get("sentence") or "").strip().rstrip(".") or _how(split)
    others = len(data.manifest.get("splits", [])) - 1
    more = f" {others} other split{'s' * (others > 1)} kept." if others > 0 else ""
    return f"Split {split['name']}, version {split['version']}: {said[0].lower()}{said[1:]}.{more}"


def _how(split: dict[str, Any]) -> str:
    """For a manifest that has no sentence of its own."""
    how = {
        "official": "as the source gives it", "blocks": "by blocks of ground", "groups": "by groups of chips that belong together",
        "regions": "by regions", "random": "at random, which says nothing about new ground",
    }  # fmt: skip
    return how.get(str(split.get("kind")), str(split.get("kind")))
