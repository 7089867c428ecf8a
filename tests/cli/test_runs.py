"""The commands of the run registry."""

import re

import pytest

from spatialnet.cli import main
from spatialnet.runs import list_runs
from tests.cli.test_cli import full, refused, workspace  # noqa: F401 (fixtures)

NAME = "run-done"


def said(capsys, *arguments: str) -> str:
    assert main(["runs", *arguments]) == 0
    return capsys.readouterr().out


def test_a_run_goes_round_the_whole_registry(full, capsys, tmp_path):  # noqa: F811
    file = str(tmp_path / "r.zip")
    assert said(capsys, "export", NAME, file).strip() == file
    assert said(capsys, "import", file) == "run-done-2\n"
    assert said(capsys, "compare", NAME, "run-done-2").startswith("data set\ttask\tmetric\trun-done\trun-done-2\n")
    assert said(capsys, "publish", NAME) == "run-done is the current run of landscape\n"
    assert "done, published for landscape" in said(capsys)
    assert main(["runs", "delete", NAME]) == 1
    refused(capsys, "is published for landscape")
    assert said(capsys, "rollback", "landscape").endswith(
        "is the current run of landscape (nothing is published; the newest counts)\n"
    )
    assert len(said(capsys, "history", "landscape").splitlines()) == 2
    assert said(capsys, "note", NAME, "mind the north") == ""
    shown = said(capsys, "show", NAME)
    assert "mind the north" in shown
    assert "data set landscape" in shown
    assert "as trained" in shown
    assert "runs restore run-done" in said(capsys, "delete", NAME)
    assert said(capsys, "trash").startswith("run-done\t")
    assert [run.name for run in list_runs(full)] == ["run-done-2"]
    assert said(capsys, "restore", NAME) == "run-done is back\n"
    said(capsys, "delete", "run-done-2")
    assert said(capsys, "empty") == "1 deleted for good\n"


def test_a_listing_of_one_data_set(full, capsys):  # noqa: F811
    assert said(capsys, "--dataset", "landscape").startswith("run-done\t")
    assert said(capsys, "--dataset", "none") == ""


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["show", "none"], "Choose a listed run"), (["publish", "../x"], "not a valid name"),
        (["rollback", "none"], "nothing to take back"),
        (["restore", "none"], "is in the trash"), (["import", "none.zip"], "There is no file"),
        (["note", "none", "x"], "Choose a listed run"),
        (["compare", "none"], "Name two or more different runs"), (["delete", "none"], "Choose a listed run"),
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_one_sentence(workspace, arguments, text, capsys):  # noqa: F811
    assert main(["runs", *arguments]) == 1
    refused(capsys, text)


def test_help_names_every_action(capsys):
    with pytest.raises(SystemExit):
        main(["runs", "--help"])
    text = capsys.readouterr().out
    for name in ("show", "compare", "publish", "rollback", "delete", "restore", "note", "export", "import"):
        assert re.search(rf"^    {name}\b", text, re.MULTILINE), name
