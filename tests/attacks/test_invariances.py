"""Every invariance on sentences whose answers were worked out by hand, tags and all."""

from __future__ import annotations

import re

import pytest

from attacks.entities import spans
from attacks.invariances import names, suite
from attacks.invariances.suite import change_sentence, change_text
from attacks.invariances.tokens import join, split

ENTITIES = {"PER": [("Ann",), ("Jo", "van", "Dam")], "ORG": [("Acme",), ("Big", "Co")]}


def tagged(name: str, sentence: str, entities=ENTITIES, text_id: str = "x") -> str | None:
    """`word/TAG word` in and out; a word without a tag is outside."""
    pairs = [part.split("|") for part in sentence.split()]
    words, tags = [pair[0] for pair in pairs], [(*pair, "O")[1] for pair in pairs]
    found = change_sentence(name, words, tags, text_id, entities)
    if found is None:
        return None
    return " ".join(word if tag == "O" else f"{word}|{tag}" for word, tag in zip(*found, strict=True))


@pytest.mark.parametrize(
    "text",
    ["It's a don't-care film, isn't it?", "  10/10 :  a 1,000.5 % “hit”\n\n do n't", "x", "", "Jean-Luc's ‘it’s’"],
)
def test_split_loses_nothing(text: str) -> None:
    assert join(split(text)) == text


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("I don't know.", "I do not know."),
        ("Don't go, it's late and we're out.", "Do not go, it is late and we are out."),
        ("It won’t do, it can't.", "It will not do, it can not."),
        ("DON'T", "DO NOT"),
        ("it 's bad , is n't it", "it is bad , is not it"),
        ("they 've said I 'll do and ca n't", "they have said I will do and can not"),
        ("I'm sure that's it", "I am sure that is it"),
        ("the film's end, it's been bad", None),  # a possessive, and "has"
        ("I'd say he's changed", None),
        ("It is not bad.", "It's not bad."),
        ("They are not here, she will not come.", "They're not here, she'll not come."),
        ("You cannot say that this is not so", "You can't say that this isn't so"),
        ("I do not know what it is.", "I don't know what it is."),
        ("DO NOT GO", "DON'T GO"),
        ("I am old", "I'm old"),
        ("nothing to see", None),
    ],
)
def test_contractions(before: str, after: str | None) -> None:
    assert change_text("contractions", before, "x") == after


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("Ann|B-PER Lee|I-PER don't pay Acme|B-ORG", "Ann|B-PER Lee|I-PER do not pay Acme|B-ORG"),
        ("Acme|B-ORG do n't pay", "Acme|B-ORG do not pay"),
        ("it is not Acme|B-ORG", "it's not Acme|B-ORG"),
        ("Do|B-ORG Not|I-ORG Disturb|I-ORG is not it", "Do|B-ORG Not|I-ORG Disturb|I-ORG isn't it"),
        ("Do|B-ORG Not|I-ORG pay", None),
        ("we pay it|B-ORG is", None),
    ],
)
def test_contractions_realign_the_tags(before: str, after: str | None) -> None:
    assert tagged("contractions", before) == after


def test_a_typo_swaps_two_inner_letters_of_one_word_outside_the_entities() -> None:
    assert change_text("typos", "the cat sat", "x") is None  # no word of four letters
    assert change_text("typos", "aaaa 2000 it's", "x") is None  # equal letters; no word of letters alone
    assert change_text("typos", "a film", "x") in ("a flim", "a fiml")
    assert tagged("typos", "Acme|B-ORG Corp|I-ORG has film") in (
        "Acme|B-ORG Corp|I-ORG has flim",
        "Acme|B-ORG Corp|I-ORG has fiml",
    )
    assert tagged("typos", "Acme|B-ORG Corporation|I-ORG") is None
    made = {change_text("typos", "The movie was terribly boring", str(i)) for i in range(50)}
    assert len(made) > 10
    for text in made:
        pairs = [
            (a, b) for a, b in zip(["The", "movie", "was", "terribly", "boring"], text.split(), strict=True) if a != b
        ]
        ((old, new),) = pairs
        assert sorted(old) == sorted(new)
        assert old[0] == new[0]


def test_first_names_become_others_of_their_list_each_time_the_same() -> None:
    text = "Diane Lane and Paul play; Diane's best. Grace, Mark and diane stay."
    changed = change_text("names", text, "x")
    found = re.fullmatch(r"(\w+) Lane and (\w+) play; (\w+)'s best\. Grace, Mark and diane stay\.", changed)
    assert found
    female, male, again = found.groups()
    assert female == again
    assert female in set(names.FEMALE) - {"Diane"}
    assert male in set(names.MALE) - {"Paul"}
    assert change_text("names", "a film with nobody in it", "x") is None
    assert not set(names.FEMALE) & set(names.MALE)


