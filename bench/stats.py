"""Intervals, paired tests and multiplicity control: pure functions of arrays, a leaf (numpy and scipy only).

Samples come as a (seeds, examples) array: every seed of an arm is scored on the same examples, so seeds and examples
are crossed random effects. NaN is unknown: a seed without any value is dropped, then every example that is unknown
for a remaining seed; `n` says how many examples were left. An interval that cannot be known is None, never zero wide.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import bdtr, ndtri, stdtr, stdtrit

Array = NDArray[Any]
LEVEL = 0.95
ROUNDS = 10_000
# A few seeds say little about their own spread, and where they happen to agree Satterthwaite's df is too bold. The cap
# trades false alarms against power. Simulated: 30 Holm-corrected cells of 3 seeds, nothing changed, give an alarm in
# 3 % (50 examples, seeds that differ by 0.3 logits), 2 % (200, 0.15) and 12 % (200, 0.3) of cases; without the cap in
# 4 %, 6 % and 21 %. A drop of 10 points in one of 30 cells (50 examples, other texts in every seed) is found in 86 %,
# with a cap of 8 in 43 %. Two seeds need 3 in all.
DF_PER_SEED = 16.0
TWO_SEEDS_DF = 3.0
# a sum of squares below this share of the values' own squares is rounding, not spread
ROUNDING = 1e-24


@dataclass(frozen=True)
class Interval:
    """An estimate with its two-sided interval; `low` and `high` are None where the interval is infinite.

    `n` counts examples (0 for one number per seed), `df` is the t distribution's degrees of freedom.
    """

    value: float | None
    low: float | None
    high: float | None
    n: int
    seeds: int
    df: float | None = None


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


def known(values: Array, *others: Array) -> tuple[Array, ...]:
    """The arrays (seeds, examples) without unknown seeds and then unknown examples, the same cells in each."""
    arrays = [np.atleast_2d(np.asarray(array, dtype=np.float64)) for array in (values, *others)]
    missing = np.any([np.isnan(array) for array in arrays], axis=0)
    seeds = ~missing.all(axis=1)
    examples = ~missing[seeds].any(axis=0)
    return tuple(array[seeds][:, examples] for array in arrays)


def mean_variance(values: Array) -> tuple[float, float]:
    """(variance of the grand mean, Satterthwaite degrees of freedom) of complete (seeds >= 2, examples >= 2) values.

    Two-way crossed random effects without replication: Var = (MS_seeds + MS_examples - MS_residual) / (S N), where a
    mean square below the residual's counts as the residual's (a variance component is not negative).
    """
    seeds, examples = values.shape
    grand = values.mean()
    by_seed, by_example = values.mean(axis=1), values.mean(axis=0)
    ms_seed = examples * np.square(by_seed - grand).sum() / (seeds - 1)
    ms_example = seeds * np.square(by_example - grand).sum() / (examples - 1)
    residual = values - by_seed[:, None] - by_example[None, :] + grand
    ms_residual = np.square(residual).sum() / ((seeds - 1) * (examples - 1))
    total = ms_residual + max(ms_seed - ms_residual, 0.0) + max(ms_example - ms_residual, 0.0)
    if total <= ROUNDING * max(float(np.square(values).max()), 1e-300):
        return 0.0, float(seeds - 1)
    squares = ms_residual**2 / ((seeds - 1) * (examples - 1))
    squares += ms_seed**2 / (seeds - 1) if ms_seed > ms_residual else 0.0
    squares += ms_example**2 / (examples - 1) if ms_example > ms_residual else 0.0
    df = max(total**2 / squares, 1.0)
    return total / (seeds * examples), float(min(df, DF_PER_SEED * (seeds - 1) if seeds > 2 else TWO_SEEDS_DF))


def mean_interval(
    values: Array, *, level: float = LEVEL, binary: bool = False, examples_only: bool = False
) -> Interval:
    """Mean of (seeds, examples) values with an interval for the arm: other seeds and other examples.

    `binary` values (0 or 1) get Wilson's form with the effective sample size p (1 - p) / Var, which keeps the interval
    inside [0, 1] and wider than zero. One seed, or one example, gives an infinite interval. `examples_only` takes the
    given seeds as all there are: then one seed is enough, and the interval speaks of these models only.
    """
    (data,) = known(values)
    seeds, n = data.shape
    if not data.size:
        return Interval(None, None, None, n, seeds)
    value = float(data.mean())
    if n < 2 or (seeds < 2 and not examples_only):
        return Interval(value, None, None, n, seeds)
    if examples_only:
        variance, df = float(np.var(data.mean(axis=0), ddof=1) / n), float(n - 1)
    else:
        variance, df = mean_variance(data)
    if binary:
        low, high = _wilson(value, variance, df, n, seeds, level)
    elif variance <= 0:
        return Interval(value, None, None, n, seeds)
    else:
        half = _t(level, df) * np.sqrt(variance)
        low, high = value - half, value + half
    return Interval(value, float(low), float(high), n, seeds, df)


def _wilson(p: float, variance: float, df: float, n: int, seeds: int, level: float) -> tuple[float, float]:
    """Wilson's interval (1927, equation for the roots in p) with an effective n and a t quantile."""
    if 0 < p < 1 and variance > 0:
        size, quantile = min(p * (1 - p) / variance, float(n * seeds)), _t(level, df)
    else:
        size, quantile = float(n), float(ndtri(0.5 + level / 2))
    square = quantile**2
    centre = (p + square / (2 * size)) / (1 + square / size)
    half = quantile / (1 + square / size) * np.sqrt(p * (1 - p) / size + square / (4 * size**2))
    return max(0.0, centre - half), min(1.0, centre + half)


