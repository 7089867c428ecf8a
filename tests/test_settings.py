import os

import pytest

from spatialnet.database import open_database
from spatialnet.errors import PathRefused
from spatialnet.settings import inside, load_settings


def test_the_workspace_is_made(tmp_path, monkeypatch):
    monkeypatch.delenv("SPATIALNET_DATABASE", raising=False)
    monkeypatch.setenv("SPATIALNET_DATA", str(tmp_path / "new" / "work"))
    settings = load_settings()
    assert settings.workspace == tmp_path / "new" / "work"
    for folder in (settings.datasets, settings.runs, settings.jobs, settings.cache, settings.weights, settings.locks):
        assert folder.is_dir()
    assert settings.database_url.startswith("sqlite:///")


@pytest.mark.parametrize("name", ["what? & why#1", "100 %20", "{{7*7}} <script>", "a\"b'c", "צילום 🌾"])
def test_a_workspace_of_any_name_has_its_database_inside(tmp_path, monkeypatch, name):
    monkeypatch.delenv("SPATIALNET_DATABASE", raising=False)
    settings = load_settings(tmp_path / name)
    open_database(settings.database_url).dispose()
    assert (tmp_path / name / "spatialnet.sqlite").stat().st_size > 0
    assert [entry.name for entry in tmp_path.iterdir()] == [name]


def test_a_workspace_that_cannot_be_made_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(PathRefused, match="SPATIALNET_DATA"):
        load_settings(tmp_path / "file" / "below")


@pytest.mark.parametrize("name", ["raleigh", "run-20260101-120000", "7", "a" * 64])
def test_plain_names_are_inside(tmp_path, name):
    assert inside(tmp_path, name) == tmp_path / name


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "../x", "/etc", "a/b", "a\\b", "-rf", "A", "a_b", "a" * 65, "a\n", "a\0", "{{7*7}}", "<b>", "'", "צ", "🌾", "\u202e"],
)  # fmt: skip
def test_names_that_could_lead_elsewhere_are_refused(tmp_path, name):
    with pytest.raises(PathRefused, match="not a valid name"):
        inside(tmp_path, name)


def test_sources_are_the_inbox_and_the_named_folders(tmp_path, monkeypatch):
    (tmp_path / "archive").mkdir()
    (tmp_path / "other").mkdir()
    monkeypatch.setenv("SPATIALNET_SOURCES", os.pathsep.join([str(tmp_path / "archive"), str(tmp_path / "none"), ""]))
    settings = load_settings(tmp_path / "work")
    assert settings.source_folders == (settings.inbox, tmp_path / "archive")
    assert settings.inbox.is_dir()
    assert settings.imports.is_dir()
    (settings.inbox / "a").mkdir()
    (tmp_path / "archive" / "b.zip").write_bytes(b"")
    for path in (settings.inbox / "a", tmp_path / "archive" / "b.zip", settings.inbox / "a" / ".." / "a"):
        assert settings.source(path) == path.resolve()
    (settings.inbox / "link").symlink_to(tmp_path / "other")
    for path in (
        settings.inbox,
        tmp_path / "other",
        settings.inbox / "link",
        settings.inbox / "a" / ".." / "..",
        "/etc/passwd",
    ):
        with pytest.raises(PathRefused, match="lies outside"):
            settings.source(path)
    for path in (settings.inbox / "none", "\0"):
        with pytest.raises(PathRefused, match="There is nothing"):
            settings.source(path)
