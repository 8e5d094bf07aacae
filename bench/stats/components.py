"""Where the noise of a (seeds, examples) table comes from, and how wide an interval it makes.

Every seed of an arm is scored on the same examples, so seeds and examples are crossed random effects. A few seeds say
little about their own spread; `Pool` lends them that of the other arms scored with the same metric.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import digamma, polygamma, stdtr, stdtrit

Array = NDArray[Any]
LEVEL = 0.95
# Where a few seeds happen to agree, Satterthwaite's df is too bold; the cap trades false alarms against power.
# Two seeds need 3 in all. With the spread of other arms a lower cap costs next to no power: 10 points at 3 seeds, 200
# texts and 0.15 logits between seeds are found in 55 instead of 56 %, and the gate's false alarms fall from 3 to 2 %.
DF_PER_SEED = 16.0
LENT_DF_PER_SEED = 4.0
TWO_SEEDS_DF = 3.0
# a sum of squares below this share of the values' own squares is rounding, not spread
ROUNDING = 1e-24
# a p above this is not solved for exactly: it is a lower bound, and no verdict depends on it
UNLIKELY = 0.2
SMALLEST_P = 1e-12
# fewer arms say nothing about how much their spreads differ
FEWEST_ARMS = 3


def known(values: Array, *others: Array) -> tuple[Array, ...]:
    """The arrays (seeds, examples) without unknown seeds and then unknown examples, the same cells in each."""
    arrays = [np.atleast_2d(np.asarray(array, dtype=np.float64)) for array in (values, *others)]
    missing = np.any([np.isnan(array) for array in arrays], axis=0)
    seeds = ~missing.all(axis=1)
    examples = ~missing[seeds].any(axis=0)
    return tuple(array[seeds][:, examples] for array in arrays)


@dataclass(frozen=True)
class Squares:
    """Mean squares of complete (seeds >= 2, examples >= 2) values, two-way crossed without replication.

    The mean squares may be arrays of one shape, for many tables of one size at once.
    """

    seeds: int
    n: int
    seed: Any
    example: Any
    residual: Any

    @property
    def seed_variance(self) -> Any:
        """The unbiased estimate of the variance of the seeds' effects; below 0 where seeds differ less than chance."""
        return (self.seed - self.residual) / self.n

    @property
    def example_variance(self) -> Any:
        """The unbiased estimate of the variance of the examples' effects."""
        return (self.example - self.residual) / self.seeds


def squares(values: Array) -> Squares:
    """The mean squares of a complete table; all 0 where every value is the same but for rounding."""
    seeds, n = values.shape
    grand = values.mean()
    by_seed, by_example = values.mean(axis=1), values.mean(axis=0)
    seed = n * np.square(by_seed - grand).sum() / (seeds - 1)
    example = seeds * np.square(by_example - grand).sum() / (n - 1)
    rest = values - by_seed[:, None] - by_example[None, :] + grand
    residual = np.square(rest).sum() / ((seeds - 1) * (n - 1))
    if max(seed, example, residual) <= ROUNDING * max(float(np.square(values).max()), 1e-300):
        return Squares(seeds, n, 0.0, 0.0, 0.0)
    return Squares(seeds, n, float(seed), float(example), float(residual))


