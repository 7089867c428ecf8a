"""Questions generated from the templates are read back as what they were made of."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spatialnet.importing.rsvqa.questions import (
    ATTRIBUTES,
    RELATIONS,
    Question,
    Thing,
    comparison_holds,
    parse_question,
)

NAMES = (
    "building", "residential building", "commercial building", "road", "water area", "residential area", "grass area",
    "allotment", "cemetery", "farmland", "forest", "port", "railway", "recreation ground", "salt pond", "place of worship",
    "grass", "bus",
)  # fmt: skip
ENDS = st.sampled_from(["?", " in the image?", ""])


@st.composite
def things(draw):
    relation = ""
    if draw(st.booleans()):
        relation = f"{draw(st.sampled_from(RELATIONS))} {draw(st.sampled_from(NAMES))}"
    return Thing(draw(st.sampled_from(NAMES)), draw(st.sampled_from(("", *ATTRIBUTES))), relation)


def written(thing, plural):
    """As the generator of the data sets writes it; it leaves two spaces before the second object."""
    text = f" {thing.attribute}" * bool(thing.attribute) + f" {thing.name}" + "s" * plural
    for words in RELATIONS:
        if thing.relation.startswith(words):
            text += f" {words} a  {thing.relation.removeprefix(words).strip()}"
    return text


@given(things(), st.sampled_from(["Is there a{}", "Is a{} present"]), ENDS)
def test_presence(thing, template, end):
    assert parse_question(template.format(written(thing, False)) + end) == Question("presence", thing)


@given(things(), st.sampled_from(["How many{} are there", "What is the number of{}", "What is the amount of{}"]), ENDS)
def test_count(thing, template, end):
    assert parse_question(template.format(written(thing, True)) + end) == Question("count", thing)


@given(things(), ENDS)
def test_area(thing, end):
    assert parse_question(f"What is the area covered by{written(thing, True)}{end}") == Question("area", thing)


@given(things(), things(), st.sampled_from(["less", "more", "equal"]), ENDS)
def test_comparisons(first, second, how, end):
    a, b = written(first, True), written(second, True)
    text = f"Is the number of{a} equal to the number of{b}" if how == "equal" else f"Are there {how}{a} than{b}"
    assert parse_question(text + end) == Question("comp", first, how, second)


@given(ENDS)
def test_rural_or_urban(end):
    assert parse_question("Is it a rural or an urban area" + end) == Question("rural_urban")


@pytest.mark.parametrize(
    "text",
    [
        "", "?", "How many people live in this area?", "Is there a?", "Is there a ?", "How many building are there?",
        "What colour is the roof?", "Is there a 7?", "Are there less roads?", "Is there a small?s",
        "Is there a building that is near to the old church of the village?", "Is there a road next to the 9?",
    ],
)  # fmt: skip
def test_what_fits_no_template_is_not_guessed_at(text):
    assert parse_question(text) is None


@given(st.text(max_size=80))
def test_no_text_is_an_error(text):
    parse_question(text)


def test_only_things_without_attribute_and_relation_are_plain():
    assert Thing("road").plain
    assert not Thing("road", "small").plain
    assert not Thing("road", "", "next to building").plain


def test_comparisons_of_counts():
    assert comparison_holds("less", 1, 2)
    assert comparison_holds("more", 2, 1)
    assert comparison_holds("equal", 2, 2)
    assert not comparison_holds("less", 2, 2)
    assert not comparison_holds("more", 2, 2)
    assert not comparison_holds("equal", 1, 2)
