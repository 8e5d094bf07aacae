"""Two arms, or one arm of two releases, on the same seeds and the same examples."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.special import bdtr

from bench.stats.components import LEVEL, Array, Pool, Squares, examples_spread, known, spread, squares

ROUNDS = 10_000
CHUNK = 1_000_000  # drawn cells at once
NonInferiority = Literal["shown", "refuted", "open"]


@dataclass(frozen=True)
class Difference:
    """b - a with its interval (None: it cannot be known, no pair differs from any other) and two-sided p.

    With `seeds` == 1 it speaks of these two models only, not of the arms: examples alone were resampled.
    """

    value: float
    low: float | None
    high: float | None
    p: float
    n: int
    seeds: int


def paired_bootstrap(
    a: Array,
    b: Array,
    *,
    a_weight: Array | None = None,
    b_weight: Array | None = None,
    seed: int = 0,
    rounds: int = ROUNDS,
    level: float = LEVEL,
    lent: Pool | None = None,
) -> Difference | None:
    """Difference b - a of two arms scored on the same seeds and the same examples; None when no pair is known.

    Hierarchical paired bootstrap: every round draws seeds, then one set of examples for all of them (crossed). With
    weights the arms' statistic is sum(values) / sum(weights) (entity F1: values 2 tp, weights 2 tp + fp + fn), else
    the mean. Resampling both sides of a crossed table counts the residual three times (Owen 2007, The pigeonhole
    bootstrap, Annals of Applied Statistics 1(2)) and a few seeds have no tails to resample; so the draws are scaled
    to the unbiased random-effects variance of the linearised differences (`components.spread`, to which `lent` gives
    the spread of other arms over seeds), and the result is never narrower, and p never smaller, than that spread's.
    p carries the + 1 correction (Davison and Hinkley 1997, section 4.2.1), so it is never 0.
    """
    arrays = _arrays(a, b, a_weight, b_weight)
    if arrays is None:
        return None
    seeds, n = arrays[0].shape
    value, parts = _linearised(*arrays)
    if n < 2 or not np.any(parts):
        return Difference(value, None, None, 1.0, n, seeds)
    noise = spread(squares(parts), lent) if seeds > 1 else examples_spread(parts)
    draws = _resample(arrays, seed, rounds, weighted=a_weight is not None or b_weight is not None)
    deviation = float(draws.std())
    if deviation > 0 and noise.variance > 0:
        draws = value + (draws - draws.mean()) * np.sqrt(noise.variance) / deviation
    p = 2 * (min((draws <= 0).sum(), (draws >= 0).sum()) + 1) / (rounds + 1)
    if noise.variance <= 0:
        return Difference(value, None, None, min(1.0, float(p)), n, seeds)
    half = noise.half_width(level)
    low, high = _widened(draws, level, float(value - half), float(value + half))
    return Difference(value, low, high, min(1.0, max(float(p), noise.p(value))), n, seeds)


def paired_squares(
    a: Array, b: Array, *, a_weight: Array | None = None, b_weight: Array | None = None
) -> Squares | None:
    """The mean squares of the linearised difference b - a; None without two known seeds and two known examples."""
    arrays = _arrays(a, b, a_weight, b_weight)
    if arrays is None or min(arrays[0].shape) < 2:
        return None
    return squares(_linearised(*arrays)[1])


def influence(values: Array, weights: Array | None = None) -> Array:
    """One arm's linearised statistic per (seed, example), unknown cells left out: what its mean squares are made of."""
    top, bottom = known(values, np.ones_like(values) if weights is None else weights)
    if not bottom.size or bottom.sum() <= 0:
        return np.empty((0, 0))
    return (top - top.sum() / bottom.sum() * bottom) / bottom.mean()


def _arrays(a: Array, b: Array, a_weight: Array | None, b_weight: Array | None) -> tuple[Array, ...] | None:
    ones = np.ones_like(np.atleast_2d(np.asarray(a, dtype=np.float64)))
    arrays = known(a, b, ones if a_weight is None else a_weight, ones if b_weight is None else b_weight)
    known_pairs = arrays[0].size and arrays[2].sum() > 0 and arrays[3].sum() > 0
    return arrays if known_pairs else None


def _linearised(a: Array, b: Array, a_weight: Array, b_weight: Array) -> tuple[float, Array]:
    """(difference, per-cell influence whose mean is 0 apart from the difference itself)."""
    first, second = a.sum() / a_weight.sum(), b.sum() / b_weight.sum()
    parts = (b - second * b_weight) / b_weight.mean() - (a - first * a_weight) / a_weight.mean()
    return float(second - first), parts


def _resample(arrays: tuple[Array, ...], seed: int, rounds: int, *, weighted: bool) -> Array:
    """Differences of `rounds` resamples; every comparison of as many seeds and examples draws the same ones."""
    seeds, n = arrays[0].shape
    by_seed = _weights(seed, seeds, rounds, 0)
    parts = np.concatenate(arrays) if weighted else arrays[1] - arrays[0]
    draws = np.empty(rounds)
    step = max(1, CHUNK // n)
    for start in range(0, rounds, step):
        some = slice(start, start + step)
        by_example = (
            _weights(seed, n, rounds, 1) if step >= rounds else _counts(seed, n, rounds, 1)[:, some].astype(float)
        )
        sums = ((parts @ by_example).reshape(-1, seeds, by_example.shape[1]) * by_seed[:, some]).sum(axis=1)
        if not weighted:
            draws[some] = sums[0] / (seeds * n)
            continue
        with np.errstate(invalid="ignore", divide="ignore"):
            difference = sums[1] / sums[3] - sums[0] / sums[2]
        draws[some] = np.nan_to_num(difference, nan=0.0, posinf=0.0, neginf=0.0)
    return draws


@functools.lru_cache(8)
def _counts(seed: int, n: int, rounds: int, stream: int) -> Array:
    """(n, rounds) how often each of n things is drawn in n draws with replacement; read only.

    Drawn once for all comparisons of one size, which makes them paired and takes most of their time.
    """
    rng = np.random.default_rng((seed, stream))
    made = np.empty((n, rounds), dtype=np.uint8 if n < 256 else np.uint16)
    step = max(1, CHUNK // n)
    for start in range(0, rounds, step):
        size = min(step, rounds - start)
        places = rng.integers(0, n, size=(size, n)) + n * np.arange(size)[:, None]
        made[:, start : start + size] = np.bincount(places.ravel(), minlength=size * n).reshape(size, n).T
    made.flags.writeable = False
    return made


@functools.lru_cache(4)
def _weights(seed: int, n: int, rounds: int, stream: int) -> Array:
    """`_counts` of few things as floats, which a product needs; read only."""
    made = _counts(seed, n, rounds, stream).astype(np.float64)
    made.flags.writeable = False
    return made


def _widened(draws: Array, level: float, low: float, high: float) -> tuple[float, float]:
    """(low, high), or the quantiles of the draws where these are further out."""
    tail = (1 - level) / 2
    # most often they are not, and counting shows it in a tenth of the time of a quantile
    most = int(tail * (len(draws) - 1))
    if (draws < low).sum() > most or (draws > high).sum() > most:
        quantiles = np.quantile(draws, [tail, 1 - tail])
        return float(min(quantiles[0], low)), float(max(quantiles[1], high))
    return low, high


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
    arrays = _arrays(a, b, a_weight, b_weight)
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
