"""All pairs of many arms at once, on the same seeds and examples."""

from __future__ import annotations

import numpy as np
from scipy.special import stdtr

from bench.stats.components import ROUNDING, UNLIKELY, Array, Pool, Spread, Squares, spread


def pairwise(parts: Array, values: Array, lent: Pool | None = None) -> Array:
    """(arms, arms) two-sided p of every paired difference; 1 where two arms agree in every outcome.

    `parts`: (arms, seeds >= 2, examples >= 2) linearised outcomes of each arm (`influence`), whose differences are
    those of the pair; `values`: (arms,) the statistics. As `Spread.p`, a p above 0.2 is a lower bound. The mean squares
    of all pairs come from inner products, so that 100 arms take no longer than their tables.
    """
    arms, seeds, n = parts.shape
    first, second = np.triu_indices(arms, 1)
    grand = parts.mean(axis=(1, 2))
    centred = parts - grand[:, None, None]
    total = _distances(centred.reshape(arms, -1), first, second)
    by_seed = n * _distances(centred.mean(axis=2), first, second)
    by_example = seeds * _distances(centred.mean(axis=1), first, second)
    rest = np.maximum(total - by_seed - by_example, 0.0)
    # inner products lose digits that sums of squares keep; what is left of equal tables is rounding
    scale = np.square(centred).sum(axis=(1, 2)).max(initial=0.0)
    alike = total <= max(ROUNDING * 1e12 * scale, 1e-300)
    squares = Squares(seeds, n, by_seed / (seeds - 1), by_example / (n - 1), rest / ((seeds - 1) * (n - 1)))
    found = np.ones((arms, arms))
    found[first, second] = _p(values[second] - values[first], spread(squares, lent), alike)
    return np.minimum(found, found.T)


def _distances(rows: Array, first: Array, second: Array) -> Array:
    """Squared distances of pairs of rows."""
    gram = rows @ rows.T
    norms = np.diag(gram)
    return np.maximum(norms[first] + norms[second] - 2 * gram[first, second], 0.0)


def _p(values: Array, noise: Spread, alike: Array) -> Array:
    variance = np.where(alike, 1.0, np.maximum(noise.variance, 1e-300))
    found = np.where(alike, 1.0, 2 * stdtr(noise.df, -np.abs(values) / np.sqrt(variance)))
    for k in np.flatnonzero(found < UNLIKELY):
        rest, seed, df = (np.broadcast_to(part, values.shape)[k] for part in (noise.rest, noise.seed, noise.df))
        found[k] = Spread(float(rest), float(seed), noise.rest_df, noise.seed_df, float(df)).p(float(values[k]))
    return found
