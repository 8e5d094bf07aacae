"""Spans, exact re-alignment of tags after every kind of edit, names and how rare they are."""

from __future__ import annotations

import random

import pytest

from attacks import gazetteer
from attacks.entities import bio, f1, realign, span_counts, spans
from attacks.gazetteer import Gazetteer

NEW_YORK = (("in", "New", "York", "today"), ("O", "B-LOC", "I-LOC", "O"))


def test_spans_are_strict():
    tags = ["B-PER", "I-PER", "I-LOC", "O", "B-LOC", "B-LOC", "I-LOC", "I-PER"]
    assert spans(tags) == [("PER", 0, 2), ("LOC", 4, 5), ("LOC", 5, 7)]
    assert spans([]) == spans(["O", "I-PER"]) == []


def test_spans_and_counts_are_those_of_the_clean_score():
    from training import ner_metrics

    rng = random.Random(0)
    tags = ["O", "B-A", "I-A", "B-B", "I-B"]
    for _ in range(300):
        gold, said = ([rng.choice(tags) for _ in range(rng.choice([0, 1, 5]))] for _ in range(2))
        assert set(spans(gold)) == ner_metrics.spans(gold)
        if len(gold) == len(said):
            assert span_counts(gold, said) == ner_metrics.span_counts(gold, said)


def test_f1_of_a_sentence_with_nothing_to_find_is_1_until_something_is_invented():
    assert (f1((0, 0, 0)), f1((0, 1, 0)), f1((1, 1, 1)), f1((2, 0, 1))) == (1.0, 0.0, 0.5, 0.8)
    with pytest.raises(ValueError, match="1 gold tags but 2"):
        span_counts(["O"], ["O", "O"])


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        # nothing, and one word for another
        ("in|New|York|today", "O B-LOC I-LOC O"),
        ("on|Nex|Yrok|now", "O B-LOC I-LOC O"),
        # words put in outside
        ("in the|New|York|today", "O O B-LOC I-LOC O"),
        ("in|New|York|just today", "O B-LOC I-LOC O O"),
        # before and after the entity, from either side of its edge
        ("in|old New|York|today", "O O B-LOC I-LOC O"),
        ("in|New|York City|today", "O B-LOC I-LOC O O"),
        # between its words
        ("in|New big|York|today", "O B-LOC I-LOC I-LOC O"),
        ("in|New|big York|today", "O B-LOC I-LOC I-LOC O"),
        # deletions outside, of its first, of its last and of both words
        ("|New|York|", "B-LOC I-LOC"),
        ("in||York|today", "O B-LOC O"),
        ("in|New||today", "O B-LOC O"),
        ("in|||today", "O O"),
        # replaced by several words, none of them its own
        ("in|San Jose|York|today", "O B-LOC I-LOC I-LOC O"),
        # what stood next to a deleted edge is outside
        ("in||big York|today", "O O B-LOC O"),
        ("in|New big||today", "O B-LOC O O"),
        ("|||", ""),
    ],
)
def test_tags_are_realigned_exactly(pieces: str, expected: str):
    words, tags = NEW_YORK
    assert realign(words, tags, [piece.split() for piece in pieces.split("|")]) == expected.split()


def test_neighbouring_entities_stay_two_and_a_stray_tag_stays_stray():
    words, tags = ("Ann", "Bob", "Lee"), ("B-PER", "B-PER", "I-PER")
    assert realign(words, tags, [(), ("Bob",), ("Lee",)]) == ["B-PER", "I-PER"]
    assert realign(words, tags, [("Ann",), (), ("Lee",)]) == ["B-PER", "B-PER"]
    assert realign(("a", "b"), ("O", "I-PER"), [("a",), ("b", "c")]) == ["O", "I-PER", "I-PER"]
    with pytest.raises(ValueError, match="each word needs one"):
        realign(("a",), ("O", "O"), [("a",)])


def test_insertions_and_deletions_outside_keep_every_entity_word_for_word():
    rng = random.Random(0)
    for _ in range(300):
        words, tags, pieces = [], [], []
        for number in range(rng.randint(1, 6)):
            if rng.random() < 0.5:
                name = [f"N{number}{i}" for i in range(rng.randint(1, 3))]
                words, tags, pieces = words + name, tags + list(bio("X", len(name))), pieces + [[w] for w in name]
            else:
                words, tags = [*words, "w"], [*tags, "O"]
                pieces.append(rng.choice([[], ["v"], ["w"], ["w", "y"], ["y", "w", "z"]]))
        made, tags_now = [word for piece in pieces for word in piece], realign(words, tags, pieces)
        assert len(made) == len(tags_now)
        assert [made[a:b] for _, a, b in spans(tags_now)] == [words[a:b] for _, a, b in spans(tags)]


@pytest.fixture
def tagged_text(stopword_lexicon):
    from attacks.lexicon import prepare_textattack

    prepare_textattack(stopword_lexicon.folder)
    from attacks.tagged_text import TaggedText

    return TaggedText


