"""Two arms, or one arm of two releases, on the same seeds and the same examples."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from bench.stats.components import (
    LEVEL,
    Array,
    Pool,
    Squares,
    examples_spreads,
    known,
    spread,
    squares,
    squares_of,
)
from bench.stats.families import holm

ROUNDS = 10_000
CHUNK = 1_000_000  # drawn cells at once
TOGETHER = 100  # arms at once, whose draws are 8 MB
Tables = tuple[Array, Array, Array, Array]  # of a, b, and their weights, (arms, examples, seeds); of a one for all b


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
    arrays = known_pairs(a, b, a_weight, b_weight)
    if arrays is None:
        return None
    weighted = a_weight is not None or b_weight is not None
    (found,) = _bootstraps(_tables(arrays), seed, rounds, level, lent, weighted=weighted)
    return found


def paired_bootstraps(
    a: Array,
    b: Array,
    *,
    a_weight: Array | None = None,
    b_weight: Array | None = None,
    level: float = LEVEL,
    lent: Pool | None = None,
    alpha: float | None = None,
) -> list[Difference | None]:
    """`paired_bootstrap` of one arm and many others at once, from complete tables of one size.

    `a` and its weights are (1, examples, seeds), `b` and its weights (arms, examples, seeds). With `alpha`, a
    difference that Holm's correction at that level cannot reject, over these or more, has no interval, and a lower
    bound as its p: no draws are made of it.
    """
    weighted = a_weight is not None or b_weight is not None
    a_weight = np.ones_like(a) if a_weight is None else a_weight
    b_weight = np.ones_like(b) if b_weight is None else b_weight
    found: list[Difference | None] = [None] * len(b)
    weighing = np.flatnonzero((_sums(b_weight) > 0) & (_sums(a_weight) > 0))
    if not weighing.size:
        return found
    tables = (a, b[weighing], a_weight, b_weight[weighing])
    made = _bootstraps(tables, 0, ROUNDS, level, lent, weighted=weighted, alpha=alpha)
    for place, one in zip(weighing.tolist(), made, strict=True):
        found[place] = one
    return found


def _bootstraps(
    tables: Tables,
    seed: int,
    rounds: int,
    level: float,
    lent: Pool | None,
    *,
    weighted: bool,
    alpha: float | None = None,
) -> list[Difference]:
    a, b, a_weight, b_weight = tables
    _, n, seeds = b.shape
    values, parts = _linearised(tables)
    found = [Difference(value, None, None, 1.0, n, seeds) for value in values.tolist()]
    moving = np.flatnonzero(parts.any(axis=(1, 2)))
    if n < 2 or not moving.size:
        return found
    noise = spread(squares_of(parts[moving]), lent) if seeds > 1 else examples_spreads(parts[moving])
    halves = noise.half_width(level).tolist()
    for place, one in zip(moving.tolist(), noise.some(), strict=True):
        found[place] = replace(found[place], p=one.p(found[place].value) if one.variance > 0 else 0.0)
    drawn = np.arange(len(moving))
    if alpha is not None:
        # see pairwise.py: what Holm does not reject by lower bounds it does not reject, nor do they hide what it does
        drawn = np.flatnonzero(np.array(holm([one.p for one in found]))[moving] < alpha)
    for start in range(0, len(drawn), TOGETHER):
        some = drawn[start : start + TOGETHER]
        places = moving[some]
        draws = _resample((a, b[places], a_weight, b_weight[places]), seed, rounds, weighted=weighted)
        for k, place, row in zip(some.tolist(), places.tolist(), draws, strict=True):
            found[place] = _scaled(found[place], row, float(noise.variance[k]), halves[k], level)
    return found


def _scaled(found: Difference, draws: Array, variance: float, half: float, level: float) -> Difference:
    """The difference with its interval, and its p by the draws too, which are scaled to the variance."""
    value, centred = found.value, draws - draws.mean()
    deviation = float(np.sqrt(np.square(centred).mean()))
    if deviation > 0 and variance > 0:
        draws = value + centred * np.sqrt(variance) / deviation
    p = 2 * (int(min(np.count_nonzero(draws <= 0), np.count_nonzero(draws >= 0))) + 1) / (len(draws) + 1)
    if variance <= 0:
        return replace(found, p=min(1.0, p))
    low, high = _widened(draws, level, value - half, value + half)
    return replace(found, low=low, high=high, p=min(1.0, max(p, found.p)))


def paired_squares(
    a: Array, b: Array, *, a_weight: Array | None = None, b_weight: Array | None = None
) -> Squares | None:
    """The mean squares of the linearised difference b - a; None without two known seeds and two known examples."""
    arrays = known_pairs(a, b, a_weight, b_weight)
    if arrays is None or min(arrays[0].shape) < 2:
        return None
    (parts,) = _linearised(_tables(arrays))[1]
    return squares(parts.T)


def influence(values: Array, weights: Array | None = None) -> Array:
    """One arm's linearised statistic per (seed, example), unknown cells left out: what its mean squares are made of."""
    top, bottom = known(values, np.ones_like(values) if weights is None else weights)
    if not bottom.size or bottom.sum() <= 0:
        return np.empty((0, 0))
    return (top - top.sum() / bottom.sum() * bottom) / bottom.mean()


