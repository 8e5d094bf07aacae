"""Slopes at points near the texts, and noise on their words: what the plain and noisy gradients share. Not a method."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from torch import Tensor

    from explain.engine import Batch


def check(samples: int, noise: float, such_as: float) -> None:
    """Raises ValueError for a number of noisy copies, or a share of the range of x, that makes no sense."""
    if not 1 <= samples <= 4096:
        raise ValueError(f"samples is {samples}: give 1 to 4096")
    if not 0 <= noise <= 1:
        raise ValueError(f"noise is {noise}: give a share from 0 to 1, such as {such_as}")


def gradient(batch: Batch, points: Tensor, copies: int = 1) -> Tensor:
    """df/dx at points (copies x b, t, d), `copies` times the batch's texts in their order; of the points' shape."""
    points = points.requires_grad_(True)
    repeated = (torch.cat([index] * copies) for index in (batch.targets, batch.others))
    margins = batch.forward(points, batch.attention_mask.repeat(copies, 1), *repeated)
    (found,) = torch.autograd.grad(margins.sum(), points)
    return found


def parts(batch: Batch, samples: int) -> Iterator[tuple[int, int]]:
    """(first sample, how many) of each forward pass: as many copies of the batch as its rows allow."""
    at_once = max(1, batch.rows // len(batch.seeds))
    for start in range(0, samples, at_once):
        yield start, min(at_once, samples - start)


def word_noise(batch: Batch, row: int, rng: np.random.Generator, share: float) -> tuple[Tensor, Tensor]:
    """Which pieces of text `row` are words, (t,), and normal noise for each of them, (words' pieces, d).

    Its standard deviation is `share` of the range of the text's own words, their largest component less the smallest.
    """
    inside = (batch.word_of[row] >= 0).to(batch.inputs.device)
    pieces = batch.inputs[row, inside]
    drawn = torch.from_numpy(rng.standard_normal(tuple(pieces.shape), dtype=np.float32)).to(pieces.device)
    return inside, drawn * (share * (pieces.max() - pieces.min()))
