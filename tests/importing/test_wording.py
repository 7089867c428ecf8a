"""Numbers of things in sentences."""

import pytest

from spatialnet.importing.wording import counted


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((1, "chip"), "1 chip"), ((0, "chip"), "0 chips"), ((1200, "chip"), "1,200 chips"), ((2, "class"), "2 classes"),
        ((1, "file", "is"), "1 file is"), ((2, "file", "is"), "2 files are"), ((3, "class", "has"), "3 classes have"),
        ((1, "image", "lies"), "1 image lies"), ((2, "image", "lies"), "2 images lie"),
    ],
)  # fmt: skip
def test_one_and_several(arguments, said):
    assert counted(*arguments) == said
