"""Sub-word alignment, and the two classic errors that make a tagger look better or worse than it is."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
from sklearn.metrics import f1_score

from training.alignment import IGNORE, align, words_from_predictions
from training.ner_metrics import entity_f1

LABELS = ("O", "B-PER", "I-PER")


@pytest.fixture(scope="module")
def tokenizer(tiny_model: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(tiny_model, local_files_only=True)


def test_only_a_words_first_piece_has_its_tag(tokenizer: Any) -> None:
    aligned = align(["the", "xyz", "film"], [0, 1, 2], tokenizer, 32)
    pieces = tokenizer.convert_ids_to_tokens(aligned.input_ids)
    assert pieces == ["[CLS]", "the", "x", "##y", "##z", "film", "[SEP]"]
    assert aligned.labels == (IGNORE, 0, 1, IGNORE, IGNORE, 2, IGNORE)
    assert aligned.truncated == 0


def test_the_labelled_pieces_are_the_words_in_order(tokenizer: Any) -> None:
    rng = random.Random(1)
    for _ in range(50):
        words = [rng.choice(["the", "film", "borrower", "u.s.", "don't", "x"]) for _ in range(rng.randint(1, 12))]
        tags = [rng.randrange(3) for _ in words]
        aligned = align(words, tags, tokenizer, 128)
        assert [label for label in aligned.labels if label != IGNORE] == tags
        per_piece = [0 if label == IGNORE else label for label in aligned.labels]
        assert words_from_predictions(aligned, per_piece) == tags


def test_words_beyond_the_limit_are_counted_and_read_as_o(tokenizer: Any) -> None:
    aligned = align(["film"] * 10, [1] * 10, tokenizer, 6)
    assert len(aligned.input_ids) == 6
    assert aligned.truncated == 6
    assert words_from_predictions(aligned, [1] * 6) == [1] * 4 + [0] * 6


def test_a_word_without_pieces_does_not_shift_the_others(tokenizer: Any) -> None:
    aligned = align(["good", "\u200b", "film"], [1, 0, 2], tokenizer, 32)
    assert aligned.truncated == 1
    assert words_from_predictions(aligned, [0, 1, 2, 0]) == [1, 0, 2]


def test_mismatched_words_and_tags_are_refused(tokenizer: Any) -> None:
    with pytest.raises(ValueError, match="2 words but 1 tags"):
        align(["a", "b"], [0], tokenizer, 8)
    with pytest.raises(ValueError, match="3 predictions for 4 pieces"):
        words_from_predictions(align(["a", "film"], [0, 0], tokenizer, 8), [0, 0, 0])
    with pytest.raises(ValueError, match="fast tokenizer"):
        align(["a"], [0], object(), 8)


def _corpus() -> tuple[list[list[str]], list[list[int]], list[list[int]]]:
    """400 sentences, about 15 % of the words in entities, and a tagger that is right about nine entities of ten."""
    rng = random.Random(7)
    words, gold, predicted = [], [], []
    for _ in range(400):
        sentence: list[str] = []
        right: list[int] = []
        given: list[int] = []
        for _ in range(rng.randint(5, 15)):
            if rng.random() < 0.105:  # an entity of 1 to 2 long words
                tags = [1, 2][: rng.choice([1, 2, 2])]
                sentence += [rng.choice(["borrower", "lender", "xavier"]) for _ in tags]
                right += tags
                given += tags if rng.random() < 0.9 else [0, *tags[1:]]
            else:
                sentence.append(rng.choice(["the", "film", "was", "very", "good"]))
                right.append(0)
                given.append(1 if rng.random() < 0.008 else 0)
        words.append(sentence)
        gold.append(right)
        predicted.append(given)
    return words, gold, predicted


def test_counting_o_and_padding_would_turn_an_f1_of_091_into_097_and_we_count_neither(tokenizer: Any) -> None:
    words, gold, predicted = _corpus()
    share = sum(tag != 0 for tags in gold for tag in tags) / sum(map(len, gold))
    assert 0.13 < share < 0.17
    names = [[[LABELS[tag] for tag in tags] for tags in side] for side in (gold, predicted)]
    ours = entity_f1(*names)
    assert ours == pytest.approx(0.91, abs=0.01)

    # the error: every position of the padded batch is a class, O and padding among them
    longest = max(map(len, gold))
    padded = [[tag for tags in side for tag in tags + [0] * (longest - len(tags))] for side in (gold, predicted)]
    assert f1_score(*padded, average="micro") > 0.97
    without_padding = [[tag for tags in side for tag in tags] for side in (gold, predicted)]
    assert f1_score(*without_padding, average="micro") > 0.97

    # ours through the whole path: sub-words, special tokens and padding added, then taken away
    through = []
    for sentence, given in zip(words, predicted, strict=True):
        aligned = align(sentence, given, tokenizer, 256)
        noisy = [1 if label == IGNORE else label for label in aligned.labels]  # whatever the model says there
        through.append([LABELS[tag] for tag in words_from_predictions(aligned, noisy)])
    assert entity_f1(names[0], through) == ours


def test_unaligned_labels_would_ruin_a_perfect_tagger_and_ours_are_aligned(tokenizer: Any) -> None:
    words, gold, _ = _corpus()
    names = [[LABELS[tag] for tag in tags] for tags in gold]
    aligned_back, unaligned = [], []
    for sentence, tags in zip(words, gold, strict=True):
        aligned = align(sentence, tags, tokenizer, 256)
        perfect = [0 if label == IGNORE else label for label in aligned.labels]  # right on every labelled piece
        aligned_back.append([LABELS[tag] for tag in words_from_predictions(aligned, perfect)])
        # the error: piece i is taken for word i, so [CLS] and every cut word shift the rest
        unaligned.append([LABELS[tag] for tag in perfect[: len(sentence)]])
    assert entity_f1(names, aligned_back) == 1.0
    assert entity_f1(names, unaligned) < 0.2
