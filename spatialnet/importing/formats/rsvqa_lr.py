"""RSVQA-LR: Sentinel-2 images of the Netherlands with template questions."""

from __future__ import annotations

from spatialnet.importing.importer import Importer, Remote
from spatialnet.importing.listing import Origin
from spatialnet.importing.rsvqa.answers import MIN_IMAGES, QuestionSet, list_questions

_HOST = "https://zenodo.org/records/6344334/files/"

_DATA = QuestionSet(
    importer="rsvqa_lr",
    origin=Origin(
        title="RSVQA-LR",
        description="772 Sentinel-2 RGB images of the Netherlands with 77,232 template questions. Answers were derived from "
        "OpenStreetMap, and much of what they count cannot be seen at 10 m.",
        licence="CC BY 4.0 is reported; the record's own rights field may be blank. Confirm it there.",
        citation="Lobry, Marcos, Murray, Tuia (2020): RSVQA: Visual Question Answering for Remote Sensing Data. "
        "IEEE TGRS 58(12).",
        source="doi:10.5281/zenodo.6344334",
    ),
    prefix="LR_split",
    splits={"train": "train", "val": "validation", "test": "test"},
    regions={},
    images=("Images_LR/Images_LR", "Images_LR"),
    gsd_m=10.0,
    sensor_title="Sentinel-2 RGB",
)

IMPORTER = Importer(
    name="rsvqa_lr",
    title="RSVQA-LR",
    about="Questions about Sentinel-2 images become object presence, object counts and rural or urban.",
    layout="""\
RSVQA_LR/
  Images_LR/<number>.tif              also Images_LR/Images_LR/<number>.tif
  LR_split_train_images.json
  LR_split_train_questions.json
  LR_split_train_answers.json
  LR_split_val_*.json
  LR_split_test_*.json
""",
    family="paper",
    recognise=_DATA.recognise,
    list_chips=lambda source: list_questions(_DATA, source),
    options=(MIN_IMAGES,),
    downloads=tuple(
        Remote(f"{_HOST}{name}?download=1", name)
        for name in (
            *(_DATA.file_name(word, kind) for word in _DATA.splits for kind in ("images", "questions", "answers")),
            "Images_LR.zip",
        )
    ),
)
