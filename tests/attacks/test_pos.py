from __future__ import annotations

import pytest

from attacks.pos import Tagger

LEXICON = {"the": "DT", "run": "VB", "film": "NN", "quick": "JJ", "to": "TO", "he": "PRP"}


def tagger(morphology: str = "", context: str = "") -> Tagger:
    return Tagger(LEXICON, [morphology.split()] if morphology else [], [context.split()] if context else [])


def test_known_words_numbers_and_unknown_words() -> None:
    words = ["the", "The", "film", "12", "1,000.5", "blorf", "Blorf"]
    assert tagger().tag(words) == ["DT", "DT", "NN", "CD", "CD", "NN", "NNP"]


@pytest.mark.parametrize(
    ("rule", "word", "tag"),
    [
        ("ly hassuf 2 RB x", "blorfly", "RB"),
        ("NN s fhassuf 1 NNS x", "blorfs", "NNS"),
        ("NN s fhassuf 1 NNS x", "Blorfs", "NNP"),
        ("un deletepref 2 JJ x", "unquick", "JJ"),
        ("un deletepref 2 JJ x", "unblorf", "NN"),
        ("ly deletesuf 2 RB x", "quickly", "RB"),
        ("NN - fchar JJ x", "blorf-like", "JJ"),
        ("re haspref 2 VB x", "reblorf", "VB"),
        ("NN would fgoodright VB x", "blorf", "NN"),
    ],
)
def test_morphology(rule: str, word: str, tag: str) -> None:
    assert tagger(rule).tag([word]) == [tag]


@pytest.mark.parametrize(
    ("rule", "words", "tags"),
    [
        ("VB NN PREVTAG DT", "the run", "DT NN"),
        ("VB NN PREVTAG DT", "to run", "TO VB"),
        ("VB NN PREV1OR2TAG DT", "the quick run", "DT JJ NN"),
        ("NN VB PREVWD to", "to film", "TO VB"),
        ("VB NN SURROUNDTAG DT PRP", "the run he", "DT NN PRP"),
        ("VB NN SURROUNDTAG DT PRP", "the run the", "DT VB DT"),
        ("NN VB PREVTAG STAART", "film the film", "VB DT NN"),
        ("JJ RB WDNEXTTAG quick VB", "quick run", "RB VB"),
        ("JJ RB WDPREVTAG DT quick", "the quick", "DT RB"),
        ("VB NN RBIGRAM run he", "run he run", "NN PRP VB"),
        ("VB NN NEXT1OR2TAG PRP", "run the he", "NN DT PRP"),
    ],
)
def test_context(rule: str, words: str, tags: str) -> None:
    assert tagger(context=rule).tag(words.split()) == tags.split()


def test_universal_tags() -> None:
    words = ("he", "to", "run", "the", "quick", "film")
    assert tagger().universal(words) == (
        "PRON",
        "PRT",
        "VERB",
        "DET",
        "ADJ",
        "NOUN",
    )
    assert tagger().universal(()) == ()


def test_an_unknown_rule_is_named() -> None:
    with pytest.raises(ValueError, match="NEARTAG"):
        tagger(context="VB NN NEARTAG DT")
