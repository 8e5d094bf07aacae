"""VAT: the prediction must not move when the embeddings do, in the direction in which it would move most.

Miyato et al., "Virtual Adversarial Training: A Regularization Method for Supervised and Semi-Supervised Learning",
arXiv 1704.03976; on text: Miyato, Dai and Goodfellow, ICLR 2017, arXiv 1605.07725. The loss is
L(e) + weight * KL(p(e) || p(e + r)), r = epsilon * g / ||g||_2, with g the gradient of KL(p(e) || p(e + xi * d)) at d,
a random unit vector: one step of the power iteration. p(e) is held constant; no labels enter the KL.

Deviations: the KL is taken on the labelled texts only, as every arm has the same data; special tokens and padding are
not perturbed; for tagging it is the mean over the labelled pieces. Dropout is drawn anew in every pass (and a GPU
rounds to bfloat16), so with dropout on, g also points to where those random differences grow; it is the exact direction
with dropout off. epsilon is the suite's and was not tuned: the radius at which `fgm` still learnt on BERT-tiny (mean
norm of a word's embedding 0.68). Three forward passes a step.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from training.hooks import Batch, Forward, Output, State
from training.mitigations._embedding_ball import check_lengths, divergence, unit

FAMILY = "adversarial"
SOURCE = "Miyato et al. 2018, arXiv 1704.03976"
PASSES = (3, 3)
VERSION = 1
TASKS = ("classification", "tagging")


@dataclass(frozen=True)
class Config:
    epsilon: float = 0.1
    """L2 norm of the perturbation of one sequence's embeddings, > 0."""
    xi: float = 0.01
    """Length of the probe that finds the direction, > 0; small, but well above float32's rounding."""
    weight: float = 1.0
    """Weight of the divergence, >= 0."""

    def __post_init__(self) -> None:
        check_lengths(self, "epsilon", "xi")
        if not self.weight >= 0:
            raise ValueError(f"weight is {self.weight}; it must not be negative")


def loss(forward: Forward, state: State, batch: Batch, config: Config) -> Output:
    clean = forward(batch)
    target = clean.logits.detach()
    fixed = state.embed(batch).detach()
    mask = batch.word_mask.unsqueeze(-1)
    probe = torch.randn(fixed.shape, generator=state.generator).to(fixed) * mask
    probe = (config.xi * unit(probe)).requires_grad_()
    probed = forward(batch.with_embeddings(fixed + probe))
    (gradient,) = torch.autograd.grad(divergence(target, probed.logits, batch.labels), probe)
    shift = config.epsilon * unit(gradient * mask)
    moved = forward(batch.with_embeddings(state.embed(batch) + shift))
    distance = divergence(target, moved.logits, batch.labels)
    return Output(clean.loss + config.weight * distance, clean.logits)
