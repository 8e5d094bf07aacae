"""KernelSHAP: Shapley values as a weighted least-squares fit over sets of words.

Lundberg and Lee, "A Unified Approach to Interpreting Model Predictions", 2017, arXiv 1705.07874, theorem 2:

    minimise over A   sum over sets S of words   w(|S|) (f(S) - f(x') - sum of A over S)^2,
    with sum of all A = f(x) - f(x'),    w(k) = (n - 1) / (C(n, k) k (n - k))

f is the logit margin, words outside S are masked (see explain.engine). The constraint is kept exactly. A text whose
2^n - 2 sets fit into `samples` (up to 8 words by default) gets all of them, and with them the exact Shapley values.
A longer one gets random sets, drawn in proportion to w and each with its complement (Covert and Lee, 2021, arXiv
2012.01536), at least `PER_WORD` a word so that the fit is well posed.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import comb
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from explain.methods._coalitions import by_word, check, margins

if TYPE_CHECKING:
    from torch import Tensor

    from explain.engine import Batch

VERSION = 1
TASKS = ("classification", "tagging")
HAS_COMPLETENESS = True
COSTLY = True
PER_WORD = 8


@dataclass(frozen=True)
class Config:
    """samples: sets of words for each text, 16 to 65536 (more where a text has more than samples / 8 words)."""

    samples: int = 256

    def __post_init__(self) -> None:
        check(self.samples)


def attribute(batch: Batch, config: Config) -> Tensor:
    """(b, t): each word's value on its first piece, zero elsewhere."""
    return by_word(batch, lambda row, count: _values(batch, row, count, config.samples))


def _values(batch: Batch, row: int, count: int, samples: int) -> NDArray[np.float64]:
    base = float(batch.baseline_margins[row])
    whole = float(batch.margins[row]) - base
    if count == 1:
        return np.array([whole])
    keep, weights = _sets(count, samples, batch.seeds[row])
    return _fit(keep.astype(float), margins(batch, row, keep) - base, weights, whole)


def _sets(count: int, samples: int, seed: int) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Sets of words (m, count), neither none nor all of them, and their weights (m,)."""
    if count < 32 and 2**count - 2 <= samples:
        codes = np.arange(1, 2**count - 1)
        keep = (codes[:, None] >> np.arange(count)) & 1 == 1
        sizes = keep.sum(axis=1).tolist()
        return keep, np.array([(count - 1) / (comb(count, size) * size * (count - size)) for size in sizes])
    rng = np.random.default_rng(seed)
    sizes_of = np.arange(1, count)
    chance = 1 / (sizes_of * (count - sizes_of))
    pairs = (max(samples, PER_WORD * count) + 1) // 2
    drawn = rng.choice(sizes_of, size=pairs, p=chance / chance.sum())
    half = rng.random((pairs, count)).argsort(axis=1) < drawn[:, None]
    return np.concatenate([half, ~half]), np.ones(2 * pairs)


def _fit(
    sets: NDArray[np.float64], values: NDArray[np.float64], weights: NDArray[np.float64], whole: float
) -> NDArray[np.float64]:
    """The minimiser under the constraint, by its Lagrange equations."""
    count = sets.shape[1]
    system = np.zeros((count + 1, count + 1))
    system[:count, :count] = (sets * weights[:, None]).T @ sets
    system[:count, count] = system[count, :count] = 1.0
    found = np.linalg.lstsq(system, np.append((sets * weights[:, None]).T @ values, whole), rcond=None)[0]
    return found[:count]
