import pytest

from spatialnet.errors import TargetsInvalid
from spatialnet.model.words import END, PAD, START, UNKNOWN, Words, split_words


def test_words_are_lower_case_without_punctuation_in_any_script():
    assert split_words("Two storage-tanks, a plane's shadow; 3 Häuser!") == [
        "two", "storage-tanks", "a", "plane's", "shadow", "3", "häuser",
    ]  # fmt: skip
    assert split_words("<b>{{7*7}}</b>") == ["b", "7", "7", "b"]


def test_only_words_that_come_back_are_learned_the_most_frequent_first():
    words = Words.learn(["a house", "a tree and a house", "a pond"])
    assert words.words == ("a", "house")
    assert words.encode("A house, a pond.", 8) == [START, 4, 5, 4, UNKNOWN, END, PAD, PAD]
    assert words.decode([4, 5, UNKNOWN, PAD, 4, 99, END, 5]) == "a house a"


def test_what_is_too_long_is_cut_and_still_ends():
    words = Words(("a",))
    assert words.encode("a a a a a a", 5) == [START, 4, 4, 4, END]


def test_captions_without_a_repeated_word_are_one_sentence():
    with pytest.raises(TargetsInvalid, match="hold no word 2 times or more"):
        Words.learn(["one", "two", ""])
