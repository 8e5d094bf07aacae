"""Many comparisons at once: corrections, suite-wide drift, ranks and groups."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import bdtr

# of more groups no letters are made: nobody could read them
MOST_GROUPS = 200


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down adjusted p values, in the order given; they control the family-wise error rate."""
    values = np.asarray(p_values, dtype=np.float64)
    rising = np.argsort(values, kind="stable")
    adjusted = np.empty_like(values)
    steps = np.minimum(1.0, np.arange(len(values), 0, -1) * values[rising])
    adjusted[rising] = np.maximum.accumulate(steps)
    return [float(one) for one in adjusted]


def benjamini_hochberg(p_values: Sequence[float]) -> list[float]:
    """Benjamini and Hochberg's (1995) step-up adjusted p values, in the order given: the false discovery rate."""
    count = len(p_values)
    adjusted, smallest = [1.0] * count, 1.0
    for rank, index in zip(
        range(count, 0, -1), sorted(range(count), key=lambda i: p_values[i], reverse=True), strict=True
    ):
        smallest = min(smallest, p_values[index] * count / rank)
        adjusted[index] = smallest
    return adjusted


@dataclass(frozen=True)
class Signs:
    """How many differences are below, above and equal to zero, their mean, and the sign test's two-sided p."""

    down: int
    up: int
    equal: int
    mean: float
    p: float


def sign_test(differences: Sequence[float]) -> Signs:
    """The exact sign test over independent differences; equal ones are in the mean and the counts, not in the test.

    Raises ValueError for no difference at all.
    """
    if not len(differences):
        raise ValueError("a sign test needs at least one difference")
    down, up = sum(one < 0 for one in differences), sum(one > 0 for one in differences)
    p = min(1.0, 2 * float(bdtr(min(down, up), down + up, 0.5))) if down + up else 1.0
    return Signs(down, up, len(differences) - down - up, sum(differences) / len(differences), p)


def rank_intervals(values: Sequence[float], distinct: Collection[tuple[int, int]]) -> list[tuple[int, int]]:
    """(best, worst) rank that each arm can have, 1 being the highest value.

    `distinct` holds the pairs (i, j), i < j, whose difference is proven after a correction over all pairs. An arm is
    behind those proven better and before those proven worse; the others may stand either way. Where the correction
    holds the family-wise error rate, so do all intervals together.
    """
    better, worse = [0] * len(values), [0] * len(values)
    for pair in distinct:
        low, high = sorted(pair, key=lambda arm: values[arm])
        if values[low] < values[high]:
            better[low] += 1
            worse[high] += 1
    return [(1 + above, len(values) - below) for above, below in zip(better, worse, strict=True)]


def letters(count: int, distinct: Collection[tuple[int, int]]) -> list[str]:
    """The compact letter display of `count` arms, in order of merit: two arms share a letter unless they are distinct.

    Insert and absorb (Piepho 2004, An algorithm for a letter-based representation of all-pairwise comparisons, Journal
    of Computational and Graphical Statistics 13(2)). After `z` comes `aa`. Raises ValueError where more than
    `MOST_GROUPS` groups would be needed.
    """
    groups = [frozenset(range(count))] if count else []
    for i, j in sorted(distinct):
        split = [part for g in groups for part in ((g - {i}, g - {j}) if i in g and j in g else (g,))]
        unique = list(dict.fromkeys(split))
        groups = [g for g in unique if not any(g < other for other in unique)]
        if len(groups) > MOST_GROUPS:
            raise ValueError(f"more than {MOST_GROUPS} groups of arms that are not distinguishable")
    groups.sort(key=sorted)
    return [" ".join(_letter(k) for k, g in enumerate(groups) if i in g) for i in range(count)]


def _letter(position: int) -> str:
    first, last = divmod(position, 26)
    return (chr(ord("a") + first - 1) if first else "") + chr(ord("a") + last)