def count_interval(hits: int, total: int, *, level: float = LEVEL) -> Interval:
    """The share of `total` >= 1 independent runs that are hits, with Wilson's interval."""
    low, high = _wilson(hits / total, 0.0, 1.0, total, 1, level)
    return Interval(hits / total, float(low), float(high), 0, total)


def ratio_interval(
    numerator: Array, denominator: Array, *, level: float = LEVEL, share: bool = False, examples_only: bool = False
) -> Interval:
    """sum(numerator) / sum(denominator) over seeds and examples, with an interval by linearisation.

    Entity F1 is numerator 2 tp and denominator 2 tp + fp + fn per sentence; a mean over some of the examples has a
    denominator of 0 or 1. The per-example influence (numerator - F denominator) / mean(denominator) goes through
    `mean_interval`. `share` says that the ratio lies in [0, 1]; there, 0 and 1 get Wilson's bound over the examples
    with a denominator.
    """
    top, bottom = known(numerator, denominator)
    seeds, n = top.shape[0], int((bottom.sum(axis=0) > 0).sum()) if bottom.size else 0
    if not bottom.size or bottom.sum() <= 0:
        return Interval(None, None, None, n, seeds)
    value = float(top.sum() / bottom.sum())
    influence = (top - value * bottom) / bottom.mean()
    spread = mean_interval(influence, level=level, examples_only=examples_only)
    if (seeds < 2 and not examples_only) or n < 2:
        return Interval(value, None, None, n, seeds)
    if share and value in (0.0, 1.0):
        low, high = _wilson(value, 0.0, 1.0, n, seeds, level)
    elif spread.low is None or spread.high is None:
        return Interval(value, None, None, n, seeds)
    else:
        low, high = value + spread.low, value + spread.high
    if share:
        low, high = max(0.0, low), min(1.0, high)
    return Interval(value, low, high, n, seeds, spread.df)


def seed_interval(values: Sequence[float] | Array, *, level: float = LEVEL, log: bool = False) -> Interval:
    """Mean of one number per seed with a t interval; `log` for ratios (> 0): geometric mean, interval on the log."""
    data = np.asarray(values, dtype=np.float64)
    data = data[~np.isnan(data)]
    if not data.size:
        return Interval(None, None, None, 0, 0)
    if log and (data <= 0).any():
        raise ValueError(f"a ratio is {data.min()}; the log interval needs numbers above 0")
    data = np.log(data) if log else data
    mean, seeds = float(data.mean()), int(data.size)
    spread = float(data.std(ddof=1)) if seeds > 1 else 0.0
    bounds: list[float | None] = [None, None]
    if spread > 0:
        half = _t(level, seeds - 1) * spread / np.sqrt(seeds)
        bounds = [float(np.exp(b)) if log else float(b) for b in (mean - half, mean + half)]
    return Interval(float(np.exp(mean)) if log else mean, bounds[0], bounds[1], 0, seeds, float(seeds - 1))


