import pytest

from spatialnet.errors import LabelRefused
from spatialnet.label import EventsRefused, check_events, read_events


@pytest.mark.parametrize(
    ("task", "value"),
    [
        ("land_use", 0),
        ("land_use", 2),
        ("presence", [0, 1]),
        ("presence", [None, 1]),
        ("rural_urban", 1),
        ("ships", [0, 12.5]),
        ("ships", [None, 3]),
    ],
)
def test_values_that_fit_their_task_pass(say, data, task, value):
    check_events([say(3, value, task=task)], data)


@pytest.mark.parametrize(
    ("task", "value", "words"),
    [
        ("land_use", 3, "from 0 to 2"),
        ("land_use", -1, "from 0 to 2"),
        ("land_use", True, "no class"),
        ("land_use", 1.0, "no class"),
        ("land_use", "1", "no class"),
        ("land_use", [1], "no class"),
        ("rural_urban", 2, "from 0 to 1"),
        ("presence", 1, "each of its 2 classes"),
        ("presence", [1], "each of its 2 classes"),
        ("presence", [1, 2], "0 (absent), 1 (present)"),
        ("presence", [True, 0], "0 (absent), 1 (present)"),
        ("presence", [None, None], "Say unsure"),
        ("ships", [1, float("nan")], "a number from 0"),
        ("ships", [1, float("inf")], "a number from 0"),
        ("ships", [-1, 0], "a number from 0"),
        ("roads", 0, "no task 'roads'"),
    ],
)
def test_values_that_do_not_fit_are_refused_with_a_sentence(say, data, task, value, words):
    event = say(3, value, task=task)
    with pytest.raises(EventsRefused) as refused:
        check_events([event], data)
    assert words in refused.value.refused[event.uuid]


def test_chip_outside_the_data_set_is_refused(say, data):
    last, beyond = say(9, 0), say(10, 0)
    with pytest.raises(EventsRefused, match="10 chips") as refused:
        check_events([last, beyond], data)
    assert list(refused.value.refused) == [beyond.uuid]


@pytest.mark.parametrize("person", ["Ann", "李雷", "نام‌من", "👩‍🌾 O'Brien {{7*7}} <script>", "x" * 100])
def test_names_of_people_may_be_anything_that_can_be_shown(say, person):
    assert say(0, 1, person=person).person == person


@pytest.mark.parametrize("person", ["", "  ", "x" * 101, "a\nb", "a\x00b", "abc\u202edef", None, 7])
def test_names_that_cannot_be_shown_are_refused(say, person):
    with pytest.raises(LabelRefused, match="who"):
        say(0, 1, person=person)


@pytest.mark.parametrize(
    "fields",
    [
        {"uuid": "1"},
        {"uuid": "{12345678-1234-5678-1234-567812345678}"},
        {"uuid": None},
        {"kind": "delete"},
        {"chip": -1},
        {"chip": True},
        {"chip": 2**31},
        {"chip": "1"},
        {"dataset": "../etc"},
        {"dataset": 5},
        {"task": "Land Use"},
        {"run": "a/b"},
        {"milliseconds": -1},
        {"milliseconds": 0.5},
        {"seen": "all"},
        {"kind": "skip"},
        {"undoes": "12345678-1234-5678-1234-567812345678", "kind": "label"},
        {"kind": "undo", "value": None},
    ],
)
def test_malformed_events_are_refused(say, fields):
    with pytest.raises(LabelRefused):
        say(**{"chip": 0, "value": 1} | fields)


def test_reading_json_names_the_bad():
    good = {
        "uuid": "12345678-1234-4678-9234-567812345678", "person": "Ann", "kind": "label", "dataset": "hills", "chip": 0,
        "task": "land_use", "value": 1,
    }  # fmt: skip
    bad = good | {"uuid": "12345678-1234-4678-9234-567812345679", "surprise": 1}
    assert [event.uuid for event in read_events([good])] == [good["uuid"]]
    with pytest.raises(EventsRefused, match="3 labels cannot be stored") as raised:
        read_events([good, bad, 5, {"uuid": "x"}])
    refused = raised.value.refused
    assert "surprise" in refused[bad["uuid"]]
    assert "lacks person" in refused["x"]
    assert "must be an object" in refused["event 2"]


@pytest.mark.parametrize("values", [None, {}, [], [{}] * 501, "events"])
def test_what_is_no_list_of_events_is_refused(values):
    with pytest.raises(LabelRefused, match="1 to 500"):
        read_events(values)
