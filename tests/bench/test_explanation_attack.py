"""The attack on explanations, on a made-up explainer whose answers are known."""

from __future__ import annotations

import numpy as np
import pytest

from attacks import lexicon
from bench.explanations import explanation_attack
from bench.explanations.explanation_attack import move
from explain import stability
from explain.attribution import Attribution

TEXT = "one two three four five six seven eight nine ten"
SWAPS = {"two": ["twoish"], "five": ["fifth"], "nine": ["ninth"]}


def attribution(text: str) -> Attribution:
    """Scores fall along the text; `fifth` turns them round, `twoish` swaps the first and third word's."""
    words = tuple(text.split())
    scores = [float(len(words) - place) for place in range(len(words))]
    if "twoish" in words:
        scores[0], scores[2] = scores[2], scores[0]
    if "fifth" in words:
        scores = scores[::-1]
    return Attribution(text, words, tuple(scores), 1, 0, 1.0, 0.0, None, None)


def found(classes=lambda _: 1, **changes) -> explanation_attack.Moved | None:
    asked = {"before": attribution(TEXT), "synonyms": lambda word: SWAPS.get(word, []), "seed": 0} | changes
    return move(
        predict=lambda texts: np.array([classes(text) for text in texts]),
        attribute=lambda texts: [attribution(text) for text in texts],
        **asked,
    )


def test_the_swap_that_moves_most_is_taken_and_the_search_stops() -> None:
    got = found()
    assert got.text == "one two three four fifth six seven eight nine ten"
    assert (got.tau, got.swapped) == (pytest.approx(-1.0), 1)
    assert got.asked == 3 + 2  # every single swap, then the two that are left


def test_the_class_is_kept() -> None:
    got = found(classes=lambda text: 0 if "fifth" in text else 1)
    assert "twoish" in got.text
    assert "fifth" not in got.text
    assert (
        got.tau
        == stability.drift(TEXT.split(), attribution(TEXT).scores, got.text.split(), attribution(got.text).scores).tau
    )
    nothing = found(classes=lambda _: 0)
    assert (nothing.text, nothing.tau, nothing.swapped, nothing.asked) == (TEXT, 1.0, 0, 0)


def test_nothing_to_swap_and_nothing_to_compare() -> None:
    assert found(synonyms=lambda _: []) == explanation_attack.Moved(TEXT, 1.0, 0, 0)
    assert found(before=attribution("one two")) is None


@pytest.mark.resources
def test_real_synonyms_come_from_the_lexicon(resources) -> None:
    from bench import sources
    from bench.explanations import edits

    opened: lexicon.Lexicon = sources.open_lexicon(resources)
    near = edits.neighbours(opened)
    assert "movie" in near.of("film")
    assert near.of("the") == []
