"""Intervals of one arm: a mean, a ratio of sums, one number per seed, a count."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

from bench.stats.components import LEVEL, Array, examples_last, examples_spread, known, spread, squares, squares_of, t


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


def mean_interval(
    values: Array, *, level: float | None = LEVEL, binary: bool = False, examples_only: bool = False
) -> Interval:
    """Mean of (seeds, examples) values with an interval for the arm: other seeds and other examples.

    `binary` values (0 or 1) get Wilson's form with the effective sample size p (1 - p) / Var, which keeps the interval
    inside [0, 1] and wider than zero. One seed, or one example, gives an infinite interval. `examples_only` takes the
    given seeds as all there are: then one seed is enough, and the interval speaks of these models only. `level` None
    asks for the mean alone.
    """
    (data,) = known(values)
    seeds, n = data.shape
    if not data.size:
        return Interval(None, None, None, n, seeds)
    value = float(data.mean())
    if level is None or n < 2 or (seeds < 2 and not examples_only):
        return Interval(value, None, None, n, seeds)
    found = examples_spread(data) if examples_only else spread(squares(data))
    half = found.half_width(level)
    if binary:
        low, high = _wilson(value, found.variance, half, n, seeds, level)
    elif found.variance <= 0:
        return Interval(value, None, None, n, seeds)
    else:
        low, high = value - half, value + half
    return Interval(value, float(low), float(high), n, seeds, float(found.df))


def mean_intervals(tables: Array, *, level: float = LEVEL, binary: bool = False) -> list[Interval]:
    """`mean_interval` of many complete tables of one size, (tables, examples, seeds), at once."""
    count, n, seeds = tables.shape
    values = tables.reshape(count, -1).mean(axis=1).tolist() if tables.size else []
    if n < 2 or seeds < 2:
        return [Interval(value, None, None, n, seeds) for value in values]
    found = spread(squares_of(tables))
    rows = zip(values, found.variance.tolist(), found.half_width(level).tolist(), found.df.tolist(), strict=True)
    if binary:
        return [
            Interval(value, *_wilson(value, variance, half, n, seeds, level), n, seeds, df)
            for value, variance, half, df in rows
        ]
    return [
        Interval(value, value - half, value + half, n, seeds, df)
        if variance > 0
        else Interval(value, None, None, n, seeds)
        for value, variance, half, df in rows
    ]


def _wilson(p: float, variance: float, half: float, n: int, seeds: int, level: float) -> tuple[float, float]:
    """Wilson's interval (1927, equation for the roots in p) with an effective n and the quantile half / sqrt(Var)."""
    if 0 < p < 1 and variance > 0:
        size, quantile = min(p * (1 - p) / variance, float(n * seeds)), half / math.sqrt(variance)
    else:
        size, quantile = float(n), float(ndtri(0.5 + level / 2))
    square = quantile**2
    centre = (p + square / (2 * size)) / (1 + square / size)
    half = quantile / (1 + square / size) * math.sqrt(p * (1 - p) / size + square / (4 * size**2))
    return max(0.0, centre - half), min(1.0, centre + half)


def count_interval(hits: int, total: int, *, level: float = LEVEL) -> Interval:
    """The share of `total` >= 1 independent runs that are hits, with Wilson's interval."""
    low, high = _wilson(hits / total, 0.0, 1.0, total, 1, level)
    return Interval(hits / total, float(low), float(high), 0, total)


def ratio_interval(
    numerator: Array,
    denominator: Array,
    *,
    level: float | None = LEVEL,
    share: bool = False,
    examples_only: bool = False,
) -> Interval:
    """sum(numerator) / sum(denominator) over seeds and examples, with an interval by linearisation.

    Entity F1 is numerator 2 tp and denominator 2 tp + fp + fn per sentence; a mean over some of the examples has a
    denominator of 0 or 1. The per-example influence (numerator - F denominator) / mean(denominator) goes through
    `mean_interval`, and `level` is as there. `share` says that the ratio lies in [0, 1]; there, 0 and 1 get Wilson's
    bound over the examples with a denominator.
    """
    top, bottom = known(numerator, denominator)
    seeds, n = top.shape[0], int((bottom.sum(axis=0) > 0).sum()) if bottom.size else 0
    if not bottom.size or bottom.sum() <= 0:
        return Interval(None, None, None, n, seeds)
    value = float(top.sum() / bottom.sum())
    influence = (top - value * bottom) / bottom.mean()
    if level is None or (seeds < 2 and not examples_only):
        return Interval(value, None, None, n, seeds)
    spread = mean_interval(influence, level=level, examples_only=examples_only)
    return _ratio(value, spread, n, seeds, share, level)


def ratio_intervals(
    numerators: Array, denominators: Array, *, level: float = LEVEL, share: bool = False
) -> list[Interval]:
    """`ratio_interval` of many complete pairs of tables of one size, (tables, examples, seeds), at once."""
    count, _, seeds = numerators.shape
    tops, bottoms = (part.reshape(count, -1).sum(axis=1) for part in (numerators, denominators))
    weighing = bottoms > 0
    values = np.divide(tops, bottoms, out=np.zeros(count), where=weighing)
    means = np.where(weighing, denominators.reshape(count, -1).mean(axis=1), 1.0)
    influence = (numerators - values[:, None, None] * denominators) / means[:, None, None]
    counted = (examples_last(denominators).sum(axis=0) > 0).sum(axis=1).tolist()
    rows = zip(values.tolist(), weighing.tolist(), counted, mean_intervals(influence, level=level), strict=True)
    return [
        _ratio(value, spread, texts, seeds, share, level)
        if known and seeds > 1
        else Interval(value if known else None, None, None, texts, seeds)
        for value, known, texts, spread in rows
    ]


def _ratio(value: float, spread: Interval, n: int, seeds: int, share: bool, level: float) -> Interval:
    """A ratio with the interval of its linearised differences; `n` examples weigh something."""
    if n < 2:
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


def seed_interval(values: Sequence[float] | Array, *, level: float | None = LEVEL, log: bool = False) -> Interval:
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
    if spread > 0 and level is not None:
        half = t(level, seeds - 1) * spread / np.sqrt(seeds)
        bounds = [float(np.exp(b)) if log else float(b) for b in (mean - half, mean + half)]
    return Interval(float(np.exp(mean)) if log else mean, bounds[0], bounds[1], 0, seeds, float(seeds - 1))


def seed_intervals(numbers: Array, *, level: float = LEVEL, log: bool = False) -> list[Interval]:
    """`seed_interval` of many arms with as many seeds, (arms, seeds), at once; none unknown, for `log` all above 0."""
    seeds = numbers.shape[1]
    data = np.log(numbers) if log else numbers
    means = data.mean(axis=1)
    spreads = data.std(axis=1, ddof=1) if seeds > 1 else np.zeros(len(data))
    halves = t(level, seeds - 1) * spreads / np.sqrt(seeds) if seeds > 1 else spreads
    columns = [np.exp(one) if log else one for one in (means, means - halves, means + halves)]
    return [
        Interval(value, low if spread > 0 else None, high if spread > 0 else None, 0, seeds, float(seeds - 1))
        for value, low, high, spread in zip(*(one.tolist() for one in (*columns, spreads)), strict=True)
    ]