def paired_bootstrap(
    a: Array,
    b: Array,
    *,
    a_weight: Array | None = None,
    b_weight: Array | None = None,
    seed: int = 0,
    rounds: int = ROUNDS,
    level: float = LEVEL,
) -> Difference | None:
    """Difference b - a of two arms scored on the same seeds and the same examples; None when no pair is known.

    Hierarchical paired bootstrap: every round draws seeds, then one set of examples for all of them (crossed). With
    weights the arms' statistic is sum(values) / sum(weights) (entity F1: values 2 tp, weights 2 tp + fp + fn), else
    the mean. Resampling both sides of a crossed table counts the residual three times (Owen 2007, The pigeonhole
    bootstrap, Annals of Applied Statistics 1(2)) and a few seeds have no tails to resample; so the draws are scaled
    to the unbiased random-effects variance of the linearised differences (`mean_variance`), and the result is never
    narrower, and p never smaller, than that variance's t. p carries the + 1 correction (Davison and Hinkley 1997,
    section 4.2.1), so it is never 0.
    """
    ones = np.ones_like(np.atleast_2d(np.asarray(a, dtype=np.float64)))
    arrays = known(a, b, ones if a_weight is None else a_weight, ones if b_weight is None else b_weight)
    seeds, n = arrays[0].shape
    if not arrays[0].size or arrays[2].sum() <= 0 or arrays[3].sum() <= 0:
        return None
    value, influence = _linearised(*arrays)
    if n < 2 or not np.any(influence):
        return Difference(value, None, None, 1.0, n, seeds)
    if seeds > 1:
        variance, df = mean_variance(influence)
    else:
        variance, df = float(influence.var(ddof=1) / n), float(n - 1)
    draws = _resample(arrays, np.random.default_rng(seed), rounds)
    spread = float(draws.std())
    if spread > 0 and variance > 0:
        draws = value + (draws - draws.mean()) * np.sqrt(variance) / spread
    p = 2 * (min((draws <= 0).sum(), (draws >= 0).sum()) + 1) / (rounds + 1)
    if variance <= 0:
        return Difference(value, None, None, min(1.0, float(p)), n, seeds)
    p = max(p, 2 * stdtr(df, -abs(value) / np.sqrt(variance)))
    half = _t(level, df) * np.sqrt(variance)
    low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2])
    return Difference(
        value, float(min(low, value - half)), float(max(high, value + half)), min(1.0, float(p)), n, seeds
    )


def _linearised(a: Array, b: Array, a_weight: Array, b_weight: Array) -> tuple[float, Array]:
    """(difference, per-cell influence whose mean is 0 apart from the difference itself)."""
    first, second = a.sum() / a_weight.sum(), b.sum() / b_weight.sum()
    parts = (b - second * b_weight) / b_weight.mean() - (a - first * a_weight) / a_weight.mean()
    return float(second - first), parts


def _resample(arrays: tuple[Array, ...], rng: np.random.Generator, rounds: int) -> Array:
    """Differences of `rounds` resamples. Examples with equal columns are drawn together, by multinomial counts."""
    seeds, n = arrays[0].shape
    columns, counts = np.unique(np.concatenate(arrays), axis=1, return_counts=True)
    a, b, a_weight, b_weight = np.split(columns, 4)
    share = counts / n
    draws = np.empty(rounds)
    step = max(1, 4_000_000 // len(counts))
    for start in range(0, rounds, step):
        size = min(step, rounds - start)
        by_seed = rng.multinomial(seeds, np.full(seeds, 1 / seeds), size=size).astype(np.float64)
        by_column = rng.multinomial(n, share, size=size).astype(np.float64)
        sums = [((by_seed @ part) * by_column).sum(axis=1) for part in (a, b, a_weight, b_weight)]
        with np.errstate(invalid="ignore", divide="ignore"):
            difference = sums[1] / sums[3] - sums[0] / sums[2]
        draws[start : start + size] = np.nan_to_num(difference, nan=0.0, posinf=0.0, neginf=0.0)
    return draws


def mcnemar(a: Sequence[bool] | Array, b: Sequence[bool] | Array) -> float:
    """Exact two-sided p of McNemar's test for paired binary outcomes of one seed; 1 when no pair differs."""
    first, second = np.asarray(a, dtype=bool), np.asarray(b, dtype=bool)
    if first.shape != second.shape:
        raise ValueError(f"the two arms have {first.size} and {second.size} outcomes; they must be paired")
    lost, gained = int((first & ~second).sum()), int((~first & second).sum())
    if lost + gained == 0:
        return 1.0
    return float(min(1.0, 2 * bdtr(min(lost, gained), lost + gained, 0.5)))


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down adjusted p values, in the order given; they control the family-wise error rate."""
    count = len(p_values)
    adjusted, largest = [1.0] * count, 0.0
    for rank, index in enumerate(sorted(range(count), key=lambda i: p_values[i])):
        largest = max(largest, min(1.0, (count - rank) * p_values[index]))
        adjusted[index] = largest
    return adjusted


def _t(level: float, df: float) -> float:
    return float(stdtrit(df, 0.5 + level / 2))