def influences(values: Array, weights: Array) -> Array:
    """`influence` of many complete tables (tables, examples, seeds) at once, each of which weighs something."""
    return _parts(values, weights)[1]


def known_pairs(a: Array, b: Array, a_weight: Array | None, b_weight: Array | None) -> tuple[Array, ...] | None:
    """(a, b, their weights) of the seeds and examples known on both sides; None where nothing is, or nothing weighs."""
    ones = np.ones_like(np.atleast_2d(np.asarray(a, dtype=np.float64)))
    arrays = known(a, b, ones if a_weight is None else a_weight, ones if b_weight is None else b_weight)
    some = arrays[0].size and arrays[2].sum() > 0 and arrays[3].sum() > 0
    return arrays if some else None


def _tables(arrays: Sequence[Array]) -> Tables:
    """(1, examples, seeds) of each (seeds, examples)."""
    a, b, a_weight, b_weight = (np.ascontiguousarray(array.T)[np.newaxis] for array in arrays)
    return a, b, a_weight, b_weight


def _sums(tables: Array) -> Array:
    return tables.reshape(len(tables), -1).sum(axis=1)


def _linearised(tables: Tables) -> tuple[Array, Array]:
    """(differences, per-cell influences whose means are 0 apart from the differences themselves), for every b."""
    a, b, a_weight, b_weight = tables
    (first, before), (second, after) = _parts(a, a_weight), _parts(b, b_weight)
    return second - first, after - before


def _parts(values: Array, weights: Array) -> tuple[Array, Array]:
    found = _sums(values) / _sums(weights)
    means = weights.reshape(len(weights), -1).mean(axis=1)
    return found, (values - found[:, None, None] * weights) / means[:, None, None]


def _resample(tables: Tables, seed: int, rounds: int, *, weighted: bool) -> Array:
    """(arms, rounds) differences of resamples; every comparison of as many seeds and examples draws the same ones."""
    _, n, seeds = tables[1].shape
    rows = np.concatenate(tables) if weighted else tables[1] - tables[0]
    # sums of whole numbers below 2 ** 24 are exact in half the bytes, so in half the time
    whole = seeds * n * np.abs(rows).max() < 2**24 and np.array_equal(rows, np.rint(rows))
    dtype = np.dtype(np.float32 if whole else np.float64)
    parts = rows.transpose(0, 2, 1).astype(dtype, order="C").reshape(-1, n)
    by_seed = _weights(seed, seeds, rounds, 0, dtype)
    sums = np.empty((len(rows), rounds))
    step = max(1, CHUNK // max(n, len(parts)))
    for start in range(0, rounds, step):
        some = slice(start, start + step)
        drawn = _weights(seed, n, rounds, 1, dtype) if n * rounds <= CHUNK else _counts(seed, n, rounds, 1)
        cells = (parts @ drawn[:, some].astype(dtype, copy=False)).reshape(len(rows), seeds, -1)
        cells *= by_seed[:, some]
        sums[:, some] = cells.sum(axis=1)
    if not weighted:
        return sums / (seeds * n)
    before, after, a_weight, b_weight = np.split(sums, np.cumsum([len(part) for part in tables])[:-1])
    with np.errstate(invalid="ignore", divide="ignore"):
        difference = after / b_weight - before / a_weight
    return np.nan_to_num(difference, nan=0.0, posinf=0.0, neginf=0.0)


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
def _weights(seed: int, n: int, rounds: int, stream: int, dtype: np.dtype[Any]) -> Array:
    """`_counts` of few things as floats, which a product needs; read only."""
    made = _counts(seed, n, rounds, stream).astype(dtype)
    made.flags.writeable = False
    return made


def _widened(draws: Array, level: float, low: float, high: float) -> tuple[float, float]:
    """(low, high), or the quantiles of the draws where these are further out."""
    tail = (1 - level) / 2
    # most often they are not, and counting shows it in a fraction of the time of a quantile
    most = int(tail * (len(draws) - 1))
    if np.count_nonzero(draws < low) > most:
        low = min(low, _quantile(draws, tail))
    if np.count_nonzero(draws > high) > most:
        high = max(high, _quantile(draws, 1 - tail))
    return low, high


def _quantile(draws: Array, share: float) -> float:
    """`np.quantile` of one share below 1, rounded as there, in a fifth of its time."""
    place = share * (len(draws) - 1)
    below, part = int(place), np.partition(draws, int(place))
    low, high, rest = float(part[below]), float(part[below + 1 :].min()), place - below
    return low + (high - low) * rest if rest < 0.5 else high - (high - low) * (1 - rest)
