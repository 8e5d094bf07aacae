"""An attack on the explanation: near synonyms that keep the predicted class and move the attribution.

Ghorbani, Abid and Zou, "Interpretation of Neural Networks Is Fragile", 2019, arXiv 1710.10547, for images; for words
Ivankay et al., "Fooling Explanations in Text Classifiers", 2022, arXiv 2206.03178. Ours is the smallest of the kind: a
greedy search that in every round takes the one swap after which the attribution of the words left alone agrees least
with the text's own (tau-b). It knows the explainer and the model only by their answers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from explain import stability
from explain.attribution import Attribution

SHARE = 0.15  # of the words may be swapped, rounded up
TRIED = 24  # swaps of one round whose attribution is asked for, drawn by seed


@dataclass(frozen=True)
class Moved:
    """The text found, its tau-b with the original's attribution (1 where nothing was found), words swapped, and how
    many attributions were asked for."""

    text: str
    tau: float
    swapped: int
    asked: int


def move(
    before: Attribution,
    synonyms: Callable[[str], Sequence[str]],
    predict: Callable[[list[str]], NDArray[np.int64]],
    attribute: Callable[[list[str]], list[Attribution]],
    seed: int,
) -> Moved | None:
    """Looks for the version of `before.text` whose attribution is furthest from it; None where tau-b is undefined.

    synonyms: words to put for one; predict: texts -> classes; attribute: texts -> attributions of `before.target`.
    Only versions with the class `before.target` count.
    """
    if stability.rank_agreement(before.scores, before.scores) is None:
        return None
    words, rng = before.text.split(), np.random.default_rng(seed)
    best, left, asked = Moved(" ".join(words), 1.0, 0, 0), math.ceil(SHARE * len(words)), 0
    untouched = list(range(len(words)))
    while left:
        swaps = [(place, new) for place in untouched for new in synonyms(words[place])]
        drawn = [swaps[row] for row in rng.permutation(len(swaps))[:TRIED]]
        texts = [" ".join([*words[:place], new, *words[place + 1 :]]) for place, new in drawn]
        kept = [row for row, one in enumerate(predict(texts) if texts else ()) if int(one) == before.target]
        taus = [_tau(before, one) for one in attribute([texts[row] for row in kept])] if kept else []
        asked += len(kept)
        place_in = int(np.argmin(taus)) if taus else 0
        if not taus or taus[place_in] >= best.tau:
            break
        place, new = drawn[kept[place_in]]
        words[place], left = new, left - 1
        untouched.remove(place)
        best = Moved(" ".join(words), taus[place_in], best.swapped + 1, asked)
    return Moved(best.text, best.tau, best.swapped, asked)


def _tau(before: Attribution, after: Attribution) -> float:
    found = stability.drift(before.words, before.scores, after.words, after.scores).tau
    return 1.0 if found is None else found
