"""Token cutoff: a view of the text with some pieces hidden must get the same label and the same prediction.

Shen et al., "A Simple but Tough-to-Beat Data Augmentation Approach for Natural Language Understanding and Generation",
arXiv 2009.13818: L = CE(p, y) + weight * CE(q, y) + divergence_weight * JS(p, q), with q the prediction for the view,
JS(p, q) = KL(p || m) / 2 + KL(q || m) / 2 and m = (p + q) / 2. In the token variant a random share of the positions
is hidden from the model. Both weights 1 and the share 0.1 are those of the authors'
script for its span variant.

Deviations: one view per text. A hidden piece has a zero word embedding and is masked from attention; its position
embedding stays, as the hook ends at the word embeddings. The number of hidden pieces is rounded up, as a tenth of a
short sentence is less than one; special tokens stay. For tagging, hidden pieces keep their labels, which then have to
be read off the context. Two forward passes a step.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

import torch

from training.hooks import IGNORE, Batch, Forward, Output, State

FAMILY = "generalisation"
SOURCE = "Shen et al. 2020, arXiv 2009.13818"
PASSES = (2, 2)
VERSION = 1
TASKS = ("classification", "tagging")


@dataclass(frozen=True)
class Config:
    share: float = 0.1
    """Share of each text's pieces that is hidden, 0 < share < 1; at least one piece."""
    weight: float = 1.0
    """Weight of the view's cross-entropy, >= 0."""
    divergence_weight: float = 1.0
    """Weight of the Jensen-Shannon divergence in nats, >= 0."""

    def __post_init__(self) -> None:
        if not 0 < self.share < 1:
            raise ValueError(f"share is {self.share}; it must lie in 0 < share < 1")
        if not self.weight >= 0:
            raise ValueError(f"weight is {self.weight}; it must not be negative")
        if not self.divergence_weight >= 0:
            raise ValueError(f"divergence_weight is {self.divergence_weight}; it must not be negative")


def loss(forward: Forward, state: State, batch: Batch, config: Config) -> Output:
    kept = ~_draw(state, batch, config.share)
    whole = forward(batch)
    embeddings = state.embed(batch)
    view = dataclasses.replace(
        batch, embeddings=embeddings * kept.unsqueeze(-1), attention_mask=batch.attention_mask * kept
    )
    cut = forward(view)
    divergence = _jensen_shannon(whole.logits, cut.logits)[batch.labels != IGNORE].mean()
    total = whole.loss + config.weight * cut.loss + config.divergence_weight * divergence
    return Output(total, whole.logits)


def _draw(state: State, batch: Batch, share: float) -> torch.Tensor:
    """True where a piece is hidden, (n, length): ceil(share * words) random pieces of words in each row."""
    noise = torch.rand(batch.input_ids.shape, generator=state.generator).to(batch.input_ids.device)
    rank = noise.masked_fill(batch.word_mask == 0, torch.inf).argsort(dim=1).argsort(dim=1)
    return rank < torch.ceil(share * batch.word_mask.sum(dim=1, keepdim=True))


def _jensen_shannon(one: torch.Tensor, two: torch.Tensor) -> torch.Tensor:
    """JS divergence in nats of the softmaxes over the last axis; 0..log 2."""
    log_p, log_q = torch.log_softmax(one.float(), dim=-1), torch.log_softmax(two.float(), dim=-1)
    p, q = log_p.exp(), log_q.exp()
    log_m = torch.logaddexp(log_p, log_q) - math.log(2)
    return ((p * (log_p - log_m)).sum(dim=-1) + (q * (log_q - log_m)).sum(dim=-1)) / 2
