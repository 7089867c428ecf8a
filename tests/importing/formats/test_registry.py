"""Every format is found by being there, and finding it costs little."""

import pkgutil
import subprocess
import sys

import pytest

from spatialnet.errors import ImportRefused
from spatialnet.importing import formats
from spatialnet.importing.formats import FAMILIES, IMPORTERS, importer_called, only_format, recognised
from spatialnet.settings import REPOSITORY
from tests.sources import write_images


def test_every_file_is_a_format_of_its_name():
    assert set(IMPORTERS) == {entry.name for entry in pkgutil.iter_modules(formats.__path__)}
    families = [importer.family for importer in IMPORTERS.values()]
    assert families == sorted(families, key=list(FAMILIES).index)
    for importer in IMPORTERS.values():
        assert importer.about.endswith("."), importer.name
        assert importer.layout.strip(), importer.name
        names = [option.name for option in importer.options]
        assert len(names) == len(set(names))


def test_finding_formats_imports_nothing_heavy():
    code = (
        "import sys, spatialnet.importing.formats\n"
        "sys.exit(str({'torch', 'h5py', 'geopandas', 'pyogrio', 'torchgeo', 'sklearn', 'streamlit'} & sys.modules.keys() or ''))"
    )
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], cwd=REPOSITORY, capture_output=True, text=True)
    assert done.stderr.strip() == ""


def test_one_format_is_recognised_and_none_is_guessed(tmp_path):
    folder = write_images(tmp_path / "pictures", each=2)
    assert list(recognised(folder)) == ["image_folder"]
    assert only_format(folder)[0].name == "image_folder"
    (tmp_path / "empty").mkdir()
    with pytest.raises(ImportRefused, match="looks like none of the known formats"):
        only_format(tmp_path / "empty")
    with pytest.raises(ImportRefused, match=r"There is no format 'none'. Use one of"):
        importer_called("none")


def test_a_known_data_set_hides_the_generic_formats(tmp_path):
    names = ("AnnualCrop", "Forest", "HerbaceousVegetation", "Highway", "Industrial", "Pasture", "PermanentCrop",
             "Residential", "River", "SeaLake")  # fmt: skip
    folder = write_images(tmp_path / "EuroSAT_RGB", classes=names, each=2)
    assert IMPORTERS["image_folder"].recognise(folder)
    assert only_format(folder)[0].name == "eurosat"
