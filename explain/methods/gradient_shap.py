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

from explain.methods._gradients import check, gradient, parts, word_noise

if TYPE_CHECKING:
    from torch import Tensor

    from explain.engine import Batch

VERSION = 1
TASKS = ("classification", "tagging")
HAS_COMPLETENESS = False
COSTLY = True


@dataclass(frozen=True)
class Config:
    """samples: points for each text, 1 to 4096. noise: standard deviation as a share of the range of x, 0 to 1."""

    samples: int = 50
    noise: float = 0.05

    def __post_init__(self) -> None:
        check(self.samples, self.noise, 0.05)


def attribute(batch: Batch, config: Config) -> Tensor:
    """(b, t): the mean over points, the embedding axis summed."""
    rngs = [np.random.default_rng(seed) for seed in batch.seeds]
    total = torch.zeros(batch.word_of.shape, device=batch.inputs.device)
    for start, copies in parts(batch, config.samples):
        drawn = [_draw(batch, rngs, config.noise) for _ in range(copies)]
        steps = torch.cat([step for step, _ in drawn])
        places = torch.arange(start, start + copies).repeat_interleave(len(rngs))
        along = ((places + torch.cat([place for _, place in drawn])) / config.samples).to(steps)
        points = batch.baselines.repeat(copies, 1, 1) + along[:, None, None] * steps
        total += (steps * gradient(batch, points, copies)).sum(-1).view(copies, *total.shape).sum(0)
    return total / config.samples


def _draw(batch: Batch, rngs: list[np.random.Generator], share: float) -> tuple[Tensor, Tensor]:
    """x + e - x' (b, t, d), e zero outside words, and a place (b,) in the sample's part of [0, 1).

    Each text draws both from its own generator, sample by sample, so that no batch changes its stream.
    """
    step, places = batch.inputs - batch.baselines, []
    for row, rng in enumerate(rngs):
        inside, noise = word_noise(batch, row, rng, share)
        step[row, inside] += noise
        places.append(rng.random())
    return step, torch.tensor(places)
