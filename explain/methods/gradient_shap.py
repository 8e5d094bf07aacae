"""GradientSHAP: integrated gradients by random points, of noisy copies of the text.

Lundberg and Lee, "A Unified Approach to Interpreting Model Predictions", 2017, arXiv 1705.07874; as expected gradients
in Erion, Janizek, Sturmfels, Lundberg and Lee, 2019, arXiv 1906.10670, on word embeddings:

    A_i = mean over k of (x_i + e_k - x'_i) . df(x' + a_k (x + e_k - x')) / dx_i,    e_k normal, a_k in [0, 1]

f is the logit margin and x' the masked text (see explain.engine), the only baseline. Differences to Captum's
GradientShap: the a_k are one uniform draw in each of `samples` equal parts of [0, 1] (same mean, less spread), noise is
a share of the range of the text's own words and falls on words only, and every text draws from its own seed.
The sum to f(x) - f(x') holds in expectation and without noise only, so it is not promised.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from torch import Tensor

    from explain.engine import Batch

VERSION = 1
TASKS = ("classification", "tagging")
HAS_COMPLETENESS = False


@dataclass(frozen=True)
class Config:
    """samples: points for each text, 1 to 4096. noise: standard deviation as a share of the range of x, 0 to 1."""

    samples: int = 50
    noise: float = 0.05

    def __post_init__(self) -> None:
        if not 1 <= self.samples <= 4096:
            raise ValueError(f"samples is {self.samples}: give 1 to 4096")
        if not 0 <= self.noise <= 1:
            raise ValueError(f"noise is {self.noise}: give a share from 0 to 1, such as 0.05")


def attribute(batch: Batch, config: Config) -> Tensor:
    """(b, t): the mean over points, the embedding axis summed."""
    rngs = [np.random.default_rng(seed) for seed in batch.seeds]
    texts, total = len(rngs), torch.zeros(batch.word_of.shape, device=batch.inputs.device)
    at_once = max(1, batch.rows // texts)
    for start in range(0, config.samples, at_once):
        copies = min(at_once, config.samples - start)
        drawn = [_draw(batch, rngs, config.noise) for _ in range(copies)]
        steps = torch.cat([step for step, _ in drawn])
        parts = torch.arange(start, start + copies).repeat_interleave(texts)
        along = ((parts + torch.cat([place for _, place in drawn])) / config.samples).to(steps)
        points = (batch.baselines.repeat(copies, 1, 1) + along[:, None, None] * steps).requires_grad_(True)
        repeated = (torch.cat([part] * copies) for part in (batch.targets, batch.others))
        margins = batch.forward(points, batch.attention_mask.repeat(copies, 1), *repeated)
        (gradient,) = torch.autograd.grad(margins.sum(), points)
        total += (steps * gradient).sum(-1).view(copies, *total.shape).sum(0)
    return total / config.samples


def _draw(batch: Batch, rngs: list[np.random.Generator], share: float) -> tuple[Tensor, Tensor]:
    """x + e - x' (b, t, d), e zero outside words, and a place (b,) in the sample's part of [0, 1).

    Each text draws both from its own generator, sample by sample, so that no batch changes its stream.
    """
    step, places = batch.inputs - batch.baselines, []
    for row, rng in enumerate(rngs):
        inside = (batch.word_of[row] >= 0).to(step.device)
        pieces = batch.inputs[row, inside]
        drawn = torch.from_numpy(rng.standard_normal(tuple(pieces.shape), dtype=np.float32)).to(step.device)
        step[row, inside] += drawn * (share * (pieces.max() - pieces.min()))
        places.append(rng.random())
    return step, torch.tensor(places)
