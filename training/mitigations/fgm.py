"""FGM: one gradient step of adversarial perturbation on the word embeddings.

Miyato, Dai and Goodfellow, "Adversarial Training Methods for Semi-Supervised Text Classification", ICLR 2017, arXiv
1605.07725, equations 5-6: r = epsilon * g / ||g||_2 with g the gradient of the loss with respect to the embeddings of
the whole sequence; the model is trained on L(e) + L(e + r).

Deviations: the paper normalises an LSTM's embeddings to unit variance and uses epsilon 5; a pretrained encoder's
embeddings stay as they are and epsilon is 1 per sequence, the usual choice for BERT-type models. Special tokens and
padding are not perturbed. The clean loss is back-propagated first, so that its gradient serves both the parameters and
the perturbation: two forward and two backward passes a step.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from training.hooks import Batch, Forward, Output, State

FAMILY = "adversarial"
VERSION = 1
TASKS = ("classification", "tagging")
BACKPROPAGATES = True


@dataclass(frozen=True)
class Config:
    epsilon: float = 1.0
    """L2 norm of the perturbation of one sequence's embeddings, > 0; 1.0 is common practice for BERT-type encoders."""

    def __post_init__(self) -> None:
        if not 0 < self.epsilon < 1e3:
            raise ValueError(f"epsilon is {self.epsilon}; it must lie in 0 < epsilon < 1000")


def loss(forward: Forward, state: State, batch: Batch, config: Config) -> Output:
    embeddings = state.embed(batch)
    # a leaf beside the embedding table: its gradient is g, whatever the table's own requires_grad says
    shift = torch.zeros_like(embeddings, requires_grad=True)
    clean = forward(batch.with_embeddings(embeddings + shift))
    state.backward(clean.loss)
    gradient = torch.zeros_like(shift) if shift.grad is None else shift.grad * batch.word_mask.unsqueeze(-1)
    norm = gradient.flatten(1).norm(dim=1).clamp_min(1e-12)
    perturbation = config.epsilon * gradient / norm[:, None, None]
    return forward(batch.with_embeddings(state.embed(batch) + perturbation))
