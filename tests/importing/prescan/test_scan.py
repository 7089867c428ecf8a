import json
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
import rasterio
from affine import Affine
from PIL import Image

from spatialnet.errors import ImportRefused
from spatialnet.importing.listing import Listing, Origin, Pixels
from spatialnet.importing.prescan.scan import Scan, scan
from spatialnet.importing.target_plan import TargetPlan, propose
from spatialnet.sensors import Sensor

RGB = Sensor("rgb", "optical", ("red", "green", "blue"), (660, 560, 480), 10, "Colour pictures")
ORIGIN = Origin("Test", "", "", "", "")
UTM = Affine(10, 0, 500_000, 0, -10, 4_000_000)


def picture(seed: int, size: int = 32, bands: int = 3, dtype="uint8", high: int = 255) -> np.ndarray:
    """A picture with large forms, as no two places have the same."""
    coarse = np.random.default_rng(seed).uniform(0, high, (bands, 8, 8))
    fine = np.stack([np.asarray(Image.fromarray(b.astype(np.float32)).resize((size, size))) for b in coarse])
    return fine.astype(dtype)


@pytest.fixture
def tree(tmp_path):
    """Writes files: `tree.tif("a.tif", pixels, nodata=...)`, `tree.image("a.jpg", pixels)`, `tree.text("b.tif", b"...")`."""

    class Tree:
        folder = tmp_path

        def tif(self, name: str, pixels: np.ndarray, *, crs="EPSG:32617", transform=UTM, **profile) -> None:
            shape = {"count": len(pixels), "height": pixels.shape[1], "width": pixels.shape[2], "dtype": pixels.dtype}
            with rasterio.open(
                tmp_path / name, "w", driver="GTiff", crs=crs, transform=transform, **shape, **profile
            ) as out:
                out.write(pixels)

        def image(self, name: str, pixels: np.ndarray, mode="RGB", **options) -> None:
            Image.fromarray(pixels.transpose(1, 2, 0)).convert(mode).save(tmp_path / name, **options)

        def text(self, name: str, content: bytes) -> None:
            (tmp_path / name).write_bytes(content)

        def listing(self, sensor=RGB, labels=None, targets=(), **chips) -> Listing:
            files = tuple(sorted(p for p in tmp_path.iterdir() if p.is_file()))
            count = len(files)
            table = pd.DataFrame({"key": [f.name for f in files], "split": "", "group": ""} | chips)
            zero = np.zeros(count, np.int64)
            pixels = Pixels(sensor, "files", files, np.arange(count, dtype=np.int32)[:, None], zero, zero)
            return Listing(
                "test", ORIGIN, table, pd.DataFrame(labels or {}, index=range(count)), (pixels,), tuple(targets)
            )

    return Tree()


def texts(found: Scan, severity: str) -> list[str]:
    return [note.text for note in found.notes if note.severity == severity]


def only(found: Scan, word: str):
    """The one note that holds a word."""
    notes = [note for note in found.notes if word in note.text]
    assert len(notes) == 1, [note.text for note in found.notes]
    return notes[0]


# Chips that cannot be used


