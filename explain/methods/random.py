"""Random scores: the control that every explainer must beat.

One standard normal draw per word, from a generator seeded by sha256 of (seed, text). It looks at neither the
model nor the words' order in a batch. Its expected faithfulness gap is zero by symmetry.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from explain.methods._coalitions import by_word

if TYPE_CHECKING:
    from torch import Tensor

    from explain.engine import Batch

VERSION = 1
TASKS = ("classification", "tagging")
HAS_COMPLETENESS = False


@dataclass(frozen=True)
class Config:
    """Nothing to set; the seed is `explain`'s argument."""


def attribute(batch: Batch, config: Config) -> Tensor:
    """(b, t): a normal draw on the first piece of each word, zero elsewhere."""
    return by_word(batch, lambda row, count: np.random.default_rng(batch.seeds[row]).standard_normal(count))
