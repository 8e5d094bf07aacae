"""The words that ought to matter: human rationales where the data has them, words of a sentiment lexicon elsewhere, and
of an entity its own words."""

from __future__ import annotations

import string
from collections.abc import Sequence

from bench.stages import Cell
from explain.attribution import Attribution
from explain.plausibility import corrected_average_precision, token_f1
from training.errors import UserError
from training.mitigations import _rationales
from training.task import Example

SENTIMENT = {"negative", "positive"}


def lexicon_words(cell: Cell) -> frozenset[str]:
    """The words with a sentiment, as the rationale mitigations know them; empty where a task is about something else,
    by the names of its labels, or the lexicon is not fetched."""
    if not {label.lower() for label in cell.task.labels} >= SENTIMENT:
        return frozenset()
    try:
        return _rationales.strong_words(cell.resource(_rationales.LEXICON))
    except UserError:
        return frozenset()


def plausibility(attribution: Attribution, example: Example, lexicon: frozenset[str]) -> dict[str, float | None]:
    """AP* and token F1 of one attribution against the text's human rationale and against the lexicon's words.

    A rationale justifies the label, so its scores count with their sign, and only where the label is what was
    predicted. The lexicon marks both sentiments, so there the sizes of the scores count.
    """
    human: Sequence[int] = example.rationale if example.label == attribution.target else ()
    words = tuple((example.text).split())
    # words the model did not see are cut off; where others are missing, no mark can be placed
    marks = human[: len(attribution.words)] if words[: len(attribution.words)] == attribution.words else ()
    strong = [int(_is_strong(word, lexicon)) for word in attribution.words] if lexicon else []
    sizes = [abs(score) for score in attribution.scores]
    return {
        "rationale_ap": corrected_average_precision(marks, attribution.scores) if marks else None,
        "rationale_f1": token_f1(marks, attribution.scores) if marks else None,
        "lexicon_ap": corrected_average_precision(strong, sizes) if strong else None,
        "lexicon_f1": token_f1(strong, sizes) if strong else None,
    }


def on_entity(scores: Sequence[float], first: int, last: int) -> dict[str, float | None]:
    """AP* and token F1 of the attribution of one entity against the words `first` to `last` that it consists of.

    People marked these words and no others; but a name can be known by its context alone, so neither is ranked.
    """
    marks = [int(first <= place <= last) for place in range(len(scores))]
    return {"own_words_ap": corrected_average_precision(marks, scores), "own_words_f1": token_f1(marks, scores)}


def _is_strong(word: str, lexicon: frozenset[str]) -> bool:
    # as written first: emoticons are made of punctuation
    return word.lower() in lexicon or word.lower().strip(string.punctuation) in lexicon
