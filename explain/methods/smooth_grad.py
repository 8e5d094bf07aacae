"""SmoothGrad: input x gradient with the gradient averaged over noisy copies of the text.

Smilkov, Thorat, Kim, Viegas and Wattenberg, "SmoothGrad: removing noise by adding noise", 2017, arXiv 1706.03825,
on word embeddings:

    A_i = (x_i - x'_i) . mean over k of df(x + e_k) / dx_i,    e_k normal with standard deviation s

f is the logit margin and x' the masked text (see explain.engine). As in the paper s is a share of the range of x
(largest less smallest component) and 50 copies are made. Ours: the range is that of the text's own words, only words
get noise (special tokens stay), and the averaged gradient is multiplied by x - x', which gives the score a sign. Noise
is drawn per text from its seed, so neither batch nor padding changes it (Captum's NoiseTunnel has one global stream).
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
    """samples: noisy copies of each text, 1 to 4096. noise: s as a share of the range of x, 0 to 1."""

    samples: int = 50
    noise: float = 0.1

    def __post_init__(self) -> None:
        check(self.samples, self.noise, 0.1)


def attribute(batch: Batch, config: Config) -> Tensor:
    """(b, t): difference to the baseline times the mean gradient, the embedding axis summed."""
    rngs = [np.random.default_rng(seed) for seed in batch.seeds]
    total = torch.zeros_like(batch.inputs)
    for _, copies in parts(batch, config.samples):
        points = torch.cat([batch.inputs + _noise(batch, rngs, config.noise) for _ in range(copies)])
        total += gradient(batch, points, copies).view(copies, *total.shape).sum(0)
    return ((batch.inputs - batch.baselines) * total).sum(-1) / config.samples


def _noise(batch: Batch, rngs: list[np.random.Generator], share: float) -> Tensor:
    """(b, t, d), zero outside words; each text draws (words' pieces, d) from its own generator."""
    noise = torch.zeros_like(batch.inputs)
    for row, rng in enumerate(rngs):
        inside, drawn = word_noise(batch, row, rng, share)
        noise[row, inside] = drawn
    return noise
