"""The choices of splits that a table of chips allows."""

import numpy as np
import pandas as pd
import pytest

from spatialnet.datasets.split_options import split_of_kind, split_options
from spatialnet.datasets.split_plans import SplitPlan, make_split


def table(count: int = 400, **columns: object) -> pd.DataFrame:
    generator = np.random.default_rng(1)
    west, south = generator.uniform(7, 7.5, count), generator.uniform(50, 50.4, count)
    ground = {"west": west, "south": south, "east": west + 0.002, "north": south + 0.001}
    values = {
        "split": "",
        "group": "",
        "place": "",
        "region": "",
        "longitude": west + 0.001,
        "latitude": south + 0.0005,
    }
    return pd.DataFrame(ground | values | columns)


def kinds(chips: pd.DataFrame) -> list[tuple[str, str]]:
    return [(plan.kind, plan.column) for plan in split_options(chips, SplitPlan("random"))]


def test_only_what_the_chips_allow_is_offered():
    bare = table().assign(longitude=np.nan, latitude=np.nan, west=np.nan, east=np.nan, south=np.nan, north=np.nan)
    assert kinds(bare) == [("random", "")]
    three = [f"g{i % 3}" for i in range(400)]
    assert kinds(bare.assign(group=three, place=three, region=three)) == [
        ("random", ""), ("groups", "group"), ("groups", "place"), ("regions", "region"),
    ]  # fmt: skip
    assert kinds(bare.assign(group=["a", "b"] * 200)) == [("random", "")]
    assert ("official", "") in kinds(bare.assign(split=["train", "test"] * 200))
    assert ("official", "") not in kinds(bare.assign(split="train"))
    assert kinds(table()) == [("random", ""), ("blocks", ""), ("regions", "longitude")]


@pytest.mark.parametrize("kind", ["blocks", "regions", "random"])
def test_every_offer_can_be_made(kind):
    chips = table()
    plan = split_of_kind(chips, SplitPlan("random"), kind)
    splits, _ = make_split(plan, chips, np.zeros((len(chips), 1), np.float32))
    assert {0, 1, 2} <= set(splits.tolist())


def test_the_proposed_plan_keeps_its_numbers():
    proposed = SplitPlan("blocks", block_m=700, guard_m=30)
    assert split_options(table(), proposed)[0] is proposed
    assert split_of_kind(table(), proposed, "blocks") is proposed
    assert split_of_kind(table(), proposed, "regions").guard_m == 30