def test_every_kind_of_unreadable_file_is_named_with_its_reason(tree):
    for i in range(3):
        tree.image(f"good{i}.png", picture(i))
    tree.text("empty.tif", b"")
    tree.text("pointer.tif", b'<VRTDataset rasterXSize="2" rasterYSize="2"></VRTDataset>')
    tree.text("lfs.jpg", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n")
    tree.image("cut.jpg", picture(9, 256))
    tree.text("cut.jpg", (tree.folder / "cut.jpg").read_bytes()[:3000])
    tree.tif("cut.tif", picture(8, 128))
    tree.text("cut.tif", (tree.folder / "cut.tif").read_bytes()[:20_000])
    with rasterio.open(
        tree.folder / "huge.tif", "w", driver="GTiff", count=3, height=10_000, width=10_000, dtype="uint8", tiled=True,
        SPARSE_OK=True, crs="EPSG:32617", transform=UTM,
    ):  # fmt: skip
        pass
    found = scan(tree.listing())
    assert not found.refused
    assert list(found.listing.chips["key"]) == ["good0.png", "good1.png", "good2.png"]
    reasons = dict(found.facts["unreadable"])
    assert reasons == {
        "cut.jpg": "cut short, damaged or of another kind", "cut.tif": "cut short, damaged or of another kind",
        "empty.tif": "0 bytes", "huge.tif": "too large: 10000 x 10000 pixels", "lfs.jpg": "a Git LFS pointer, not the file itself",
        "pointer.tif": "a VRT text, which only points at other files",
    }  # fmt: skip
    note = only(found, "cannot be read")
    assert note.severity == "drop"
    assert note.text.startswith("6 chips cannot be read and are left out: 2 cut short")
    assert {name.split(" (")[0] for name in note.names} == set(reasons)


def test_chips_with_other_bands_are_left_out_and_both_lists_are_shown(tree):
    tree.image("a.png", picture(0))
    tree.image("b.png", picture(1))
    tree.tif("four.tif", picture(2, bands=4), crs=None)
    found = scan(tree.listing())
    assert len(found.listing) == 2
    note = only(found, "other bands")
    assert note.severity == "drop"
    assert "4 bands (band 1, band 2, band 3, band 4) where 3 (red, green, blue) are wanted" in note.text
    assert note.names[0].startswith("four.tif")


def test_chips_of_nothing_but_no_data_are_left_out(tree):
    tree.tif("a.tif", picture(0) | 1, nodata=0)
    tree.tif("b.tif", np.zeros((3, 32, 32), np.uint8), nodata=0)
    found = scan(tree.listing())
    assert list(found.listing.chips["key"]) == ["a.tif"]
    assert only(found, "only no-data").names == ("b.tif",)


def test_nothing_usable_is_refused(tree):
    tree.text("a.tif", b"")
    found = scan(tree.listing())
    assert found.refused
    assert texts(found, "refuse") == [
        "No chip can be used. See which files were left out and why, and correct the source."
    ]
    assert len(found.listing) == len(found.ground) == 0


# What is said of usable chips


def test_sizes_differ(tree):
    for i in range(3):
        tree.image(f"{i}.png", picture(i))
    tree.image("odd.png", picture(7, 40))
    found = scan(tree.listing())
    assert found.storage["rgb"].size == 32
    assert only(found, "resampled to 32 x 32").names == ("odd.png (40 x 40)",)
    assert found.facts["sizes"]["rgb"] == {"32 x 32": 3, "40 x 40": 1}
    assert scan(tree.listing(), size=16).storage["rgb"].size == 16


def test_colours_are_converted_and_it_is_said(tree):
    tree.image("plain.png", picture(0))
    tree.image("palette.png", picture(1), "P")
    tree.image("cmyk.jpg", picture(2), "CMYK")
    found = scan(tree.listing())
    assert len(found.listing) == 3
    assert only(found, "colour table").names == ("palette.png",)
    assert only(found, "CMYK").names == ("cmyk.jpg",)


def test_sixteen_bits_and_floats_with_holes_are_kept_in_a_type_that_holds_them(tree):
    tree.tif("a.tif", picture(0, dtype="uint16", high=9000))
    found = scan(tree.listing())
    assert found.storage["rgb"].dtype == "uint16"
    holed = picture(1, dtype="float32", high=3)
    holed[:, :8] = np.nan
    tree.tif("b.tif", holed)
    found = scan(tree.listing())
    assert found.storage["rgb"].dtype == "float32"
    assert "(12.5% of all pixels)" in only(found, "pixels without data").text
    assert "1 uint16" in only(found, "different types").text


@pytest.mark.parametrize(("dtype", "stored"), [
    ("uint8", "uint8"), ("uint16", "uint16"), ("int16", "int16"), ("int32", "int32"), ("uint32", "float32"),
    ("float32", "float32"), ("float64", "float32"), ("int8", "int16"),
])  # fmt: skip
def test_the_type_of_the_files_is_the_type_of_the_store(tree, dtype, stored):
    tree.tif("a.tif", picture(0, dtype=dtype, high=100))
    assert scan(tree.listing()).storage["rgb"].dtype == stored


def test_no_data_values_that_agree_are_kept_and_others_become_nan(tree):
    tree.tif("a.tif", picture(0) | 1, nodata=0)
    tree.tif("b.tif", picture(1) | 1, nodata=0)
    storage = scan(tree.listing()).storage["rgb"]
    assert (storage.dtype, storage.nodata) == ("uint8", 0)
    tree.tif("c.tif", picture(2) & 254, nodata=255)
    found = scan(tree.listing())
    assert found.storage["rgb"].dtype == "float32"
    assert np.isnan(found.storage["rgb"].nodata)
    assert "0 in 2, 255 in 1" in only(found, "mark no-data").text


def test_mixed_systems_are_allowed_and_each_chip_keeps_its_own(tree):
    tree.tif("a.tif", picture(0))
    tree.tif("b.tif", picture(1), crs="EPSG:32618")
    tree.image("c.png", picture(2))
    found = scan(tree.listing())
    assert found.ground["crs"].tolist() == ["EPSG:32617", "EPSG:32618", ""]
    assert found.ground["longitude"].round(3).tolist()[:2] == [-80.998, -74.998]
    assert np.isnan(found.ground["longitude"][2])
    assert "2 coordinate systems (1 in EPSG:32617, 1 in EPSG:32618)" in only(found, "coordinate systems").text
    assert found.gsd_m == 10


def test_duplicates_and_shared_ground_are_counted(tree):
    tree.tif("a.tif", picture(0))
    tree.tif("b.tif", picture(0), transform=UTM @ Affine.translation(500, 0))
    tree.tif("c.tif", picture(1), transform=UTM @ Affine.translation(516, 0))
    tree.tif(
        "d.tif", np.clip(picture(1).astype(int) + 4, 0, 255).astype("uint8"), transform=UTM @ Affine.translation(900, 0)
    )
    found = scan(tree.listing())
    assert found.duplicates.to_dict("list") == {"a": [0, 2], "b": [1, 3], "kind": ["exact", "near"]}
    assert found.facts["duplicates"] == {"exact": 1, "near": 1}
    assert found.facts["shared_ground"] == 1
    assert only(found, "shares ground").text.startswith("1 pair of chips")
    fewer = found.without_duplicates()
    assert list(fewer.listing.chips["key"]) == ["a.tif", "c.tif", "d.tif"]
    assert fewer.duplicates.to_dict("list") == {"a": [1], "b": [2], "kind": ["near"]}
    assert len(fewer.table()) == 3


def test_classes_that_are_few_alike_or_missing_are_said(tree):
    for i in range(4):
        tree.image(f"{i}.png", picture(i))
    labels = {"use": ["Forest", "forest", "For est", "sea"], "none": [None] * 4}
    frame = pd.DataFrame(labels)
    targets = [
        propose("use", "multiclass", "", "use", frame),
        TargetPlan("empty", "multiclass", "", ("none",), ("a", "b")),
    ]
    found = scan(tree.listing(labels=labels, targets=targets))
    assert only(found, "case or spaces").names == ("For est", "Forest", "forest")
    assert "'sea' 1" in only(found, "fewer than 10").text
    assert "Task empty has no target at all" in only(found, "no target").text
    assert found.facts["tasks"]["use"]["found"] == {"For est": 1, "Forest": 1, "forest": 1, "sea": 1}
    assert found.facts["tasks"]["use"]["unknown"] == 0


def test_facts_are_the_numbers_of_the_files(tree):
    pixels = np.stack([np.full((32, 32), value, np.uint8) for value in (10, 20, 30)])
    pixels[:, 0, 0] = 200
    tree.tif("a.tif", pixels)
    tree.image("b.png", pixels)
    found = scan(tree.listing())
    assert found.facts["files"] == {".tif": 1, ".png": 1}
    assert found.facts["pairs"] == {"rgb": 2, "all": 2}
    assert found.facts["dtypes"]["rgb"] == {"uint8": 2}
    assert found.facts["crs"] == {"EPSG:32617": 1, "": 1}
    assert found.facts["values"]["rgb"]["bands"]["green"] == {"low": 20, "high": 200, "p2": 20, "p98": 20}
    assert found.facts["bytes_on_disk"] == sum(p.stat().st_size for p in tree.folder.iterdir())
    assert found.bytes == 2 * 3 * 32 * 32
    json.dumps(found.facts, allow_nan=False)


# Other readers, and the scan on disk


def test_windows_of_a_scene_are_checked_in_part_and_keep_their_place(tree):
    scene = picture(0, 128)
    tree.tif("scene.tif", scene)
    tree.text("broken.tif", b"x")
    rows, columns = (v.ravel().astype(np.int64) for v in np.meshgrid(range(0, 113, 8), range(0, 113, 8), indexing="ij"))
    file = np.zeros((len(rows) + 1, 1), np.int32)
    file[-1] = 1
    rows, columns = np.r_[rows, 0], np.r_[columns, 0]
    pixels = Pixels(RGB, "windows", (tree.folder / "scene.tif", tree.folder / "broken.tif"), file, rows, columns, 16)
    chips = pd.DataFrame({"key": [str(i) for i in range(len(rows))], "split": "", "group": ""})
    found = scan(Listing("test", ORIGIN, chips, pd.DataFrame(index=chips.index), (pixels,), (), stride=8))
    assert len(found.listing) == 225
    assert found.duplicates.empty
    assert only(found, "cannot be read").names == ("225 (cut short, damaged or of another kind)",)
    last = found.ground.iloc[224]
    assert (last["row"], last["column"], last["c"], last["f"]) == (112, 112, 500_000 + 1120, 4_000_000 - 1120)
    assert found.storage["rgb"].size == 16


def test_rows_of_an_hdf5_file_are_scanned(tree):
    with h5py.File(tree.folder / "a.h5", "w") as file:
        file["sen2"] = np.stack([picture(i, dtype="float64", high=2).transpose(1, 2, 0) for i in range(5)])
    rows = np.arange(6)
    pixels = Pixels(
        RGB,
        "hdf5",
        (tree.folder / "a.h5",),
        np.zeros((6, 1), np.int32),
        rows,
        0 * rows,
        array="sen2",
        channels_last=True,
    )
    chips = pd.DataFrame({"key": rows.astype(str), "split": "", "group": "", "longitude": 7.0, "latitude": 51.0})
    found = scan(Listing("test", ORIGIN, chips, pd.DataFrame(index=chips.index), (pixels,), ()))
    assert len(found.listing) == 5  # the file ends before row 5
    assert found.storage["rgb"].dtype == "float32"
    assert found.ground["longitude"].tolist() == [7.0] * 5
    assert list(found.table()["latitude"]) == [51.0] * 5


def test_a_scan_survives_the_disk(tree, tmp_path_factory):
    tree.tif("a.tif", picture(0), nodata=0)
    tree.tif("b.tif", picture(1), nodata=9)
    told = []
    found = scan(tree.listing(), progress=lambda share, text: told.append((share, text)))
    folder = tmp_path_factory.mktemp("scan")
    found.save(folder)
    again = Scan.load(folder)
    pd.testing.assert_frame_equal(again.ground, found.ground)
    pd.testing.assert_frame_equal(again.duplicates, found.duplicates)
    assert (again.notes, again.facts, again.bytes) == (found.notes, found.facts, found.bytes)
    assert np.isnan(again.storage["rgb"].nodata)
    assert [share for share, _ in told] == sorted(share for share, _ in told)
    assert told[-1] == (1.0, "Done")
    (folder / "scan.json").write_text("{")
    with pytest.raises(ImportRefused, match="Scan it again"):
        Scan.load(Path(folder))
