"""All pairs of many arms at once, on the same seeds and examples."""

from __future__ import annotations

import numpy as np
from scipy.special import stdtr

from bench.stats.components import ROUNDING, UNLIKELY, Array, Pool, Spread, Squares, spread
from bench.stats.families import holm


def pairwise(parts: Array, values: Array, lent: Pool | None = None, alpha: float | None = None) -> Array:
    """(arms, arms) two-sided p of every paired difference; 1 where two arms agree in every outcome.

    `parts`: (arms, seeds >= 2, examples >= 2) linearised outcomes of each arm (`influence`), whose differences are
    those of the pair; `values`: (arms,) the statistics. As `Spread.p`, a p above 0.2 is a lower bound; with `alpha`, so
    is every p that Holm's correction over all pairs at that level cannot reject. The mean squares of all pairs come
    from inner products, so that 100 arms take no longer than their tables.
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
    found[first, second] = _p(values[second] - values[first], spread(squares, lent), alike, alpha)
    return np.minimum(found, found.T)


def _distances(rows: Array, first: Array, second: Array) -> Array:
    """Squared distances of pairs of rows."""
    gram = rows @ rows.T
    norms = np.diag(gram)
    return np.maximum(norms[first] + norms[second] - 2 * gram[first, second], 0.0)


def _p(values: Array, noise: Spread, alike: Array, alpha: float | None) -> Array:
    variance = np.where(alike, 1.0, np.maximum(noise.variance, 1e-300))
    found = np.where(alike, 1.0, 2 * stdtr(noise.df, -np.abs(values) / np.sqrt(variance)))
    # Holm rejects p values from the smallest on as long as each times the number of those no smaller is below alpha.
    # Larger p only raise these products. So what lower bounds do not reject, their p do not; and it stands behind all
    # that is rejected in the end: such a bound and all above it are too many, so the smallest p there is no less so.
    exact = found < UNLIKELY if alpha is None else np.array(holm(found.tolist())) < alpha
    for k, one in zip(np.flatnonzero(exact).tolist(), noise.some(exact), strict=True):
        found[k] = one.p(float(values[k]))
    return found
