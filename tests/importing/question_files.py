"""Writes RSVQA trees as users have them: global indices, and stubs for what belongs to another split."""

import json

import numpy as np
import tifffile


def write_image(path, seed=0, size=8):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 255, (3, size, size)).astype(np.uint8)
    tifffile.imwrite(path, pixels.transpose(1, 2, 0), photometric="rgb")
    return pixels


def write_questions(root, prefix, splits, questions, images="Images_LR", without=()):
    """`splits`: word -> image numbers; `questions`: rows of (image, type, text, answer)."""
    root.mkdir(parents=True, exist_ok=True)
    total = max(image for numbers in splits.values() for image in numbers) + 1
    for word, numbers in splits.items():
        inside = [image in numbers for image, *_ in questions]
        rows = {
            "questions": [
                {"id": i, "date_added": 1.5, "img_id": image, "people_id": 0, "type": kind, "question": text,
                 "answers_ids": [i], "active": True} if inside[i] else {"id": i, "active": False}
                for i, (image, kind, text, _) in enumerate(questions)
            ],
            "answers": [
                {"id": i, "date_added": 1.5, "question_id": i, "people_id": 0, "answer": answer, "active": True}
                if inside[i] else {"id": i, "active": False} for i, (*_, answer) in enumerate(questions)
            ],
            "images": [
                {"id": i, "date_added": 1.5, "original_name": "a.tif", "sensor": "Sentinel-2", "type": "RGB",
                 "questions_ids": [], "active": True} if i in numbers else {"id": i, "active": False} for i in range(total)
            ],
        }  # fmt: skip
        for kind, values in rows.items():
            (root / f"{prefix}_{word}_{kind}.json").write_text(json.dumps({kind: values}))
        for image in numbers:
            if image not in without:
                write_image(root / images / f"{image}.tif", image)