def test_entities_become_others_of_their_type_with_their_own_tags() -> None:
    assert tagged("names", "so Ann|B-PER pays", {"PER": [("Ann",), ("Jo", "van", "Dam")]}) == (
        "so Jo|B-PER van|I-PER Dam|I-PER pays"
    )
    assert tagged("names", "Jo|B-PER van|I-PER Dam|I-PER pays Ann|B-PER", {"PER": [("Kim",)]}) == (
        "Kim|B-PER pays Kim|B-PER"
    )
    assert tagged(
        "names", "Big|B-ORG Co|I-ORG Acme|B-ORG , Big|B-ORG Co|I-ORG", {"ORG": [("Acme",), ("Big", "Co")]}
    ) == ("Acme|B-ORG Big|B-ORG Co|I-ORG , Acme|B-ORG")
    assert tagged("names", "so Ann|B-PER pays", {"PER": [("Ann",)]}) is None  # no other one
    assert tagged("names", "so Ann|B-PER pays", {"ORG": [("Acme",)]}) is None  # none of its type
    assert tagged("names", "Paul pays") is None  # tagged as no entity: what it is, nobody knows
    assert (
        tagged("names", "it|I-PER is Ann|B-PER", {"PER": [("Kim",)]}) == "it|I-PER is Kim|B-PER"
    )  # a stray I- is none


def test_numbers_stay_near_and_keep_their_digits() -> None:
    assert change_text("numbers", "after 2 days", "x") == "after 3 days"
    assert change_text("numbers", "after 9 days", "x") == "after 8 days"
    made = {int(re.sub(r"\D", "", change_text("numbers", "after 10 days", str(i)))) for i in range(60)}
    assert made == {11, 12}  # 8 and 9 have one digit
    made = {int(re.sub(r"\D", "", change_text("numbers", "in 1985", str(i)))) for i in range(200)}
    assert made <= set(range(1976, 1995)) - {1985}
    assert len(made) > 10
    for text in (
        "0 or 1",
        "3 stars",
        "4/10",
        "2 out of 5",
        "90 %",
        "90%",
        "007",
        "a 10-year plan",
        "1970s",
        "60 Minutes",
        "1,500 men",
        "²",
    ):
        assert change_text("numbers", text, "x") is None, text
    assert tagged("numbers", "Form|B-ORG 20|I-ORG has 9 lines") == "Form|B-ORG 20|I-ORG has 8 lines"
    assert tagged("numbers", "Form|B-ORG 20|I-ORG") is None


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("A fine film.", "A fine film"),
        ("A fine film", "A fine film."),
        ("A fine , long film", "A fine , long film ."),
        ("A fine film !", None),
        ("And then...", None),
        ("So “fine”", None),
        (".", None),
        ("", None),
    ],
)
def test_the_full_stop_comes_and_goes(before: str, after: str | None) -> None:
    assert change_text("punctuation", before, "x") == after


def test_the_full_stop_of_a_tagged_sentence() -> None:
    assert tagged("punctuation", "we pay Acme|B-ORG .") == "we pay Acme|B-ORG"
    assert tagged("punctuation", "we pay Acme|B-ORG") == "we pay Acme|B-ORG ."
    assert tagged("punctuation", "we pay Acme|B-ORG .|I-ORG") is None


def test_case() -> None:
    assert change_text("lower_case", "The BEST Film", "x") == "the best film"
    assert change_text("lower_case", "the film", "x") is None
    assert tagged("lower_case", "The Acme|B-ORG PLAN") == "the Acme|B-ORG plan"
    assert change_text("upper_first", "the film", "x") == "The film"
    assert change_text("upper_first", "The film", "x") is None
    assert change_text("upper_first", "10 films", "x") is None
    assert tagged("upper_first", "acme|B-ORG pays") is None


def test_every_change_depends_on_the_id_alone_and_keeps_the_entities() -> None:
    sentence = "the Acme|B-ORG plan does not cost USD 300 since 1990 , Ann|B-PER Lee|I-PER said to Acme|B-ORG ."
    for name in suite.NAMES:
        found = tagged(name, sentence)
        assert found is not None, name
        assert found == tagged(name, sentence)
        kinds = [
            [kind for kind, _, _ in spans([(*word.split("|"), "O")[1] for word in text.split()])]
            for text in (sentence, found)
        ]
        assert kinds[0] == kinds[1] == ["ORG", "PER", "ORG"]
    assert len({tagged("numbers", sentence, text_id=str(i)) for i in range(20)}) > 5


@pytest.mark.parametrize(
    "text", ["", " \n ", "日本語", "!!!", "'", "n't", "’s", "a" * 5000, "\u202e\x00", "١٢٣ 99999999999"]
)
def test_no_text_is_too_odd(text: str) -> None:
    for name in suite.NAMES:
        changed = change_text(name, text, "x")
        assert changed is None or changed != text
        change_sentence(name, text.split(), ["O"] * len(text.split()), "x", ENTITIES)


def test_refusals_say_what_is_known() -> None:
    with pytest.raises(ValueError, match="known: typos"):
        change_text("typo", "a film", "x")
    with pytest.raises(ValueError, match="2 words but 1 tags"):
        change_sentence("typos", ["a", "film"], ["O"], "x", {})
