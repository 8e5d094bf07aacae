"""Saliency: the length of the gradient at each word. UNSIGNED: it says how much a word matters, not for which class.

Simonyan, Vedaldi and Zisserman, "Deep Inside Convolutional Networks", 2014, arXiv 1312.6034, section 3, with the L2
norm over the embedding in place of their maximum over colours. A word of several pieces gets the norm over all of
them together:

    S_w = || (df / dx_i for every piece i of w) ||_2

f is the logit margin (see explain.engine). Every score is 0 or above, so words that speak against the class rank
beside those that speak for it: expect a low faithfulness gap for that reason alone. The embedding itself plays no part.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from explain.methods._gradients import gradient

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
    """(b, t): each word's gradient norm on its first piece, zero elsewhere."""
    squares = gradient(batch, batch.inputs.clone()).square().sum(-1).cpu().double()
    scores = []
    for row, owner in zip(squares, batch.word_of.cpu(), strict=True):
        summed = torch.zeros(int(owner.max()) + 1, dtype=torch.float64)
        scores.append(summed.index_add_(0, owner[owner >= 0], row[owner >= 0]).sqrt().tolist())
    return batch.place(scores)
