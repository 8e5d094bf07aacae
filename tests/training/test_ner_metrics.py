"""Strict entity scores: known answers, and our counts against seqeval's totals."""

from __future__ import annotations

import random

import pytest
from seqeval.metrics import classification_report
from seqeval.scheme import IOB2

from training.ner_metrics import entity_f1, entity_scores, f1_of_counts, span_counts, spans

TAGS = ("O", "B-PER", "I-PER", "B-ORG", "I-ORG")


def test_spans_of_strict_bio() -> None:
    assert spans(["B-PER", "I-PER", "O", "B-ORG", "B-ORG"]) == {("PER", 0, 2), ("ORG", 3, 4), ("ORG", 4, 5)}
    assert spans(["O", "I-PER", "I-PER"]) == set()
    assert spans(["B-PER", "I-ORG", "I-ORG"]) == {("PER", 0, 1)}
    assert spans([]) == set()


def test_a_wrong_edge_or_type_is_one_false_positive_and_one_false_negative() -> None:
    gold = ["B-PER", "I-PER", "O", "B-ORG"]
    assert span_counts(gold, gold) == (2, 0, 0)
    assert span_counts(gold, ["B-PER", "O", "O", "B-ORG"]) == (1, 1, 1)
    assert span_counts(gold, ["B-ORG", "I-ORG", "O", "B-ORG"]) == (1, 1, 1)
    assert span_counts(gold, ["O"] * 4) == (0, 0, 2)


def test_hand_counted_averages() -> None:
    gold = [["B-PER", "O", "B-ORG"], ["B-PER", "I-PER", "O"]]
    given = [["B-PER", "O", "O"], ["B-PER", "O", "O"]]
    scores = entity_scores(gold, given)
    assert scores.types["PER"].f1 == pytest.approx(0.5)
    assert scores.types["ORG"].f1 == 0
    assert scores.types["PER"].support == 2
    assert (scores.micro.precision, scores.micro.recall) == (0.5, pytest.approx(1 / 3))
    assert scores.micro.f1 == pytest.approx(0.4)
    assert scores.macro.f1 == pytest.approx(0.25)
    assert scores.weighted.f1 == pytest.approx(1 / 3)


def test_nothing_to_find_and_nothing_found_is_zero_and_no_warning() -> None:
    assert entity_f1([["O", "O"]], [["O", "O"]]) == 0
    assert entity_f1([["O", "O"]], [["B-PER", "O"]]) == 0
    assert entity_f1([["B-PER", "O"]], [["O", "O"]]) == 0
    assert f1_of_counts(0, 0, 0) == 0


@pytest.mark.parametrize("seed", range(20))
def test_our_counts_equal_seqevals_totals_on_any_tags(seed: int) -> None:
    rng = random.Random(seed)
    gold = [["O", "B-PER", "B-ORG"]]  # so that both types and all averages exist
    given = [["B-PER", "B-PER", "B-ORG"]]
    for _ in range(40):
        length = rng.randint(1, 10)
        gold.append([rng.choice(TAGS) for _ in range(length)])
        given.append([tag if rng.random() < 0.7 else rng.choice(TAGS) for tag in gold[-1]])
    counts = [span_counts(g, p) for g, p in zip(gold, given, strict=True)]
    hits, extra, missed = (sum(column) for column in zip(*counts, strict=True))
    report = classification_report(gold, given, mode="strict", scheme=IOB2, output_dict=True)
    assert hits / (hits + extra) == pytest.approx(report["micro avg"]["precision"])
    assert hits / (hits + missed) == pytest.approx(report["micro avg"]["recall"])
    assert hits + missed == report["micro avg"]["support"]
    assert f1_of_counts(hits, extra, missed) == pytest.approx(entity_f1(gold, given))


def test_lists_of_different_length_are_refused() -> None:
    with pytest.raises(ValueError, match="sentence 2: 1 gold tags but 2"):
        entity_f1([["O"], ["O"]], [["O"], ["O", "O"]])
    with pytest.raises(ValueError, match="1 gold sentences but 2"):
        entity_f1([["O"]], [["O"], ["O"]])