def squares_of(tables: Array) -> Squares:
    """The mean squares of many complete tables (tables, examples, seeds) at once, each the same as by `squares`.

    The seeds stand last, as they do in memory in the tables that `known` makes: so the sums round alike. What needs no
    such order is done with the examples last, since numpy's loops over a few seeds take twice as long.
    """
    count, n, seeds = tables.shape
    flat, wide = tables.reshape(count, -1), examples_last(tables)
    grand = flat.mean(axis=1)
    by_seed = np.ascontiguousarray(tables.transpose(1, 0, 2)).mean(axis=0)
    # of 8 numbers and more numpy adds neighbours in another order
    by_example = wide.mean(axis=0) if seeds < 8 else tables.mean(axis=2)
    seed = n * np.square(by_seed - grand[:, None]).sum(axis=1) / (seeds - 1)
    example = seeds * np.square(by_example - grand[:, None]).sum(axis=1) / (n - 1)
    rest = np.square(wide - by_seed.T[:, :, None] - by_example + grand[:, None]).transpose(1, 2, 0)
    residual = rest.reshape(count, -1).sum(axis=1) / ((seeds - 1) * (n - 1))
    largest = np.maximum(np.square(flat).max(axis=1, initial=0.0), 1e-300)
    flat_out = np.maximum(np.maximum(seed, example), residual) <= ROUNDING * largest
    return Squares(seeds, n, *(np.where(flat_out, 0.0, part) for part in (seed, example, residual)))


def examples_last(tables: Array) -> Array:
    """(seeds, tables, examples) of (tables, examples, seeds), so in memory too."""
    return np.ascontiguousarray(tables.transpose(2, 0, 1))


@dataclass(frozen=True)
class Pool:
    """What the arms scored with one metric say about its spread over seeds: a variance and the df it is known with."""

    variance: Any
    df: Any


def pool(tables: Sequence[Squares]) -> Pool | None:
    """The common variance of seed effects of several arms, None where no arm has any spread.

    Empirical Bayes as for many small samples (Smyth 2004, Linear models and empirical Bayes methods for assessing
    differential expression in microarray experiments): the logs of the seeds' mean squares vary by
    trigamma(d / 2) through sampling alone; what they vary beyond that is how much arms differ, and `df` is smaller the
    more they do. Unlike there, `df` is never more than all arms' df together, and arms whose seeds agree exactly count
    with a thousandth of the median. The number of examples must be about equal in all of them.
    """
    some = [one for one in tables if one.residual > 0]
    if not some:
        return None
    d = np.array([one.seeds - 1.0 for one in some])
    found = np.array([one.seed for one in some])
    logs = np.log(np.maximum(found, 1e-3 * max(float(np.median(found)), 1e-300)))
    centred = logs - digamma(d / 2) + np.log(d / 2)
    sampling = float(polygamma(1, d / 2).mean())
    excess = float(centred.var(ddof=1)) - sampling if len(some) >= FEWEST_ARMS else 0.0
    df = min(2 * _trigamma_inverse(excess) if excess > 0 else np.inf, float(d.sum()))
    # the mean and not the mean of logs: arms with a wide spread raise it, which errs on the careful side
    mean_square = float((d * found).sum() / d.sum())
    n = float(np.mean([one.n for one in some]))
    return Pool(max(0.0, mean_square - float(np.mean([one.residual for one in some]))) / n, float(df))


def _trigamma_inverse(value: float) -> float:
    if value < 1e-6:
        return 1 / value
    return float(brentq(lambda x: polygamma(1, x) - value, 1e-8, 1e8))


