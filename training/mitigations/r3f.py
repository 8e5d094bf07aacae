"""R3F: the prediction must not move when the embeddings get a little random noise.

Aghajanyan et al., "Better Fine-Tuning by Reducing Representational Collapse", ICLR 2021, arXiv 2008.03156:
L(e) + weight * (KL(f(e) || f(e + z)) + KL(f(e + z) || f(e))), z ~ U(-epsilon, epsilon) or N(0, epsilon^2) for every
entry of the embeddings. As in the authors' code (fairseq, examples/rxf), e is detached in the noisy branch, so no
gradient reaches the embedding table through it, and the gradient flows through both predictions; epsilon = 1e-5,
weight = 1 and uniform noise are that code's defaults.

Deviations: special tokens and padding get no noise; for tagging the divergence is the mean over the labelled pieces.
Dropout is drawn anew in both passes, as in that code, so with dropout on most of the divergence at this epsilon is that
of two dropout masks (`r_drop`); on a GPU the noise is near bfloat16's rounding. Two forward passes a step.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from training.hooks import Batch, Forward, Output, State
from training.mitigations._embedding_ball import divergence

FAMILY = "gradients"
SOURCE = "Aghajanyan et al. 2021, arXiv 2008.03156"
PASSES = (2, 2)
VERSION = 1
TASKS = ("classification", "tagging")
NOISES = ("uniform", "normal")


@dataclass(frozen=True)
class Config:
    epsilon: float = 1e-5
    """Half the width of the uniform noise, or standard deviation of the normal one, > 0; the authors' code's."""
    weight: float = 1.0
    """lambda >= 0, the weight of the divergence; the authors' code's."""
    noise: str = "uniform"
    """`uniform` or `normal`; the authors' code's default is uniform."""

    def __post_init__(self) -> None:
        if not 0 < self.epsilon < 1e3:
            raise ValueError(f"epsilon is {self.epsilon}; it must lie in 0 < epsilon < 1000")
        if not self.weight >= 0:
            raise ValueError(f"weight is {self.weight}; it must not be negative")
        if self.noise not in NOISES:
            raise ValueError(f"noise is {self.noise!r}; it must be one of {', '.join(NOISES)}")


def loss(forward: Forward, state: State, batch: Batch, config: Config) -> Output:
    clean = forward(batch)
    fixed = state.embed(batch).detach()
    noisy = forward(batch.with_embeddings(fixed + _noise(state, batch, fixed, config)))
    there = divergence(clean.logits, noisy.logits, batch.labels)
    back = divergence(noisy.logits, clean.logits, batch.labels)
    return Output(clean.loss + config.weight * (there + back), clean.logits)


def _noise(state: State, batch: Batch, fixed: torch.Tensor, config: Config) -> torch.Tensor:
    """z, of the shape of the embeddings, 0 on special tokens and padding."""
    if config.noise == "uniform":
        drawn = 2 * torch.rand(fixed.shape, generator=state.generator) - 1
    else:
        drawn = torch.randn(fixed.shape, generator=state.generator)
    return config.epsilon * drawn.to(fixed) * batch.word_mask.unsqueeze(-1)
