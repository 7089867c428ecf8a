"""Further splits beside those that are there, and which one is in use."""

import fcntl
import json

import numpy as np
import pandas as pd
import pytest

from spatialnet.datasets.catalogue import leak_pairs
from spatialnet.datasets.packed import SPLITS, PackedChips, digest
from spatialnet.datasets.split_plans import SplitPlan
from spatialnet.datasets.versions import add_split, alone, split_table, use_split
from spatialnet.errors import DataSetInvalid, ImportRefused, NothingToRead
from tests.data_sets import pictures_only, two_places


def with_digests(data: PackedChips) -> PackedChips:
    """As a data set that was imported: the manifest knows its files."""
    digests = {p.relative_to(data.folder).as_posix(): digest(p) for p in sorted(data.folder.rglob("*.npy"))}
    (data.folder / "dataset.json").write_text(json.dumps(data.manifest | {"digests": digests}))
    return PackedChips.open(data.folder)


@pytest.fixture
def stack(tmp_path):
    return with_digests(two_places(tmp_path / "stack"))


def test_a_split_is_added_and_not_used_until_asked(stack):
    added = add_split(stack, SplitPlan("random", "dice", seed=3))
    assert (added.split_id, added.fingerprint) == (stack.split_id, stack.fingerprint)
    assert np.array_equal(added.splits, stack.splits)
    (new,) = [split for split in added.manifest["splits"] if split["name"] == "dice"]
    assert (new["id"], new["version"], new["kind"], new["plan"]["seed"]) == ("dice-1", 1, "random", 3)
    stored = np.load(stack.folder / "splits" / "dice-1.npy")
    assert new["counts"] == {name: int((stored == i).sum()) for i, name in enumerate(SPLITS)}
    # Windows overlap by half, so a random split must share ground.
    leaks = leak_pairs(added, "dice-1")
    assert new["leaks"]["shared ground"] == (leaks["kind"] == "shared ground").sum() > 0
    assert (leaks["split_a"] != leaks["split_b"]).all()

    used = use_split(added, "dice-1")
    assert used.split_id == "dice-1"
    assert np.array_equal(used.splits, stored)
    assert used.fingerprint != stack.fingerprint
    assert used.manifest["statistics"] != stack.manifest["statistics"]
    assert [split["id"] for split in used.manifest["splits"]] == ["given-1", "dice-1"]
    back = use_split(used, "given-1")
    assert np.array_equal(back.splits, stack.splits)
    assert use_split(back, "dice-1").fingerprint == used.fingerprint


def test_a_split_of_a_name_that_is_there_is_its_next_version(stack):
    plan = SplitPlan("random", "dice")
    first = add_split(stack, plan)
    second = add_split(first, SplitPlan("random", "dice", seed=1), use=True)
    assert second.split_id == "dice-2"
    assert [split["id"] for split in second.manifest["splits"]] == ["given-1", "dice-1", "dice-2"]
    one, two = (np.load(stack.folder / "splits" / f"dice-{n}.npy") for n in (1, 2))
    assert not np.array_equal(one, two)


def test_groups_stay_whole_and_blocks_leak_nothing(stack):
    blocks = add_split(stack, SplitPlan("blocks", "far", block_m=160, guard_m=0), use=True)
    (new,) = [split for split in blocks.manifest["splits"] if split["name"] == "far"]
    assert new["leaks"] == {}
    for split in ("train", "validation", "test"):
        assert len(blocks.in_split(split))


def test_the_sources_own_split_is_remembered(tmp_path):
    data = with_digests(pictures_only(tmp_path / "pictures"))
    table = pd.read_parquet(data.folder / "chips.parquet")
    said = np.array(["train", "validation", "test"])[(np.arange(len(data)) // 2) % 3]
    table.assign(source_split=said).to_parquet(data.folder / "chips.parquet")
    official = add_split(data, SplitPlan("official", "own"), use=True)
    assert (np.asarray(SPLITS)[official.splits] == said).all()
    assert "block" not in split_table(official)


def test_what_cannot_be_split_or_used_changes_nothing(tmp_path, stack):
    pictures = with_digests(pictures_only(tmp_path / "pictures"))
    before = (pictures.folder / "dataset.json").read_bytes()
    with pytest.raises(NothingToRead, match="place on the ground"):
        add_split(pictures, SplitPlan("blocks", block_m=100))
    with pytest.raises(DataSetInvalid, match=r"has no split 'none'; it has given-1"):
        use_split(pictures, "none")
    assert (pictures.folder / "dataset.json").read_bytes() == before


def test_only_one_process_changes_a_data_set(stack):
    with stack.folder.with_name(".stack.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(ImportRefused, match="is being built already"):
            add_split(stack, SplitPlan("random"))
    with alone(stack.folder), pytest.raises(ImportRefused):
        use_split(stack, "given-1")
