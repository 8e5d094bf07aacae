"""What two arms' paired outcomes or their difference say: other tests, non-inferiority, sizes of effects."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from scipy.special import bdtr

from bench.stats.components import Array, known
from bench.stats.paired import ROUNDS, Difference, known_pairs

NonInferiority = Literal["shown", "refuted", "open"]


def permutation(
    a: Array,
    b: Array,
    *,
    a_weight: Array | None = None,
    b_weight: Array | None = None,
    seed: int = 0,
    rounds: int = ROUNDS,
) -> float | None:
    """Two-sided p of the paired permutation test: per example, the two arms' outcomes of all seeds change places.

    A cross-check of the bootstrap that assumes no distribution. It takes the given seeds as all there are, so it speaks
    of these models and not of the arms: its p is the smaller one where seeds differ. With the + 1 correction, so
    never 0; None when no pair is known.
    """
    arrays = known_pairs(a, b, a_weight, b_weight)
    if arrays is None:
        return None
    first, second, first_weight, second_weight = (array.sum(axis=0) for array in arrays)
    swapped, swapped_weight = second - first, second_weight - first_weight
    observed = abs(second.sum() / second_weight.sum() - first.sum() / first_weight.sum())
    rng, extreme = np.random.default_rng(seed), 0
    step = max(1, 4_000_000 // first.size)
    for start in range(0, rounds, step):
        flips = rng.integers(0, 2, size=(min(step, rounds - start), first.size)).astype(np.float64)
        moved, moved_weight = flips @ swapped, flips @ swapped_weight
        with np.errstate(invalid="ignore", divide="ignore"):
            left = (first.sum() + moved) / (first_weight.sum() + moved_weight)
            right = (second.sum() - moved) / (second_weight.sum() - moved_weight)
        found = np.nan_to_num(np.abs(right - left), nan=0.0, posinf=0.0)
        extreme += int((found >= observed * (1 - 1e-12)).sum())
    return (extreme + 1) / (rounds + 1)


def mcnemar(a: Sequence[bool] | Array, b: Sequence[bool] | Array) -> float:
    """Exact two-sided p of McNemar's test for paired binary outcomes of one seed; 1 when no pair differs."""
    first, second = np.asarray(a, dtype=bool), np.asarray(b, dtype=bool)
    if first.shape != second.shape:
        raise ValueError(f"the two arms have {first.size} and {second.size} outcomes; they must be paired")
    lost, gained = int((first & ~second).sum()), int((~first & second).sum())
    if lost + gained == 0:
        return 1.0
    return float(min(1.0, 2 * bdtr(min(lost, gained), lost + gained, 0.5)))


def non_inferiority(difference: Difference, margin: float, direction: Literal["higher", "lower"]) -> NonInferiority:
    """Is the second arm worse by no more than `margin` (>= 0, in the metric's unit)?

    `shown`: the unfavourable end of the interval is within the margin, a one-sided test at (1 - level) / 2. `refuted`:
    the whole interval is beyond it. Two arms that agree in every outcome are `shown`. Several such claims that must all
    hold need no correction: each is tested at its level, and all are only claimed together.
    """
    if margin < 0:
        raise ValueError(f"the margin is {margin}; it must be 0 or more")
    if difference.low is None or difference.high is None:
        return "shown" if difference.value == 0 else "open"
    sign = 1.0 if direction == "higher" else -1.0
    worst, best = sorted((sign * difference.low, sign * difference.high))
    return "shown" if worst >= -margin else "refuted" if best < -margin else "open"


def cohen_h(before: float, after: float) -> float:
    """Effect size of two shares in [0, 1]: 2 asin sqrt(after) - 2 asin sqrt(before); 0.2 small, 0.5 medium, 0.8 large.

    The cut-offs are Cohen's (1988, Statistical power analysis for the behavioral sciences, chapter 6).
    """
    return float(2 * np.arcsin(np.sqrt(after)) - 2 * np.arcsin(np.sqrt(before)))


def standardised(a: Array, b: Array) -> float | None:
    """The mean difference b - a over the standard deviation of the examples' differences (means over seeds).

    Cohen's d for paired samples; None where all examples differ alike.
    """
    first, second = known(a, b)
    differences = (second - first).mean(axis=0)
    deviation = float(differences.std(ddof=1)) if differences.size > 1 else 0.0
    return float(differences.mean()) / deviation if deviation > 1e-12 else None
