"""Strict entity scores: an entity counts only with its exact first word, last word and type.

`O` is no class and never scored. Micro, macro and weighted averages and the scores per type come from seqeval
(strict mode, IOB2); the counts per sentence, which the records keep, come from `spans` and add up to the same
totals.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from seqeval.metrics import classification_report
from seqeval.scheme import IOB2

Tags = Sequence[str]


@dataclass(frozen=True)
class Score:
    """Precision, recall and F1 in 0..1 (0 where undefined); `support` is the number of gold entities."""

    precision: float
    recall: float
    f1: float
    support: int


@dataclass(frozen=True)
class EntityScores:
    """The averages over types, and each type by name."""

    micro: Score
    macro: Score
    weighted: Score
    types: dict[str, Score]


def entity_scores(gold: Sequence[Tags], predicted: Sequence[Tags]) -> EntityScores:
    """Strict scores of a corpus: one list of BIO tag names per sentence, one tag per word.

    Raises ValueError when a sentence's two lists differ in length.
    """
    _check_lengths(gold, predicted)
    if not any(tag != "O" for sentence in [*gold, *predicted] for tag in sentence):
        nothing = Score(0.0, 0.0, 0.0, 0)  # seqeval cannot average over no types
        return EntityScores(nothing, nothing, nothing, {})
    table = classification_report(
        [list(tags) for tags in gold],
        [list(tags) for tags in predicted],
        mode="strict",
        scheme=IOB2,
        output_dict=True,
        zero_division=0,
    )
    rows = {
        name: Score(float(r["precision"]), float(r["recall"]), float(r["f1-score"]), int(r["support"]))
        for name, r in table.items()
    }
    micro, macro, weighted = (rows.pop(f"{kind} avg") for kind in ("micro", "macro", "weighted"))
    return EntityScores(micro, macro, weighted, rows)


def entity_f1(gold: Sequence[Tags], predicted: Sequence[Tags]) -> float:
    """Strict micro F1 in 0..1; 0 where neither side has an entity."""
    return entity_scores(gold, predicted).micro.f1


def spans(tags: Tags) -> set[tuple[str, int, int]]:
    """Entities as (type, first word, word after the last). B- begins one; I- of its type goes on; a stray I-
    is none."""
    found: set[tuple[str, int, int]] = set()
    kind, start = "", 0
    for position, tag in enumerate([*tags, "O"]):
        prefix, _, name = tag.partition("-")
        if kind and (prefix != "I" or name != kind):
            found.add((kind, start, position))
            kind = ""
        if prefix == "B":
            kind, start = name, position
    return found


def span_counts(gold: Tags, predicted: Tags) -> tuple[int, int, int]:
    """(true positives, false positives, false negatives) of one sentence, strict."""
    _check_lengths([gold], [predicted])
    right, given = spans(gold), spans(predicted)
    hits = len(right & given)
    return hits, len(given) - hits, len(right) - hits


def f1_of_counts(true_positives: int, false_positives: int, false_negatives: int) -> float:
    """2 tp / (2 tp + fp + fn); 0 where nothing was there to find or was found."""
    total = 2 * true_positives + false_positives + false_negatives
    return 2 * true_positives / total if total else 0.0


def _check_lengths(gold: Sequence[Tags], predicted: Sequence[Tags]) -> None:
    if len(gold) != len(predicted):
        raise ValueError(f"{len(gold)} gold sentences but {len(predicted)} predicted ones")
    for number, (right, given) in enumerate(zip(gold, predicted, strict=True), start=1):
        if len(right) != len(given):
            raise ValueError(f"sentence {number}: {len(right)} gold tags but {len(given)} predicted ones")