@dataclass(frozen=True)
class Spread:
    """Variance of the grand mean in two parts: `rest` (examples and residual) and `seed`, with their df.

    `df` is Satterthwaite's for the sum, capped. Arrays where the mean squares were.
    """

    rest: Any
    seed: Any
    rest_df: float
    seed_df: Any
    df: Any

    @property
    def variance(self) -> Any:
        return self.rest + self.seed

    def some(self, which: Any = slice(None)) -> list[Spread]:
        """The spread of every table by itself, or of some, where the parts are arrays."""
        parts = (np.broadcast_to(one, np.shape(self.rest))[which].tolist() for one in (self.rest, self.seed, self.df))
        return [Spread(rest, seed, self.rest_df, self.seed_df, df) for rest, seed, df in zip(*parts, strict=True)]

    def half_width(self, level: float = LEVEL) -> Any:
        """Half the width of the interval at `level`: the wider of two forms, each too narrow where the other is not.

        Satterthwaite's t undercovers where a few seeds carry most of the variance (93 % instead of 95 % at 3 seeds);
        the sum of the parts, each with the quantile of its own df, undercovers where the residual does.
        """
        return self._half(1 - level)

    def _half(self, tails: float) -> Any:
        own = np.square(stdtrit(self.rest_df, tails / 2)) * self.rest
        own = own + np.square(stdtrit(self.seed_df, tails / 2)) * self.seed
        return np.maximum(-stdtrit(self.df, tails / 2) * np.sqrt(self.variance), np.sqrt(own))

    def p(self, value: float) -> float:
        """Two-sided p of a difference of `value`: one minus the level at which the interval reaches 0."""
        if self.variance <= 0:
            return 1.0
        least = t_p(abs(value) / np.sqrt(self.variance), self.df)
        if least >= UNLIKELY or least < SMALLEST_P or self._half(least) <= abs(value) * (1 + 1e-9):
            return max(least, SMALLEST_P)
        found = brentq(lambda log: self._half(np.exp(log)) - abs(value), np.log(least), 0.0, xtol=1e-6)
        return float(np.exp(found))


def spread(table: Squares, lent: Pool | None = None) -> Spread:
    """The variance of the grand mean: Var = (MS_seeds + MS_examples - MS_residual) / (S N).

    A mean square below the residual's counts as the residual's (a variance component is not negative). With a pool of
    `df` d0 and variance v, the seeds' mean square becomes (d0 (MS_residual + N v) + (S - 1) MS_seeds) / (d0 + S - 1),
    but never less than its own: an arm less stable than the others gains nothing by them. Its df are those of the pool,
    in which the two arms of the difference stand already; adding their own would count the same draws twice.
    """
    seeds, n, residual = table.seeds, table.n, table.residual
    seed, seed_df = table.seed, float(seeds - 1)
    if lent is not None:
        total = lent.df + seed_df
        seed = np.maximum(seed, (lent.df * (residual + n * lent.variance) + seed_df * seed) / total)
        seed_df = np.maximum(seed_df, lent.df)
    rest = np.maximum(table.example, residual)
    part = np.maximum(seed - residual, 0.0)
    both = np.square(residual) / ((seeds - 1) * (n - 1))
    both = both + np.where(seed > residual, np.square(seed) / seed_df, 0.0)
    both = both + np.where(table.example > residual, np.square(table.example) / (n - 1), 0.0)
    df = np.maximum(np.square(rest + part) / np.maximum(both, np.finfo(float).tiny), 1.0)
    per_seed = DF_PER_SEED if lent is None else LENT_DF_PER_SEED
    df = np.minimum(df, np.where(np.asarray(seed_df) >= 2, per_seed * seed_df, TWO_SEEDS_DF))
    size = seeds * n
    return Spread(rest / size, part / size, float(n - 1), seed_df, df)


def examples_spread(values: Array) -> Spread:
    """The spread of the grand mean over other examples alone, the given seeds being all there are."""
    (found,) = examples_spreads(values.T[np.newaxis]).some()
    return found


def examples_spreads(tables: Array) -> Spread:
    """`examples_spread` of many complete tables (tables, examples, seeds) at once."""
    n = tables.shape[1]
    variance = np.var(tables.mean(axis=2), axis=1, ddof=1) / n
    return Spread(variance, np.zeros_like(variance), float(n - 1), 1.0, np.full_like(variance, n - 1))


def mean_variance(values: Array) -> tuple[float, float]:
    """(variance of the grand mean, Satterthwaite degrees of freedom) of complete (seeds >= 2, examples >= 2) values."""
    found = spread(squares(values))
    return float(found.variance), float(found.df)


def t(level: float, df: float) -> float:
    """The two-sided quantile of Student's t."""
    return float(stdtrit(df, 0.5 + level / 2))


def t_p(value: float, df: float) -> float:
    """Two-sided p of a t statistic."""
    return float(2 * stdtr(df, -abs(value)))
