"""Importing from the data-sets page, step by step, without a browser."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import rasterio
from streamlit.testing.v1 import AppTest

from spatialnet.datasets.packed import PackedChips
from spatialnet.errors import ImportRefused
from spatialnet.importing.transfer.export import export_dataset
from spatialnet.jobs import launch
from spatialnet.jobs.services import services
from spatialnet.settings import load_settings
from spatialnet.ui.import_source import kept
from tests.sources import build_pictures, write_images, write_raster, write_stack

AppOn = Callable[[Path], AppTest]
REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Path]:
    """An empty workspace; what still runs at the end is killed."""
    settings = load_settings(tmp_path / "workspace")
    yield settings.workspace
    for child in launch._children.values():
        if child.poll() is None:
            child.kill()
        child.wait()
    launch._children.clear()


def opened(app: AppTest, **address: str) -> AppTest:
    for name, value in ({"import": "1"} | address).items():
        app.query_params[name] = value
    app.run()
    return app.switch_page(str(REPOSITORY / "pages" / "datasets.py")).run()


def button(page: AppTest, label: str):
    found = [b for b in page.button if b.label.startswith(label)]
    assert found, [b.label for b in page.button]
    return found[0]


def texts(page: AppTest) -> str:
    return "\n".join(
        str(e.value) for kind in (page.markdown, page.caption, page.error, page.info, page.warning) for e in kind
    )


def looked(page: AppTest) -> AppTest:
    """Press the button and wait for the job."""
    page = button(page, "Look at it first").click().run()
    assert not page.error, texts(page)
    return until_ended(page, "scan")


def until_ended(page: AppTest, kind: str) -> AppTest:
    end = time.monotonic() + 60
    while services().jobs.store.live():
        assert time.monotonic() < end
        time.sleep(0.2)
        services().jobs.reconcile()
    assert services().jobs.store.all(kind=kind)[0].state == "done", services().jobs.store.all(kind=kind)[0].text
    return page.run()


def test_an_empty_inbox_says_where_it_is(app_on: AppOn, workspace: Path) -> None:
    page = opened(app_on(workspace))
    assert not page.exception
    assert "The inbox is empty" in [heading.value for heading in page.subheader]
    assert str(workspace / "inbox") in [code.value for code in page.code]


def test_images_are_looked_at_edited_and_imported(app_on: AppOn, workspace: Path) -> None:
    write_images(workspace / "inbox" / "<b>x {{7*7}}")
    page = opened(app_on(workspace))
    assert not page.exception
    assert "Recognised: folders of images, one per class." in texts(page)
    page = looked(page)
    assert not page.exception
    assert "<b>" not in "".join(html.value for html in page.get("html"))
    assert [m.value for m in page.metric][:3] == ["36", "36", "1"]
    assert page.query_params["scan"].startswith("scan-")
    assert not (workspace / "datasets").exists() or list((workspace / "datasets").iterdir()) == []
    page = next(toggle for toggle in page.toggle if toggle.label.startswith("Shared names")).set_value(False).run()
    name = next(field for field in page.text_input if field.label == "Name in addresses and files")
    page = name.set_value("my pictures!").run()
    assert "is not a valid name" in texts(page)
    page = next(f for f in page.text_input if f.label == "Name in addresses and files").set_value("pictures").run()
    page = button(page, "Import 36 chips").click().run()
    page = until_ended(page, "import")
    assert not page.exception
    data = PackedChips.open(workspace / "datasets" / "pictures")
    assert data.task("land_use").classes == ("forest", "sea lake", "river")
    page = button(page, "Open the data set").click().run()
    assert page.query_params["dataset"] == "pictures"


def test_scenes_are_told_apart_and_a_leaking_split_warns_before_the_import(app_on: AppOn, workspace: Path) -> None:
    write_stack(workspace / "inbox" / "delta")
    page = opened(app_on(workspace))
    answers = {field.label: field.value for field in page.text_input}
    assert answers["Scenes"] == "sentinel1=sentinel1.tif, sentinel2_10=sentinel2.tif"
    assert answers["Land cover"] == "land_cover.tif"
    page = button(page, "Look at it first").click().run()
    page = looked_in_vain(page)
    assert "needs an answer for 'Rules'" in texts(page)
    page = button(page, "Change the answers").click().run()
    page = next(s for s in page.selectbox if s.label == "Rules").set_value("worldcover").run()
    page = next(f for f in page.text_input if f.label == "Chip size").set_value("32").run()
    page = next(f for f in page.text_input if f.label == "Stride").set_value("16").run()
    assert next(s for s in page.selectbox if s.label == "Rules").value == "worldcover"
    page = looked(page)
    split = next(select for select in page.selectbox if select.label == "How chips are divided")
    page = split.set_value("At random").run()
    assert any("This split leaks" in warning.value and "shared ground" in warning.value for warning in page.warning)
    page = (
        next(select for select in page.selectbox if select.label == "How chips are divided")
        .set_value("Blocks of ground")
        .run()
    )
    assert not page.exception


def looked_in_vain(page: AppTest) -> AppTest:
    end = time.monotonic() + 60
    while services().jobs.store.live():
        assert time.monotonic() < end
        time.sleep(0.2)
        services().jobs.reconcile()
    return page.run()


def test_bands_in_another_order_are_said_and_offered(app_on: AppOn, workspace: Path) -> None:
    folder = write_stack(workspace / "inbox" / "delta", side=64)
    with rasterio.open(folder / "sentinel1.tif") as source:
        pixels = source.read()
    write_raster(folder / "sentinel1.tif", pixels[::-1], ("VH", "VV"))
    page = opened(app_on(workspace))
    page = next(s for s in page.selectbox if s.label == "Rules").set_value("worldcover").run()
    page = next(f for f in page.text_input if f.label == "Chip size").set_value("16").run()
    page = looked_in_vain(button(page, "Look at it first").click().run())
    assert "has 2 bands, the file 2" in texts(page)
    page = looked_in_vain(button(page, "Look again with these bands").click().run())
    assert services().jobs.store.all(kind="scan")[0].spec["options"]["bands"] == "sentinel1=2+1"
    assert not page.exception


def test_an_export_is_offered_as_what_it_was(app_on: AppOn, workspace: Path, tmp_path: Path) -> None:
    export_dataset(build_pictures(tmp_path / "old-pictures", tmp_path / "source"), workspace / "inbox" / "old.zip")
    page = opened(app_on(workspace))
    assert "exported from SpatialNet" in texts(page)
    page = until_ended(button(page, "Import it").click().run(), "import")
    assert not page.exception
    assert PackedChips.open(workspace / "datasets" / "old-pictures").task("land_use").classes == (
        "forest",
        "sea or lake",
        "river",
    )


@pytest.mark.parametrize("scan", ["none", "../../etc", "scan-20260101-000000-abcdef", "<script>"])
def test_a_look_that_is_gone_is_one_sentence(app_on: AppOn, workspace: Path, scan: str) -> None:
    page = opened(app_on(workspace), scan=scan)
    assert not page.exception
    assert len(page.error) == 1
    assert button(page, "Choose a source")


def test_known_data_sets_are_offered_for_download(app_on: AppOn, workspace: Path) -> None:
    page = opened(app_on(workspace))
    page = page.get("button_group")[0].set_value("Download a known data set").run()
    assert not page.exception
    assert "UC Merced and UCM-Caption" in page.selectbox[0].options
    assert button(page, "Download and look at it")


class Upload(io.BytesIO):
    """What the upload widget gives."""

    def __init__(self, name: str, content: bytes = b"PK") -> None:
        super().__init__(content)
        self.name = name


def test_an_upload_is_kept_whole_under_a_plain_name_and_nothing_is_overwritten(app_on: AppOn, workspace: Path) -> None:
    app_on(workspace)
    inbox = workspace / "inbox"
    assert kept(Upload("../../évil name.zip", b"first")) == inbox / "évil_name.zip"
    assert kept(Upload("C:\\x\\évil name.zip", b"second")) == inbox / "évil_name-2.zip"
    assert [(inbox / name).read_bytes() for name in ("évil_name.zip", "évil_name-2.zip")] == [b"first", b"second"]
    for name in ("run.sh", ".zip", "", "x.zip.exe", "zip"):
        with pytest.raises(ImportRefused, match="of no kind that can be imported"):
            kept(Upload(name))
    assert len(list(inbox.iterdir())) == 2
