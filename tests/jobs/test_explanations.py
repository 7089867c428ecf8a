from dataclasses import replace

from spatialnet.jobs.explanations import ExplanationRequest, explanation_file, kept_explanation

REQUEST = ExplanationRequest("run-1", 3, "land_use", 1, "occlusion")


def test_every_part_of_the_question_is_part_of_the_key():
    changes = {
        "run": "run-2",
        "chip": 4,
        "task": "presence",
        "class_index": 2,
        "method": "rollout",
        "against": 2,
        "baseline": "zero",
    }
    keys = {REQUEST.key} | {replace(REQUEST, **{name: value}).key for name, value in changes.items()}
    assert len(keys) == 8
    assert all(key.isalnum() and len(key) == 40 for key in keys)
    assert ExplanationRequest(**REQUEST.__dict__).key == REQUEST.key


def test_what_was_computed_is_read_back(settings):
    assert kept_explanation(settings, REQUEST) is None
    path = explanation_file(settings, REQUEST)
    path.parent.mkdir(parents=True)
    path.write_text('{"seconds": 1')
    assert kept_explanation(settings, REQUEST) is None
    path.write_text('{"seconds": 1}')
    assert kept_explanation(settings, REQUEST) == {"seconds": 1}
