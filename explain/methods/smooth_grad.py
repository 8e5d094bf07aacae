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

if TYPE_CHECKING:
    from torch import Tensor

    from explain.engine import Batch

VERSION = 1
TASKS = ("classification", "tagging")
HAS_COMPLETENESS = False


@dataclass(frozen=True)
class Config:
    """samples: noisy copies of each text, 1 to 4096. noise: s as a share of the range of x, 0 to 1."""

    samples: int = 50
    noise: float = 0.1

    def __post_init__(self) -> None:
        if not 1 <= self.samples <= 4096:
            raise ValueError(f"samples is {self.samples}: give 1 to 4096")
        if not 0 <= self.noise <= 1:
            raise ValueError(f"noise is {self.noise}: give a share from 0 to 1, such as 0.1")


def attribute(batch: Batch, config: Config) -> Tensor:
    """(b, t): difference to the baseline times the mean gradient, the embedding axis summed."""
    rngs = [np.random.default_rng(seed) for seed in batch.seeds]
    texts, total = len(rngs), torch.zeros_like(batch.inputs)
    at_once = max(1, batch.rows // texts)
    for start in range(0, config.samples, at_once):
        copies = min(at_once, config.samples - start)
        points = torch.cat([batch.inputs + _noise(batch, rngs, config.noise) for _ in range(copies)])
        points.requires_grad_(True)
        repeated = (torch.cat([part] * copies) for part in (batch.targets, batch.others))
        margins = batch.forward(points, batch.attention_mask.repeat(copies, 1), *repeated)
        (gradient,) = torch.autograd.grad(margins.sum(), points)
        total += gradient.view(copies, *total.shape).sum(0)
    return ((batch.inputs - batch.baselines) * total).sum(-1) / config.samples


def _noise(batch: Batch, rngs: list[np.random.Generator], share: float) -> Tensor:
    """(b, t, d), zero outside words; each text draws (words' pieces, d) from its own generator."""
    noise = torch.zeros_like(batch.inputs)
    for row, rng in enumerate(rngs):
        inside = (batch.word_of[row] >= 0).to(noise.device)
        pieces = batch.inputs[row, inside]
        drawn = torch.from_numpy(rng.standard_normal(tuple(pieces.shape), dtype=np.float32)).to(noise.device)
        noise[row, inside] = drawn * (share * (pieces.max() - pieces.min()))
    return noise
