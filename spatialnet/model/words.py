"""The words of captions, learned from a data set's own sentences. No torch."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from spatialnet.errors import TargetsInvalid

PAD, START, END, UNKNOWN = range(4)
"""Numbers below the first word's: nothing, before the first word, after the last, and a word that is not known."""

MOST_WORDS = 8000
_WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")


@dataclass(frozen=True)
class Words:
    """A vocabulary of whole words in lower case.

    Attributes:
        words: the words in the order of their numbers, the first is number 4.
    """

    words: tuple[str, ...]

    @classmethod
    def learn(cls, captions: Iterable[str], least: int = 2) -> Words:
        """The words that occur at least `least` times, the most frequent first; at most 8,000.

        Raises:
            TargetsInvalid: no word occurs that often.
        """
        counts = Counter(word for caption in captions for word in split_words(caption))
        kept = sorted((word for word, count in counts.items() if count >= least), key=lambda w: (-counts[w], w))
        if not kept:
            raise TargetsInvalid(
                f"The captions hold no word {least} times or more ({len(counts)} different words). Give more captions."
            )
        return cls(tuple(kept[:MOST_WORDS]))

    def __len__(self) -> int:
        return len(self.words) + UNKNOWN + 1

    def encode(self, caption: str, length: int) -> list[int]:
        """Numbers of a caption, `length` of them: start, its words, end, and nothing; what is too long is cut."""
        if "_index" not in self.__dict__:
            object.__setattr__(self, "_index", {word: UNKNOWN + 1 + i for i, word in enumerate(self.words)})
        index: dict[str, int] = self.__dict__["_index"]
        numbers = [START, *(index.get(word, UNKNOWN) for word in split_words(caption)[: length - 2]), END]
        return numbers + [PAD] * (length - len(numbers))

    def decode(self, numbers: Sequence[int]) -> str:
        """The words up to the end, joined by spaces; numbers that stand for no word are left out."""
        found = []
        for number in numbers:
            if number == END:
                break
            if UNKNOWN < number < len(self):
                found.append(self.words[number - UNKNOWN - 1])
        return " ".join(found)


def split_words(caption: str) -> list[str]:
    """The words of a caption in lower case, without punctuation."""
    return _WORD.findall(caption.lower())
