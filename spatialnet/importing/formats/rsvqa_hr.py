"""RSVQA-HR: aerial images of the north-eastern United States with template questions."""

from __future__ import annotations

from spatialnet.importing.importer import Importer, Remote
from spatialnet.importing.listing import Origin
from spatialnet.importing.rsvqa.answers import MIN_IMAGES, QuestionSet, list_questions

_HOST = "https://zenodo.org/records/6344367/files/"

_DATA = QuestionSet(
    importer="rsvqa_hr",
    origin=Origin(
        title="RSVQA-HR",
        description="10,659 aerial RGB images at 15 cm with 1,066,316 template questions. Answers were derived from "
        "OpenStreetMap. Philadelphia is a test region of its own.",
        licence="Not verified. Confirm it on the record.",
        citation="Lobry, Marcos, Murray, Tuia (2020): RSVQA: Visual Question Answering for Remote Sensing Data. "
        "IEEE TGRS 58(12).",
        source="doi:10.5281/zenodo.6344367",
    ),
    prefix="USGS_split",
    splits={"train": "train", "val": "validation", "test": "test", "test_phili": "test"},
    regions={"test_phili": "philadelphia"},
    images=("Data", "Images/Data", "Images"),
    gsd_m=0.15,
    sensor_title="Aerial RGB",
)

IMPORTER = Importer(
    name="rsvqa_hr",
    title="RSVQA-HR",
    about="Questions about aerial images become object presence and object counts.",
    layout="""\
RSVQA_HR/
  Data/<number>.tif
  USGS_split_train_images.json
  USGS_split_train_questions.json
  USGS_split_train_answers.json
  USGS_split_val_*.json
  USGS_split_test_*.json
  USGS_split_test_phili_*.json        becomes region philadelphia of the test split
""",
    family="paper",
    recognise=_DATA.recognise,
    list_chips=lambda source: list_questions(_DATA, source),
    options=(MIN_IMAGES,),
    downloads=tuple(
        Remote(f"{_HOST}{name}?download=1", name)
        for name in (
            *(_DATA.file_name(word, kind) for word in _DATA.splits for kind in ("images", "questions", "answers")),
            "Images.tar",
        )
    ),
)
