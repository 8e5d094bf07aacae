"""How far an attribution moves: under edits of the text, between two models, between two methods. No torch.

Agreement is given twice, because ranks over many unimportant words hide what happens at the top: Kendall's
tau-b of the signed scores over all words compared, and the overlap of the TOP_SHARE most important ones by size.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

import numpy as np
from numpy.typing import NDArray

TOP_SHARE = 0.2
"""Share of the words, rounded up, that counts as the top of an attribution (the project's choice)."""

RANDOMISATION_GATE = 0.5
"""tau-b with a randomised model above which an attribution does not depend on what was learnt (the project's
choice; the source gives none)."""

_FEWEST_WORDS = 3  # words both sides must share before a rank correlation is given

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Drift:
    """Agreement of two attributions over the words both texts share.

    tau: Kendall's tau-b in [-1, 1], or None where fewer than 3 words are shared or the scores do not vary.
    overlap: see top_overlap, None likewise. words: how many words are unedited. coverage: words over the
    words of the longer text, in [0, 1]: what the two numbers do not see.
    """

    tau: float | None
    overlap: float | None
    words: int
    coverage: float


def drift(
    words: Sequence[str],
    scores: Sequence[float],
    edited_words: Sequence[str],
    edited_scores: Sequence[float],
    pairs: Sequence[tuple[int, int]] | None = None,
) -> Drift:
    """Compare the attribution of a text with that of its edited version, over the unedited words.

    pairs: their positions (in the text, in its edited version), where they are known; None aligns the words by position
    with difflib: swaps, insertions and deletions are left out. Both attributions should explain the same target.
    Raises ValueError on unequal numbers of words and scores.
    """
    if len(words) != len(scores) or len(edited_words) != len(edited_scores):
        raise ValueError("drift: give one score per word, for both texts")
    pairs = unedited(words, edited_words) if pairs is None else pairs
    before = [float(scores[a]) for a, _ in pairs]
    after = [float(edited_scores[b]) for _, b in pairs]
    longest = max(len(words), len(edited_words), 1)
    return Drift(rank_agreement(before, after), top_overlap(before, after), len(pairs), len(pairs) / longest)


def unedited(words: Sequence[str], edited_words: Sequence[str]) -> list[tuple[int, int]]:
    """Positions (in the text, in its edited version) of the words that both share, in reading order."""
    matcher = SequenceMatcher(a=list(words), b=list(edited_words), autojunk=False)
    return [(block.a + i, block.b + i) for block in matcher.get_matching_blocks() for i in range(block.size)]


def rank_agreement(one: Sequence[float], two: Sequence[float]) -> float | None:
    """Kendall's tau-b in [-1, 1]; None with fewer than 3 words, or where one side does not vary.

    From all pairs of words: for the lengths of texts a tenth of what a sort and its bookkeeping take.
    """
    first, second = _pair(one, two)
    if len(first) < _FEWEST_WORDS or np.ptp(first) == 0 or np.ptp(second) == 0:
        return None
    (one_way, other_way) = (np.sign(side[:, None] - side[None, :]) for side in (first, second))
    # (concordant - discordant) / sqrt(untied in the first x untied in the second), each pair counted twice
    untied = math.sqrt(np.abs(one_way).sum() * np.abs(other_way).sum())
    return min(1.0, max(-1.0, float((one_way * other_way).sum()) / untied))


def top_overlap(one: Sequence[float], two: Sequence[float], share: float = TOP_SHARE) -> float | None:
    """(o - c) / (1 - c): o the share of top words in common, c = k / n what chance gives, k = ceil(share * n).

    1 where both have the same top words, 0 at chance, negative below it. Top words are those of largest
    |score|; tied words share the places they compete for. None with fewer than 3 words, where one side does
    not vary, or where every word is a top word.
    """
    first, second = (np.abs(side) for side in _pair(one, two))
    count = len(first)
    k = math.ceil(share * count - 1e-9)
    if count < _FEWEST_WORDS or k >= count or np.ptp(first) == 0 or np.ptp(second) == 0:
        return None
    observed = float((top_places(first, k) * top_places(second, k)).sum()) / k
    chance = k / count
    return (observed - chance) / (1 - chance)


def top_places(values: Sequence[float] | Floats, k: int) -> Floats:
    """Each word's probability to be among the k largest, ties drawn at random; sums to k. 0 <= k <= n."""
    numbers = np.asarray(values, dtype=np.float64)
    if not 0 <= k <= numbers.size:
        raise ValueError(f"k is {k}: give 0 to {numbers.size}, the number of words")
    if k == 0:
        return np.zeros(numbers.size)
    bar = np.sort(numbers)[::-1][k - 1]
    above, tied = numbers > bar, numbers == bar
    return above + tied * (k - above.sum()) / tied.sum()


@dataclass(frozen=True)
class Worst:
    """Several drifts of one text: mean and smallest tau, mean overlap and coverage, over `edits` edits.

    None where no edit has a value.
    """

    mean: float | None
    worst: float | None
    overlap: float | None
    coverage: float | None
    edits: int


def over_edits(drifts: Sequence[Drift]) -> Worst:
    """What the drifts of one text's edits add up to. The smallest of more edits is smaller: compare equal numbers."""
    taus = [one.tau for one in drifts if one.tau is not None]
    overlaps = [one.overlap for one in drifts if one.overlap is not None]
    return Worst(
        mean=float(np.mean(taus)) if taus else None,
        worst=min(taus) if taus else None,
        overlap=float(np.mean(overlaps)) if overlaps else None,
        coverage=float(np.mean([one.coverage for one in drifts])) if drifts else None,
        edits=len(drifts),
    )


def method_agreement(scores: Mapping[str, Sequence[float]], name: str, leave_out: Sequence[str] = ()) -> float | None:
    """Mean tau-b of one method's scores of a text with every other method's; None where there is no other.

    Methods that disagree are not wrong for it (Krishna et al., "The Disagreement Problem in Explainable
    Machine Learning", 2022, arXiv 2202.01602), and methods that agree may be wrong together: no direction is
    better. leave_out: controls, which agree with nothing.
    """
    others = [other for other in scores if other != name and other not in leave_out]
    found = [rank_agreement(scores[name], scores[other]) for other in others]
    known = [tau for tau in found if tau is not None]
    return float(np.mean(known)) if known else None


def passes_randomisation(tau: float | None) -> bool | None:
    """Whether an attribution changed enough when the weights were randomised; None where tau is unknown.

    tau: rank_agreement of the trained and the randomised model's attributions of one text. The test is
    Adebayo et al., "Sanity Checks for Saliency Maps", 2018, arXiv 1810.03292.
    """
    return None if tau is None else tau <= RANDOMISATION_GATE


def _pair(one: Sequence[float], two: Sequence[float]) -> tuple[Floats, Floats]:
    first, second = np.asarray(one, dtype=np.float64), np.asarray(two, dtype=np.float64)
    if first.shape != second.shape or first.ndim != 1:
        raise ValueError(f"{first.size} scores and {second.size}: give two lists of equal length")
    return first, second
