"""Rows for people and for other commands."""

import sys

from spatialnet.cli.table import lined_up, print_rows

ROWS = [("a", "long cell", "x"), ("name", "b", "")]


def test_cells_are_lined_up_on_a_terminal_and_parted_by_tabs_elsewhere(capsys, monkeypatch):
    print_rows(ROWS)
    assert capsys.readouterr().out == "a\tlong cell\tx\nname\tb\n"
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    print_rows(ROWS)
    assert capsys.readouterr().out == "a     long cell  x\nname  b\n"
    print_rows([])
    assert lined_up([]) == []
