"""Template questions of the RSVQA data sets, read back into what they ask.

The questions were written by a program from templates (Lobry et al. 2020, "RSVQA: Visual Question Answering for Remote
Sensing Data"), so that each can be read exactly. What fits no template is not guessed at.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

QuestionKind = Literal["presence", "count", "comp", "rural_urban", "area"]
Comparison = Literal["less", "more", "equal"]

ATTRIBUTES = ("small", "medium", "large", "square", "rectangular", "circular")
RELATIONS = ("at the top of", "on the right of", "at the bottom of", "on the left of", "next to")

_RELATION = re.compile(rf"^(.+?) ({'|'.join(RELATIONS)}) (?:the|a) (.+)$")
_NAME = re.compile(r"[a-z][a-z'()/-]*(?: [a-z'()/-]+){0,4}")
_PRESENCE = (re.compile(r"is there an? (.+)"), re.compile(r"is an? (.+) present"))
_COUNT = (re.compile(r"how many (.+) are there"), re.compile(r"what is the (?:number|amount) of (.+)"))
_ORDER = re.compile(r"are there (less|more) (.+) than (.+)")
_EQUAL = re.compile(r"is the number of (.+) equal to the number of (.+)")
_AREA = re.compile(r"what is the area covered by (.+)")
_RURAL_URBAN = "is it a rural or an urban area"


@dataclass(frozen=True)
class Thing:
    """What a question is about.

    Attributes:
        name: the object in singular, lower case: `building`, `water area`.
        attribute: one of `ATTRIBUTES`, or "".
        relation: where it is, as the question says it (`next to road`), or "".
    """

    name: str
    attribute: str = ""
    relation: str = ""

    @property
    def plain(self) -> bool:
        """Whether every object of this name is meant."""
        return not self.attribute and not self.relation


@dataclass(frozen=True)
class Question:
    """One question, understood.

    Attributes:
        kind: what is asked.
        thing: about what; None for `rural_urban`.
        comparison: for `comp`, how `thing` is compared with `other`; else "".
        other: the second object of a comparison, or None.
    """

    kind: QuestionKind
    thing: Thing | None = None
    comparison: Comparison | Literal[""] = ""
    other: Thing | None = None


@lru_cache(maxsize=1 << 16)
def parse_question(text: str) -> Question | None:
    """What a question asks, or None where it fits no template.

    Args:
        text: a question in English, as the data sets hold it.
    """
    words = " ".join(text.split()).lower().removesuffix("?").rstrip().removesuffix(" in the image")
    if words == _RURAL_URBAN:
        return Question("rural_urban")
    for pattern in _PRESENCE:
        if (found := pattern.fullmatch(words)) and (thing := _thing(found[1], plural=False)):
            return Question("presence", thing)
    for pattern in _COUNT:
        if (found := pattern.fullmatch(words)) and (thing := _thing(found[1], plural=True)):
            return Question("count", thing)
    if (found := _AREA.fullmatch(words)) and (thing := _thing(found[1], plural=True)):
        return Question("area", thing)
    return _comparison(words)


def comparison_holds(comparison: str, first: float, second: float) -> bool:
    """Whether counts satisfy a comparison (`less`, `more`, `equal`)."""
    return {"less": first < second, "more": first > second, "equal": first == second}[comparison]


def _comparison(words: str) -> Question | None:
    if found := _ORDER.fullmatch(words):
        comparison: Comparison = "less" if found[1] == "less" else "more"
        first, second = _thing(found[2], plural=True), _thing(found[3], plural=True)
    elif found := _EQUAL.fullmatch(words):
        comparison = "equal"
        first, second = _thing(found[1], plural=True), _thing(found[2], plural=True)
    else:
        return None
    return Question("comp", first, comparison, second) if first and second else None


def _thing(words: str, *, plural: bool) -> Thing | None:
    relation = ""
    if found := _RELATION.match(words):
        words, relation = found[1], f"{found[2]} {found[3]}"
        if not _NAME.fullmatch(found[3]):
            return None
    attribute, _, rest = words.partition(" ")
    if attribute in ATTRIBUTES and rest:
        words = rest
    else:
        attribute = ""
    if plural:
        if not words.endswith("s"):
            return None
        words = words[:-1]  # the templates add an s to every name: "cemeterys"
    return Thing(words, attribute, relation) if _NAME.fullmatch(words) else None
