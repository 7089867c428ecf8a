import pandas as pd
import pytest

from spatialnet.errors import ImportRefused
from spatialnet.importing.images.tables import read_table


@pytest.mark.parametrize("sign", [",", ";", "\t", "|"])
def test_any_separator(tmp_path, sign):
    path = tmp_path / "a.csv"
    path.write_text(f"file{sign} land use {sign}n\r\n\r\na.jpg{sign}sea{sign}1\r\nb.jpg{sign}{sign}2\r\n", newline="")
    table, notes = read_table(path)
    assert list(table.columns) == ["file", "land use", "n"]
    assert table["n"].tolist() == [1, 2]
    assert table["land use"].isna().tolist() == [False, True]
    assert bool(notes) == (sign != ",")


def test_any_encoding(tmp_path):
    for encoding, said in (("utf-8-sig", False), ("utf-16", False), ("latin-1", True)):
        (tmp_path / "a.csv").write_bytes("Straße,x\né,1\n".encode(encoding))
        table, notes = read_table(tmp_path / "a.csv")
        assert (list(table.columns), table["Straße"].tolist()) == (["Straße", "x"], ["é"])
        assert any("Latin-1" in note.text for note in notes) == said


def test_only_numbers_become_numbers(tmp_path):
    (tmp_path / "a.csv").write_text('name,code,share,country,text\n1,007,0.5,NA,"a,b"\n2,008,,None,c\n')
    table, _ = read_table(tmp_path / "a.csv", ("name",))
    assert table["name"].tolist() == ["1", "2"]
    assert table["code"].tolist() == ["007", "008"]
    assert table["share"].tolist()[0] == 0.5
    assert table["country"].tolist() == ["NA", "None"]
    assert table["text"].tolist() == ["a,b", "c"]


def test_cells_after_the_header_may_only_be_empty(tmp_path):
    (tmp_path / "a.csv").write_text("a,b\n1,2,\n")
    assert read_table(tmp_path / "a.csv")[0].shape == (1, 2)
    for row in ("1,2,3", "1"):
        (tmp_path / "a.csv").write_text(f"a,b\n1,2\n{row}\n")
        with pytest.raises(ImportRefused, match="Line 3"):
            read_table(tmp_path / "a.csv")


def test_parquet_keeps_lists(tmp_path):
    pd.DataFrame({" file ": ["a"], "labels": [["x", "y"]]}).to_parquet(tmp_path / "a.parquet")
    table, _ = read_table(tmp_path / "a.parquet")
    assert list(table["labels"][0]) == ["x", "y"]
    assert list(table.columns) == ["file", "labels"]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.csv", b"a,a\n1,2\n", "two columns"), ("a.csv", b"a,b\n", "no rows"), ("a.csv", b"", "no rows"),
        ("a.parquet", b"PAR1", "Parquet"), ("a.xlsx", b"PK", "Save it as CSV"), ("a.csv", b'a,b\n"' + b"x" * 200_000, "cannot be read"),
    ],
)  # fmt: skip
def test_tables_that_are_none_are_refused(tmp_path, name, content, said):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ImportRefused, match=said):
        read_table(tmp_path / name)
