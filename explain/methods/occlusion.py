"""Occlusion: what the margin loses when one word is masked.

Zeiler and Fergus, "Visualizing and Understanding Convolutional Networks", 2013, arXiv 1311.2901, section 4.2; for text
leave-one-out (Li, Monroe and Jurafsky, 2016, arXiv 1612.08220), with the word masked instead of erased:

    A_w = f(x) - f(x with every piece of w at its baseline)

f is the logit margin (see explain.engine). One forward row a word, nothing random. Words that stand in for each other
("good, good") get too little, as the other is still there; so no sum is promised.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from explain.methods._coalitions import by_word, margins

if TYPE_CHECKING:
    from torch import Tensor

    from explain.engine import Batch

VERSION = 1
TASKS = ("classification", "tagging")
HAS_COMPLETENESS = False


@dataclass(frozen=True)
class Config:
    """Nothing to set."""


def attribute(batch: Batch, config: Config) -> Tensor:
    """(b, t): each word's loss on its first piece, zero elsewhere."""
    return by_word(
        batch, lambda row, count: float(batch.margins[row]) - margins(batch, row, ~np.eye(count, dtype=bool))
    )
