"""LIME: the slopes of a linear model fitted to the margin near the text.

Ribeiro, Singh and Guestrin, "Why Should I Trust You?", 2016, arXiv 1602.04938, equation 1, with the choices of the
authors' text explainer (lime 0.2, `lime_text`): from 1 to all words are dropped, the number at uniform random; a set z
of kept words weighs exp(-(d / WIDTH)^2 / 2) with the cosine distance d = 1 - sqrt(share of words kept); the text itself
is one of the samples; a linear model with intercept is fitted by weighted ridge regression.

f is the logit margin and dropped words are masked, not cut out (see explain.engine). Differences to the authors': the
ridge is RIDGE times the samples' weight, not 1, which would shrink a fit of few samples; all words get a score, without
a selection of features. Captum's Lime fits a lasso by default, whose penalty sets scores to zero on margins of small
scale: not used. At least `PER_WORD` samples a word are taken.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from explain.methods._coalitions import by_word, check, margins

if TYPE_CHECKING:
    from torch import Tensor

    from explain.engine import Batch

VERSION = 1
TASKS = ("classification", "tagging")
HAS_COMPLETENESS = False
COSTLY = True
PER_WORD = 8
WIDTH = 0.25  # the authors' 25, of a distance times 100
RIDGE = 1e-4


@dataclass(frozen=True)
class Config:
    """samples: masked copies of each text, 16 to 65536 (more where a text has more than samples / 8 words)."""

    samples: int = 256

    def __post_init__(self) -> None:
        check(self.samples)


def attribute(batch: Batch, config: Config) -> Tensor:
    """(b, t): each word's slope on its first piece, zero elsewhere."""
    return by_word(batch, lambda row, count: _slopes(batch, row, count, config.samples))


def _slopes(batch: Batch, row: int, count: int, samples: int) -> NDArray[np.float64]:
    rng = np.random.default_rng(batch.seeds[row])
    size = (max(samples, PER_WORD * count), count)
    dropped = rng.integers(1, count + 1, size=size[0])
    keep = rng.random(size).argsort(axis=1) >= dropped[:, None]
    keep[0] = True
    distance = 1 - np.sqrt(keep.mean(axis=1))
    weights = np.exp(-((distance / WIDTH) ** 2) / 2)
    return _ridge(keep.astype(float), margins(batch, row, keep), weights / weights.sum())


def _ridge(sets: NDArray[np.float64], values: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Slopes of the weighted fit (weights sum to 1); the intercept is not penalised."""
    centred, rest = sets - weights @ sets, values - weights @ values
    gram = (centred * weights[:, None]).T @ centred
    return np.asarray(np.linalg.solve(gram + RIDGE * np.eye(len(gram)), (centred * weights[:, None]).T @ rest), float)
