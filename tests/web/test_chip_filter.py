import uuid

import numpy as np
import pytest
from starlette.datastructures import QueryParams

from spatialnet.datasets.packed import PackedChips
from spatialnet.label import LabelEvent, LabelStore
from spatialnet.web.chip_columns import columns_of
from spatialnet.web.chip_filter import ChipFilter, choices_of, chosen
from tests.data_sets import HOUSES, LAND_USE, PRESENCE, pictures_only, two_places


@pytest.fixture
def data(tmp_path) -> PackedChips:
    return two_places(tmp_path / "banks")


def asked(text: str) -> ChipFilter:
    return ChipFilter.from_query(QueryParams(text).getlist)


def found(data: PackedChips, text: str, engine) -> np.ndarray:
    return np.flatnonzero(chosen(columns_of(data), asked(text), LabelStore(engine)))


@pytest.mark.parametrize(
    "text",
    ["", "split=train&split=test", "class=forest&class=unknown&task=land_use", "place=west-bank&leaks=1", "key=img_1&corrected=1",
     "region=a%26b&sensor=sentinel1"],
)  # fmt: skip
def test_a_filter_survives_the_address(text):
    first = asked(text)
    again = ChipFilter.from_query(
        QueryParams(
            [(k, v) for k, vs in first.to_query().items() for v in ([vs] if isinstance(vs, str) else vs)]
        ).getlist
    )
    assert again == first
    assert first.empty == (text == "")


def test_splits_and_places(data, engine):
    table = columns_of(data).table
    assert len(found(data, "", engine)) == len(data)
    assert found(data, "split=guard", engine).tolist() == [7]
    east = found(data, "place=east-bank", engine)
    assert (table.loc[east, "place"] == "east-bank").all()
    assert len(east) * 2 == len(data)
    assert len(found(data, "split=train&place=east-bank", engine)) == 0
    assert len(found(data, "split=train&split=guard", engine)) == len(data) / 2


def test_classes_of_every_kind_of_task(data, engine):
    use, presence, houses = (data.targets(name) for name in ("land_use", "presence", "houses"))
    assert found(data, "task=land_use&class=water", engine).tolist() == np.flatnonzero(use == 1).tolist()
    assert found(data, "task=land_use&class=unknown", engine).tolist() == [5]
    assert found(data, "task=presence&class=road", engine).tolist() == np.flatnonzero(presence[:, 0] == 1).tolist()
    either = np.flatnonzero((presence == 1).any(axis=1))
    assert found(data, "task=presence&class=road&class=house", engine).tolist() == either.tolist()
    assert found(data, "task=presence&class=unknown", engine).tolist() == [3]
    assert 4 in found(data, "task=presence&class=none", engine)
    assert 3 not in found(data, "task=presence&class=none", engine)
    assert found(data, "task=rural_urban&class=urban", engine).tolist() == np.flatnonzero(presence[:, 1] > 0).tolist()
    assert found(data, "task=houses&class=houses", engine).tolist() == np.flatnonzero(houses[:, 0] > 0).tolist()


def test_sensor_text_and_leaks(data, engine):
    assert found(data, "sensor=sentinel1", engine).tolist() == found(data, "place=west-bank", engine).tolist()
    assert found(data, "key=EAST-bank/8-", engine).tolist() == [
        i for i, key in enumerate(columns_of(data).table["key"]) if key.startswith("east-bank/8-")
    ]
    assert len(found(data, "key=.*", engine)) == 0
    assert found(data, "leaks=1", engine).tolist() == [0, 1, len(data) - 2, len(data) - 1]


def test_corrections_of_people_count_and_skips_do_not(data, engine):
    store = LabelStore(engine)
    assert len(found(data, "corrected=1", engine)) == 0
    for chip, kind, value in ((4, "label", 1), (6, "unsure", None), (8, "skip", None)):
        event = LabelEvent(
            uuid=str(uuid.uuid4()), person="A", kind=kind, dataset="banks", chip=chip, task="land_use", value=value
        )
        store.append([event])
    assert found(data, "corrected=1", engine).tolist() == [4, 6]


@pytest.mark.parametrize(
    "text", ["split=no", "class=no&task=land_use", "place=%00", "sensor=radar", "region=x", "class=none&task=land_use"]
)
def test_what_the_data_set_does_not_know_chooses_nothing(data, engine, text):
    assert len(found(data, text, engine)) == 0


def test_regions(tmp_path, engine):
    flat = pictures_only(tmp_path / "flat")
    assert columns_of(flat).values("region") == ["north", "south"]
    assert found(flat, "region=north", engine).tolist() == list(range(0, 30, 3))


def test_what_can_be_chosen_of_a_task():
    assert choices_of(LAND_USE) == ("forest", "water", "unknown")
    assert choices_of(PRESENCE) == ("road", "house", "none", "unknown")
    assert choices_of(HOUSES) == ("houses", "unknown")
