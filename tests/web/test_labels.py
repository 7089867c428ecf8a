import json
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest

from spatialnet.web.addresses import LABELS

OURS = {"x-spatialnet": "1", "sec-fetch-site": "same-origin"}


def event(chip: int = 0, **fields) -> dict:
    defaults = {"uuid": str(uuid.uuid4()), "person": "Ann", "kind": "label", "dataset": "hills", "task": "land_use"}
    return defaults | {"chip": chip, "value": 1} | fields


def post(client, events: list, **more):
    return client.post(LABELS, json={"events": events}, headers=OURS, **more)


def test_stored_events_can_be_read_back(client):
    first, second = event(0), event(1, task="presence", value=[1, None], person="O'Brien {{7*7}} <b>ش🌾")
    answer = post(client, [first, second])
    assert answer.status_code == 200
    assert answer.json() == {
        "stored": 2, "known": 0, "version": 2, "conflicts": [], "ids": {first["uuid"]: 1, second["uuid"]: 2},
    }  # fmt: skip
    assert post(client, [first]).json()["known"] == 1
    read = client.get(f"{LABELS}?dataset=hills&task=presence").json()
    assert read["version"] == 2
    assert read["counts"] == {"labelled": 1, "unsure": 0, "skipped": 0, "people": {second["person"]: 1}}
    assert read["labels"]["1"] == {
        "value": [1, None], "event": 2, "uuid": second["uuid"], "person": second["person"], "kind": "label",
    }  # fmt: skip


def test_the_second_tab_is_told_of_the_first(client):
    post(client, [event(3, value=0, seen=0)])
    (conflict,) = post(client, [event(3, value=1, seen=0, person="Bob")]).json()["conflicts"]
    assert conflict["chip"] == 3
    assert (conflict["other"]["person"], conflict["other"]["value"]) == ("Ann", 0)


def test_one_bad_event_stores_nothing_and_is_named(client):
    good, bad = event(0), event(99)
    answer = post(client, [good, bad])
    assert answer.status_code == 422
    assert list(answer.json()["refused"]) == [bad["uuid"]]
    assert "there is no chip 99" in answer.json()["error"]
    assert client.get(f"{LABELS}?dataset=hills&task=land_use").json()["labels"] == {}


@pytest.mark.parametrize(
    "fields",
    [
        {"dataset": "nowhere"},
        {"dataset": "../hills"},
        {"task": "roads"},
        {"value": 7},
        {"person": ""},
        {"kind": "undo", "value": None, "undoes": str(uuid.uuid4())},
    ],
)
def test_events_that_fit_nothing_are_refused(client, fields):
    bad = event(0, **fields)
    answer = post(client, [bad])
    assert answer.status_code == 422
    assert list(answer.json()["refused"]) == [bad["uuid"]]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"[" * 100_000, 400),
        (b"[]", 422),
        (b'{"events": []}', 422),
        (b'{"events": [1]}', 422),
        (b'{"events": "' + b"x" * (1 << 20) + b'"}', 413),
    ],
)
def test_bodies_that_are_no_events(client, body, status):
    answer = client.post(LABELS, content=body, headers=OURS | {"content-type": "application/json"})
    assert answer.status_code == status
    assert answer.json()["error"]


@pytest.mark.parametrize(
    "headers",
    [
        {"x-spatialnet": None},
        {"x-spatialnet": "0"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ],
)
def test_other_sites_cannot_write(client, headers):
    sent = {name: value for name, value in (OURS | headers).items() if value is not None}
    answer = client.post(LABELS, json={"events": [event()]}, headers=sent)
    assert answer.status_code == 403
    assert client.get(f"{LABELS}?dataset=hills&task=land_use").json()["version"] == 0


def test_a_form_cannot_write(client):
    body = json.dumps({"events": [event()]})
    answer = client.post(LABELS, content=body, headers=OURS | {"content-type": "text/plain"})
    assert answer.status_code == 415


def test_many_writers_at_once_lose_nothing(client):
    batches = [[event(n % 5) for n in range(5)] for _ in range(24)]
    with ThreadPoolExecutor(8) as pool:
        assert {answer.status_code for answer in pool.map(lambda b: post(client, b), batches)} == {200}
    assert client.get(f"{LABELS}?dataset=hills&task=land_use").json()["version"] == 24 * 5


def test_reading_needs_a_data_set_and_a_task(client):
    assert client.get(LABELS).status_code == 400
    assert client.get(f"{LABELS}?dataset=hills&task=roads").status_code == 404
