"""Random scores: the control that every explainer must beat.

One standard normal draw per word, from a generator seeded by sha256 of (seed, text). It looks at neither the
model nor the words' order in a batch. Its expected faithfulness gap is zero by symmetry.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

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
    counts = (batch.word_of.max(dim=1).values + 1).tolist()
    pairs = zip(batch.seeds, counts, strict=True)
    return batch.place([np.random.default_rng(seed).standard_normal(count).tolist() for seed, count in pairs])
