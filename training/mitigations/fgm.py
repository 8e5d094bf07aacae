"""FGM: one gradient step of adversarial perturbation on the word embeddings.

Miyato, Dai and Goodfellow, "Adversarial Training Methods for Semi-Supervised Text Classification", ICLR 2017, arXiv
1605.07725: r = epsilon * g / ||g||_2 with g the gradient of the loss with respect to the embeddings of
the whole sequence; the model is trained on L(e) + L(e + r).

Deviations: the paper perturbs an LSTM's normalised embeddings; a pretrained encoder's embeddings stay as they are, so
epsilon has another scale. It was chosen on BERT-tiny (mean norm of a word's embedding 0.68) by validation accuracy on
movie_reviews at learning rate 3e-4: 1.0 and 0.3 stayed at 0.55, chance; 0.1 reached 0.78. Special tokens and padding
are not perturbed. The clean loss is back-propagated first, so that its gradient serves both the parameters and
the perturbation: two forward and two backward passes a step.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from training.hooks import Batch, Forward, Output, State
from training.mitigations._embedding_ball import check_radius, norms

FAMILY = "adversarial"
SOURCE = "Miyato et al. 2017, arXiv 1605.07725"
PASSES = (2, 2)
VERSION = 1
TASKS = ("classification", "tagging")
BACKPROPAGATES = True


@dataclass(frozen=True)
class Config:
    epsilon: float = 0.1
    """L2 norm of the perturbation of a sequence's embeddings, >= 0; the largest of 1.0, 0.3, 0.1 that still learnt."""

    def __post_init__(self) -> None:
        check_radius(self)


def loss(forward: Forward, state: State, batch: Batch, config: Config) -> Output:
    embeddings = state.embed(batch)
    # a leaf beside the embedding table: its gradient is g, whatever the table's own requires_grad says
    shift = torch.zeros_like(embeddings, requires_grad=True)
    clean = forward(batch.with_embeddings(embeddings + shift))
    state.backward(clean.loss)
    gradient = torch.zeros_like(shift) if shift.grad is None else shift.grad * batch.word_mask.unsqueeze(-1)
    perturbation = config.epsilon * gradient / norms(gradient)
    return forward(batch.with_embeddings(state.embed(batch) + perturbation))