def test_a_tagged_text_keeps_tags_and_modified_words_through_a_chain_of_edits(tagged_text):
    text = tagged_text(
        ("We", "met", "U.S.", "troops", ",", "Ann", "Lee", "<SPLIT>"), ("O",) * 5 + (*bio("PER", 2), "O")
    )
    assert text.words[2] == "U.S."  # one word, and marks are words
    step = text.replace_word_at_index(1, "saw")
    assert step.attack_attrs["modified_indices"] == {1}
    step = step.insert_text_before_word_index(0, "Then")
    assert step.words[:3] == ["Then", "We", "saw"]
    # TextAttack's rule: with a word put in, the word itself counts as modified too
    assert step.attack_attrs["modified_indices"] == {0, 1, 2}
    assert step.attack_attrs["newly_modified_indices"] == {0, 1}
    step = step.delete_word_at_index(5)
    assert step.text == "Then We saw U.S. troops Ann Lee <SPLIT>"
    assert list(step.attack_attrs["original_index_map"]) == [1, 2, 3, 4, -1, 5, 6, 7]
    assert spans(step.tags) == [("PER", 5, 7)]
    step = step.with_entity(("PER", 5, 7), ("Ann", "van", "Lee"))
    assert (step.words[5:8], spans(step.tags)) == (["Ann", "van", "Lee"], [("PER", 5, 8)])
    assert step.with_entity(("PER", 5, 8), ("Bo",)).tags[5:] == ("B-PER", "O")
    assert step.attack_attrs["modified_indices"] == {0, 1, 2, 5, 6, 7}
    assert step.tokenizer_input == tuple(step.words)
    assert text.tags[5:7] == ("B-PER", "I-PER")  # the original is as it was


@pytest.mark.parametrize("words", [("a b",), ("",)])
def test_words_that_could_not_be_told_apart_are_refused(tagged_text, words):
    with pytest.raises(ValueError, match="hold a space"):
        tagged_text(words, ("O",))


def test_only_context_words_with_letters_may_change(tagged_text):
    from attacks.tagged_text import ContextWords

    text = tagged_text(("On", "3", "May", ",", "é", "Ann", "x1", "stray"), ("O",) * 5 + ("B-PER", "O", "I-PER"))
    assert ContextWords()._get_modifiable_indices(text) == {0, 2, 4, 6}


def test_rarer_names_of_the_same_type():
    sentences = [(("Ann", "Lee", "met", "Bob"), (*bio("PER", 2), "O", "B-PER"))] * 3
    sentences += [(("Bob", "left", "Oslo"), ("B-PER", "O", "B-LOC")), (("Cy", "(", "lender"), ("B-PER", "I-PER", "O"))]
    sentences += [(("Dee", "Paris"), ("B-PER", "B-PER")), (("Paris", "bob"), ("B-LOC", "B-PER"))]
    known = gazetteer.from_sentences(sentences)
    # Paris is of two types, `( Cy` holds a word without a letter, `bob` has no capital
    assert known.names == {"LOC": {("Oslo",): 1}, "PER": {("Ann", "Lee"): 3, ("Bob",): 4, ("Dee",): 1}}
    assert known.rarer("PER", ("Bob",)) == [("Dee",), ("Ann", "Lee")]
    assert known.rarer("PER", ("Ann", "Lee")) == [("Dee",)]
    assert known.rarer("PER", ("Zoe",)) == [("Dee",)]  # as rare as it gets here
    assert known.rarer("PER", ("DEE",)) == []
    assert known.rarer("LOC", ("Oslo",)) == known.rarer("ORG", ("ACME",)) == []
    assert known.fingerprint != Gazetteer({"LOC": {("Oslo",): 2}}).fingerprint


def test_instances_of_wordnet_are_names_that_training_lacks(tmp_path):
    # person > scientist ~ Curie, Marie_Curie, O'Neill; district ~ Oslo, Curie: Curie is of both types
    lines = [
        "  1 licence",
        "00000001 03 n 01 person 0 001 ~ 00000002 n 0000 | a human",
        "00000002 18 n 01 scientist 0 003 @ 00000001 n 0000 ~i 00000003 n 0000 ~i 00000004 n 0000 | one who",
        "00000003 18 n 02 Marie_Curie 0 Curie 0 001 @i 00000002 n 0000 | chemist",
        "00000004 18 n 02 O'Neill 0 Ann 0 001 @i 00000002 n 0000 | writer",
        "00000005 15 n 01 administrative_district 0 001 ~i 00000006 n 0000 | a region",
        "00000006 15 n 02 Oslo 0 Curie 0 001 @i 00000005 n 0000 | a city",
    ]
    (tmp_path / "data.noun").write_text("\n".join(lines) + "\n")
    index = ["  1 licence", "person n 2 1 ~ 2 1 00000001 00000006", "administrative_district n 1 1 ~i 1 0 00000005"]
    (tmp_path / "index.noun").write_text("\n".join(index) + "\n")
    known = Gazetteer({"PER": {("Ann",): 2}, "LOCATION": {}, "MISC": {("Oscar",): 1}})
    assert gazetteer.with_wordnet(known, tmp_path).names == {
        "LOCATION": {("Oslo",): 0},
        "MISC": {("Oscar",): 1},
        "PER": {("Ann",): 2, ("Marie", "Curie"): 0},
    }
