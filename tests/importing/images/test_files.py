import pytest

from spatialnet.errors import ImportRefused
from spatialnet.importing.images.files import find_images, read_splits, read_text, split_column, stem
from spatialnet.importing.importer import Source
from tests.importing.image_trees import picture


def test_images_are_found_at_any_depth_and_the_rest_is_counted(tmp_path):
    picture(tmp_path / "a/x.jpg")
    picture(tmp_path / "a/b/c/y.PNG")
    (tmp_path / "a/.hidden.jpg").write_bytes(b"")
    (tmp_path / "__MACOSX").mkdir()
    (tmp_path / "__MACOSX/z.jpg").write_bytes(b"")
    (tmp_path / "readme.txt").write_text("x")
    found = find_images(Source(tmp_path))
    assert found.names == ("a/b/c/y.PNG", "a/x.jpg")
    assert found.others == ("readme.txt",)
    assert {note.names for note in found.notes} == {("__MACOSX", "a/.hidden.jpg"), ("readme.txt",)}


def test_links_out_of_the_source_are_not_followed(tmp_path):
    picture(tmp_path / "elsewhere/secret.jpg")
    picture(tmp_path / "source/a.jpg")
    (tmp_path / "source/out.jpg").symlink_to(tmp_path / "elsewhere/secret.jpg")
    (tmp_path / "source/folder").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "source/circle").symlink_to(tmp_path / "source")
    (tmp_path / "source/nowhere.jpg").symlink_to(tmp_path / "gone.jpg")
    (tmp_path / "source/inside.jpg").symlink_to(tmp_path / "source/a.jpg")
    found = find_images(Source(tmp_path / "source"))
    assert found.names == ("a.jpg", "inside.jpg")
    (note,) = found.notes
    assert sorted(note.names) == ["circle", "folder", "nowhere.jpg", "out.jpg"]


def test_a_file_or_a_folder_without_images_is_refused(tmp_path):
    (tmp_path / "a.zip").write_bytes(b"PK")
    with pytest.raises(ImportRefused, match="Unpack"):
        find_images(Source(tmp_path / "a.zip"))
    with pytest.raises(ImportRefused, match="No image"):
        find_images(Source(tmp_path))


LISTS = {"train": "s-train.txt", "validation": "s-val.txt", "test": "s-test.txt"}


def test_lists_fit_whatever_folder_and_suffix_they_name(tmp_path):
    for name in ("A/a1.tif", "A/a2.tif", "B/b1.tif", "B/b2.tif"):
        picture(tmp_path / "source" / name)
    (tmp_path / "s-train.txt").write_text("a1.jpg\n\nB/b1.jpg,B\n")  # beside the source
    (tmp_path / "source/s-test.txt").write_text("A2.JPG\ngone.jpg\n")
    found = find_images(Source(tmp_path / "source"))
    splits, notes = read_splits(found, LISTS)
    assert "s-val.txt is missing" in " ".join(note.text for note in notes)
    column, notes = split_column(found.names, splits)
    assert column == ["train", "test", "train", ""]
    assert [note.names for note in notes] == [("gone",), ("B/b2.tif",)]


def test_an_image_in_two_lists_is_refused(tmp_path):
    picture(tmp_path / "a.jpg")
    (tmp_path / "s-train.txt").write_text("a.jpg")
    (tmp_path / "s-test.txt").write_text("a.jpg")
    with pytest.raises(ImportRefused, match="lists of train and of test"):
        read_splits(find_images(Source(tmp_path)), LISTS)


def test_texts_and_stems(tmp_path):
    (tmp_path / "a").write_bytes("\ufeffé".encode())
    assert read_text(tmp_path / "a") == ("é", False)
    (tmp_path / "a").write_bytes("é".encode("latin-1"))
    assert read_text(tmp_path / "a") == ("é", True)
    (tmp_path / "a").write_bytes("é".encode("utf-16"))
    assert read_text(tmp_path / "a") == ("é", False)
    assert [stem(n) for n in ("A\\b\\C.TIF", "square_22", "v1.2_a.jpg", "v1.2")] == ["c", "square_22", "v1.2_a", "v1.2"]
