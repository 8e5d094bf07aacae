"""Saliency-guided training: the output must not move when the least salient words are masked.

Ismail, Corrada Bravo and Feizi, "Improving Deep Learning Interpretability by Saliency Guided Training", NeurIPS 2021,
arXiv 2111.14338, algorithm 1: X~ masks the k features with the lowest gradient of f(X)_y; the loss is
L(f(X), y) + lambda * KL(f(X) || f(X~)). No rationales are needed.

Deviations: a feature is a sub-word piece and its saliency the L2 norm of the gradient of the loss at its embedding;
masked means replaced by the embedding of the mask token, where the paper's text experiment replaces words by their
neighbours. Both terms are means over the batch. The gradient is taken in a pass of its own, so a step costs two forward
passes, one backward pass to the embeddings and one through both.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from training.hooks import IGNORE, Batch, Forward, Output, State

FAMILY = "interpretability"
SOURCE = "Ismail et al. 2021, arXiv 2111.14338"
PASSES = (2, 3)
VERSION = 1
TASKS = ("classification", "tagging")
TRAINED_ON_EXPLAINERS = ("saliency_l2",)


@dataclass(frozen=True)
class Config:
    share: float = 0.5
    """Share of the pieces of each text that is masked, lowest saliency first; 0..1."""
    weight: float = 1.0
    """lambda >= 0, the weight of the divergence."""

    def __post_init__(self) -> None:
        if not 0 < self.share < 1:
            raise ValueError(f"share is {self.share}; it must lie in 0 < share < 1")
        if self.weight < 0:
            raise ValueError(f"weight is {self.weight}; it must not be negative")


def loss(forward: Forward, state: State, batch: Batch, config: Config) -> Output:
    embeddings = state.embed(batch)
    shift = torch.zeros_like(embeddings, requires_grad=True)
    clean = forward(batch.with_embeddings(embeddings + shift))
    (gradient,) = torch.autograd.grad(clean.loss, shift, retain_graph=True)
    masked_ids = _mask_lowest(gradient.norm(dim=-1), batch, state.tokenizer, config.share)
    masked = forward(replace(batch, input_ids=masked_ids, embeddings=None))
    return Output(clean.loss + config.weight * _divergence(clean.logits, masked.logits, batch.labels), clean.logits)


def _mask_lowest(saliency: torch.Tensor, batch: Batch, tokenizer: object, share: float) -> torch.Tensor:
    """`input_ids` with the least salient `share` of each row's word pieces replaced by the mask token."""
    mask_id = getattr(tokenizer, "mask_token_id", None)
    if mask_id is None:
        mask_id = getattr(tokenizer, "unk_token_id", None) or 0
    count = (batch.word_mask.sum(dim=1) * share).long()
    rank = saliency.masked_fill(batch.word_mask == 0, torch.inf).argsort(dim=1).argsort(dim=1)
    return torch.where(rank < count[:, None], mask_id, batch.input_ids)


def _divergence(clean: torch.Tensor, masked: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Mean KL(softmax(clean) || softmax(masked)) over the texts, or over the labelled pieces of a tagging batch."""
    log_p = torch.log_softmax(clean.float(), dim=-1)
    log_q = torch.log_softmax(masked.float(), dim=-1)
    rows = (log_p.exp() * (log_p - log_q)).sum(dim=-1)
    return rows[labels != IGNORE].mean()
