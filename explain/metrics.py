"""Scores of attributions: pure functions of arrays and of one callable, no torch.

The callable is `margins(keep) -> (m,) floats`: keep is an (m, n) bool array, one row per question, True where
a word stays and False where it is masked; the answer is the logit margin f of that input. Wrap it in
MaskCache so that no mask is ever asked twice.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from explain.search import Search, best_gap, prefix_masks

COMPLETENESS_GATE = 0.05
"""Completeness error above which integrated scores are not to be trusted (a ratio; the project's choice)."""

CORRELATION_SUBSETS = 50
"""Random sets of words in a faithfulness correlation (the project's choice)."""

_SMALLEST_DIFFERENCE = 1e-6  # logits; float32 noise of a margin, below which a ratio means nothing
_FEWEST_WORDS = 3  # words a text must have before a correlation is given

Floats = NDArray[np.float64]
Masks = NDArray[np.bool_]


class MaskCache:
    """Answers for masks, each computed once.

    evaluate: (m, n) bool -> (m,) or (m, k) floats. `forwards` counts the rows really evaluated.
    """

    def __init__(self, evaluate: Callable[[Masks], NDArray[np.floating]]) -> None:
        self._evaluate = evaluate
        self._known: dict[bytes, Floats] = {}

    @property
    def forwards(self) -> int:
        """Different masks evaluated so far."""
        return len(self._known)

    def __call__(self, keep: Masks) -> Floats:
        """(m, n) bool -> (m,) or (m, k) float64, in the order asked; new rows go in one call."""
        keys = [row.tobytes() for row in np.ascontiguousarray(keep, dtype=np.bool_)]
        fresh = {key: row for row, key in enumerate(keys) if key not in self._known}
        if fresh:
            rows = list(fresh.values())
            answers = np.asarray(self._evaluate(keep[rows]), dtype=np.float64)
            self._known.update(zip(fresh, answers, strict=True))
        return np.array([self._known[key] for key in keys])


def completeness_error(scores: Sequence[float], margin: float, baseline_margin: float) -> float:
    """|sum(scores) - (f(x) - f(x'))| / max(|f(x) - f(x')|, 1e-6): 0 is exact, above COMPLETENESS_GATE fails."""
    gap = margin - baseline_margin
    return abs(float(np.sum(scores)) - gap) / max(abs(gap), _SMALLEST_DIFFERENCE)


def passes_gate(error: float | None) -> bool | None:
    """Whether a completeness error is within the gate; None where the method promises no sum."""
    return None if error is None else error <= COMPLETENESS_GATE


def orders(scores: Sequence[float], seed: int) -> list[list[int]]:
    """Word positions, highest score first: one order, or two where scores tie.

    Ties follow a permutation seeded by `seed`, once as drawn and once reversed; metrics average the two. So
    a constant attribution is not given the reading order for free (its gap is exactly zero), and negating
    scores reverses the orders. Raises ValueError on no scores or scores that are not finite.
    """
    values = np.asarray(scores, dtype=np.float64)
    if values.ndim != 1 or not values.size or not np.isfinite(values).all():
        raise ValueError("scores: give one finite number per word, one word at least")
    key = np.random.default_rng(seed).permutation(values.size)
    first = np.lexsort((key, -values)).tolist()
    if np.unique(values).size == values.size:
        return [first]
    return [first, np.lexsort((-key, -values)).tolist()]


def faithfulness_gap(margins: Callable[[Masks], Floats], order: Sequence[int]) -> float:
    """D(p) = A(p) - A(reverse p), A(p) = mean over k = 1..n of f(x) - f(x without the first k words), in logits.

    Masking the last n-k words keeps the first k, so D(p) = (1/n) sum over k = 1..n-1 of
    f(first k words kept) - f(first k words masked): comprehensiveness and sufficiency in one number.
    """
    keep = prefix_masks(order)[1:-1]
    if not len(keep):
        return 0.0
    values = margins(np.concatenate([keep, ~keep]))
    return float((values[: len(keep)] - values[len(keep) :]).sum() / len(order))


def dnaopc(
    margins: Callable[[Masks], Floats],
    scores: Sequence[float],
    seed: int,
    search: Search | None = None,
    limit: tuple[float, float] | None = None,
) -> float | None:
    """The headline, in [-1, 1], higher is better: D(scores' order) / max over orders of D.

    Normalising AOPC by the limits a model and text allow, found by exact or beam search, is Edin et al.,
    "Normalized AOPC: Fixing Misleading Faithfulness Metrics for Feature Attribution Explainability", 2024,
    arXiv 2408.08137. Ours: the difference D in place of comprehensiveness and sufficiency apart, on the logit
    margin (so that logits times a constant change nothing), ties averaged over two orders, and a cheaper
    search (explain.search). D of a reversed order is -D, so random orders have mean zero, negated scores the
    negated value, and one search gives both limits. The evaluated orders always take part in the maximum.
    limit: what explain.search.best_gap found, where it is known; it depends on no scores.
    None where no order matters: a single word, or a margin that no mask moves.
    """
    found = orders(scores, seed)
    best, size = best_gap(margins, len(scores), search or Search()) if limit is None else limit
    gaps = [faithfulness_gap(margins, order) for order in found]
    best = max(best, *(abs(gap) for gap in gaps))
    if best <= 1e-6 * size:  # relative, so that the scale of the logits decides nothing
        return None
    return float(np.mean(gaps)) / best


def aopc(full: float, after: Sequence[float] | Floats, bins: Sequence[float] | None = None) -> float:
    """Mean of full - after[k-1] over prefixes k = 1..n, or over k = ceil(share * n) for shares in `bins`.

    With `after` the target's probability without the top k words this is AOPC comprehensiveness (higher is
    better); with only the top k words kept, AOPC sufficiency (lower is better): DeYoung et al., "ERASER",
    2020, arXiv 1911.03429. They average few bins of tokens; the default here is every prefix of words.
    Both move with confidence alone: show them, rank nothing by them. Range [-1, 1].
    """
    values = np.asarray(after, dtype=np.float64)
    if values.ndim != 1 or not values.size:
        raise ValueError("after: give one value per prefix, one at least")
    if bins is None:
        return float(full - values.mean())
    if not len(bins) or any(not 0 < share <= 1 for share in bins):
        raise ValueError(f"bins {list(bins)}: give shares above 0 and at most 1, such as 0.05 or 0.5")
    # the small step back keeps 0.1 * 30 at 3, where floats say 3.0000000000000004
    counts = [max(1, int(np.ceil(share * values.size - 1e-9))) for share in bins]
    return float(full - np.mean([values[count - 1] for count in counts]))


def comprehensiveness(
    probability: Callable[[Masks], Floats], order: Sequence[int], bins: Sequence[float] | None = None
) -> float:
    """AOPC comprehensiveness of one order (see aopc); probability: (m, n) keep masks -> (m,) in [0, 1]."""
    keep = ~prefix_masks(order)
    values = probability(keep)
    return aopc(float(values[0]), values[1:], bins)


def sufficiency(
    probability: Callable[[Masks], Floats], order: Sequence[int], bins: Sequence[float] | None = None
) -> float:
    """AOPC sufficiency of one order (see aopc); probability: (m, n) keep masks -> (m,) in [0, 1]."""
    keep = prefix_masks(order)
    values = probability(keep)
    return aopc(float(values[-1]), values[1:], bins)


def masked_keeps_class(full: Sequence[float] | Floats, masked: Sequence[float] | Floats) -> bool:
    """Whether the text with every word masked keeps the predicted class; both are logits or probabilities."""
    return int(np.argmax(full)) == int(np.argmax(masked))


def faithfulness_correlation(
    margins: Callable[[Masks], Floats], scores: Sequence[float], seed: int, subsets: int = CORRELATION_SUBSETS
) -> float | None:
    """Pearson's r in [-1, 1], over random sets S of words, of sum of scores in S with f(x) - f(x without S).

    "Faithfulness" of Bhatt, Weller and Moura, "Evaluating and Aggregating Feature-based Model Explanations",
    2020, arXiv 2005.00631. Theirs has sets of one fixed size; ours holds a fifth of the words (rounded up), so
    that masked texts stay near real ones, and f is the logit margin, so that logits times a constant change
    nothing. seed: draws the sets, the same for every explainer of a text. None with fewer than 3 words, or
    where the scores or the margins do not vary over the sets.
    """
    words = len(scores)
    if words < _FEWEST_WORDS:
        return None
    rng = np.random.default_rng((seed, 1))  # not the stream that an explainer may draw its scores from
    size = int(np.ceil(words / 5))
    masked = np.zeros((subsets, words), dtype=np.bool_)
    for row in masked:
        row[rng.permutation(words)[:size]] = True
    values = margins(np.concatenate([np.ones((1, words), dtype=np.bool_), ~masked]))
    sums, drops = masked @ np.asarray(scores, dtype=np.float64), values[0] - values[1:]
    noise = 1e-6 * np.abs(values).max()  # relative, so that the scale of the logits decides nothing
    if np.ptp(sums) <= 1e-9 * np.abs(sums).max() or np.ptp(drops) <= noise:
        return None
    return float(np.corrcoef(sums, drops)[0, 1])


def effective_words(scores: Sequence[float]) -> float | None:
    """exp(entropy of |scores| / sum |scores|), in [1, n]: how many words an attribution is spread over.

    The exponential of what Bhatt et al. (see faithfulness_correlation) call complexity: k words of equal size
    and nothing elsewhere give k. Fewer is easier to read, not better. None where all scores are zero.
    """
    sizes = np.abs(np.asarray(scores, dtype=np.float64))
    if not sizes.sum() > 0:
        return None
    shares = sizes[sizes > 0] / sizes.sum()
    return float(np.exp(-(shares * np.log(shares)).sum()))


@dataclass(frozen=True)
class Curves:
    """The probability of the explained class as words go and come, at 0..n words in the attribution's order.

    deletion: the first k words masked. insertion: only the first k words kept. The `_low` and `_high` rows hold
    the middle 90 % of random orders, per k. All are (n + 1,) in [0, 1]. They move with confidence alone: look at
    them, rank nothing by them.
    """

    deletion: Floats
    insertion: Floats
    deletion_low: Floats
    deletion_high: Floats
    insertion_low: Floats
    insertion_high: Floats
