"""Publishing, notes, the trash, families."""

import json

import pytest

from spatialnet.errors import PathRefused, RunNotFound, RunRefused
from spatialnet.runs import create_run, current_run, list_runs, open_run, write_json
from spatialnet.runs.lineage import family
from spatialnet.runs.notes import MOST_CHARACTERS, add_note, notes
from spatialnet.runs.publishing import FOLDER, publications, publish, published_for, published_run, roll_back
from spatialnet.runs.trash import delete_run, empty_trash, restore_run, trash
from spatialnet.tasks import Task

TASK = Task("land_use", "multiclass", ("forest", "water"))


def made(settings, title="t", *, dataset="hills", done=True, **more):
    run = create_run(settings, {"title": title, "dataset": dataset, "tasks": [TASK.to_dict()]} | more, "")
    if done:
        write_json(run.folder / "report.json", {"tasks": {}})
    return run


def current(settings, dataset="hills"):
    return current_run(settings, dataset).title


# Publishing


def test_the_newest_done_run_is_current_until_one_is_published(settings):
    assert current_run(settings, "hills") is None
    first, _second, _young = made(settings, "1"), made(settings, "2"), made(settings, "3", done=False)
    made(settings, "other", dataset="coast")
    assert current(settings) == "2"
    assert current_run(settings).title == "other"
    publish(settings, first, person="Ann")
    assert current(settings) == "1"
    assert current(settings, "coast") == "other"
    assert published_for(settings, first) == ("hills",)


def test_roll_back_goes_the_whole_way_back_and_the_history_stays(settings):
    runs = [made(settings, str(number)) for number in range(3)]
    for index in (0, 1, 0, 2, 2):
        publish(settings, runs[index], person="Ann")
    assert len(publications(settings, "hills")) == 4  # publishing the current run again is no step
    assert [roll_back(settings, "hills", person="Bo") and current(settings) for _ in range(3)] == ["0", "1", "0"]
    assert roll_back(settings, "hills") is None
    assert current(settings) == "2"
    with pytest.raises(RunRefused, match="nothing to take back"):
        roll_back(settings, "hills")
    steps = publications(settings, "hills")
    assert [step.kind for step in steps] == ["publish"] * 4 + ["rollback"] * 4
    assert (steps[0].person, steps[4].person) == ("Ann", "Bo")


def test_a_published_run_that_was_deleted_by_hand_gives_way_to_the_one_before(settings):
    from spatialnet.atomic import remove

    first, second = made(settings, "1"), made(settings, "2")
    publish(settings, first)
    publish(settings, second)
    remove(second.folder)
    assert current(settings) == "1"
    assert roll_back(settings, "hills") is None
    assert published_run(settings, "hills") is None


def test_a_half_written_line_of_the_history_costs_nothing_but_itself(settings):
    first, second = made(settings, "1"), made(settings, "2")
    publish(settings, first)
    with (settings.runs / FOLDER / "hills.jsonl").open("a") as file:
        file.write('{"kind": "publ')
    publish(settings, second)
    assert [step.run for step in publications(settings, "hills")] == [first.name, second.name]


def test_what_cannot_be_published_is_refused(settings):
    with pytest.raises(RunRefused, match="no metrics yet"):
        publish(settings, made(settings, done=False))
    with pytest.raises(RunRefused, match="trained on hills, not on 'coast'"):
        publish(settings, made(settings), "coast")
    with pytest.raises(PathRefused):
        publications(settings, "../x")


def test_a_joint_run_is_listed_and_published_for_each_of_its_data_sets(settings):
    run = made(settings, "joint", datasets=["hills", "coast"], fingerprints={"hills": "a", "coast": "b"})
    alone = made(settings, "alone", dataset="coast", fingerprint="c")
    assert [r.title for r in list_runs(settings, "coast")] == ["alone", "joint"]
    assert (run.fingerprint("coast"), alone.fingerprint("coast"), alone.fingerprint("hills")) == ("b", "c", "")
    publish(settings, run)
    assert published_for(settings, run) == ("hills", "coast")
    publish(settings, alone)
    assert published_for(settings, run) == ("hills",)


# Trash


def test_a_deleted_run_comes_back_as_it_was(settings):
    run = made(settings, "gone")
    before = {path.name: path.read_bytes() for path in run.folder.iterdir()}
    delete_run(settings, run, person="Ann")
    assert list_runs(settings) == []
    (deleted,) = trash(settings)
    assert (deleted.run.title, deleted.person) == ("gone", "Ann")
    restored = restore_run(settings, run.name)
    assert {path.name: path.read_bytes() for path in restored.folder.iterdir()} == before
    assert trash(settings) == []


def test_a_run_that_counts_or_works_is_not_deleted(settings):
    run = made(settings)
    with pytest.raises(RunRefused, match="A job that has not ended works with run"):
        delete_run(settings, run, in_use={run.name})
    publish(settings, run)
    with pytest.raises(RunRefused, match="is published for hills"):
        delete_run(settings, run)
    assert open_run(settings, run.name).title == run.title
    roll_back(settings, "hills")
    delete_run(settings, run)
    with pytest.raises(RunNotFound):
        delete_run(settings, run)


def test_the_trash_is_emptied_of_what_is_old(settings):
    old, young = made(settings, "old"), made(settings, "young")
    delete_run(settings, old)
    mark = settings.runs / ".trash" / old.name / "deleted.json"
    mark.write_text(json.dumps(json.loads(mark.read_text()) | {"at": 1e9}))
    delete_run(settings, young)  # also throws out what is older than the days that are kept
    assert [deleted.run.title for deleted in trash(settings)] == ["young"]
    assert empty_trash(settings, older_than_days=1) == 0
    assert empty_trash(settings) == 1
    with pytest.raises(RunNotFound, match="is in the trash"):
        restore_run(settings, young.name)
    with pytest.raises(PathRefused):
        restore_run(settings, "../datasets")


# Notes and families


def test_notes_are_added_and_bounded(settings):
    run = made(settings)
    add_note(run, "  good\nin towns ", "Ann")
    add_note(run, "צ <b>", "")
    assert [(note.text, note.person) for note in notes(run)] == [("good\nin towns", "Ann"), ("צ <b>", "")]
    for text in ("  ", "x" * (MOST_CHARACTERS + 1)):
        with pytest.raises(RunRefused, match="characters"):
            add_note(run, text, "Ann")


def test_a_family_is_read_from_the_oldest_to_the_youngest(settings):
    child = made(settings, "child", parent="not-here")
    grandchild = made(settings, "grandchild", parent=child.name)
    twin = made(settings, "twin", parent=child.name)
    made(settings, "stranger")
    for run, seen in ((child, 4), (grandchild, 3)):
        kin = family(run, list_runs(settings))
        assert [(k.run.title if k.run else k.name, k.depth) for k in kin][:3] == [
            ("not-here", 0), ("child", 1), ("grandchild", 2)
        ]  # fmt: skip
        assert len(kin) == seen
    assert family(twin, list_runs(settings))[-1].name == twin.name


def test_a_family_that_goes_in_a_circle_ends(settings):
    first = made(settings, "1")
    second = made(settings, "2", parent=first.name)
    write_json(first.folder / "run.json", first.info | {"parent": second.name})
    assert len(family(open_run(settings, first.name), list_runs(settings))) == 2
