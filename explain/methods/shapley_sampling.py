"""Shapley values by sampled orders of the words.

Castro, Gomez and Tejada, "Polynomial calculation of the Shapley value based on sampling", 2009, Computers & Operations
Research 36(5); Strumbelj and Kononenko, 2010, JMLR 11. Words enter the masked text one by one, in a random order:

    A_w = mean over orders of f(words before w, and w) - f(words before w)

f is the logit margin, words not yet entered are masked (see explain.engine). Each order sums to f(x) - f(x') exactly.
Ours: every order is followed by its reverse, which cancels the error of pairwise effects. Equal sets of words are
computed once; a text of n words takes at most `orders` x (n - 1) + 2 rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from explain.methods._coalitions import by_word, margins

if TYPE_CHECKING:
    from torch import Tensor

    from explain.engine import Batch

VERSION = 1
TASKS = ("classification", "tagging")
HAS_COMPLETENESS = True
COSTLY = True


@dataclass(frozen=True)
class Config:
    """orders: random orders for each text, an even number from 2 to 4096, half of them reverses of the others."""

    orders: int = 20

    def __post_init__(self) -> None:
        if not (2 <= self.orders <= 4096 and self.orders % 2 == 0):
            raise ValueError(f"orders is {self.orders}: give an even number from 2 to 4096")


def attribute(batch: Batch, config: Config) -> Tensor:
    """(b, t): each word's mean gain on its first piece, zero elsewhere."""
    return by_word(batch, lambda row, count: _gains(batch, row, count, config.orders))


def _gains(batch: Batch, row: int, count: int, orders: int) -> NDArray[np.float64]:
    rng = np.random.default_rng(batch.seeds[row])
    forth = [rng.permutation(count) for _ in range(orders // 2)]
    both = np.array([order for one in forth for order in (one, one[::-1])])
    rank = np.argsort(both, axis=1)  # rank[order, word]: when the word enters
    keep = rank[:, None, :] < np.arange(count + 1)[None, :, None]  # (orders, entered so far, word)
    values = margins(batch, row, keep.reshape(-1, count)).reshape(orders, count + 1)
    gains = np.diff(values, axis=1)
    return np.take_along_axis(gains, rank, axis=1).mean(axis=0)
