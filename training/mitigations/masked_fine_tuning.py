"""Masked fine-tuning: half of the texts are seen with random pieces masked, so that erasing words is nothing new.

Madsen, Reddy and Chandar, "Faithfulness Measurable Masked Language Models", ICML 2024: fine-tuning that includes
masked texts makes masking tokens in-distribution, and measures of faithfulness that erase tokens then ask a question
the model was trained to answer. Here each text is masked with probability `texts`; its rate is u ~ U(0, 1) and every
piece of a word is replaced by the mask token with probability u. The loss is the usual one, L(f(masked(x)), y).

Deviations: which texts of a batch are masked is drawn text by text, not a fixed half of the batch. Special tokens stay.
For tagging, masked pieces keep their labels. One forward pass a step.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import torch

from training.errors import UserError
from training.hooks import Batch, Forward, Output, State

FAMILY = "interpretability"
SOURCE = "Madsen et al. 2024, ICML"
VERSION = 1
TASKS = ("classification", "tagging")


@dataclass(frozen=True)
class Config:
    texts: float = 0.5
    """Share of the texts that is masked, 0 < texts <= 1; the others stay as they are."""

    def __post_init__(self) -> None:
        if not 0 < self.texts <= 1:
            raise ValueError(f"texts is {self.texts}; it must lie in 0 < texts <= 1")


def loss(forward: Forward, state: State, batch: Batch, config: Config) -> Output:
    mask_id = getattr(state.tokenizer, "mask_token_id", None)
    if mask_id is None:
        raise UserError("'masked_fine_tuning' needs a tokenizer with a mask token; this model's has none.")
    chosen = _draw(state, batch, config.texts)
    ids = torch.where(chosen, mask_id, batch.input_ids)
    embeddings = batch.embeddings
    if embeddings is not None:
        # an outer loss has moved the embeddings; the mask hides the moved ones too
        embedded = state.module.get_input_embeddings()(ids)  # type: ignore[operator]
        embeddings = torch.where(chosen.unsqueeze(-1), embedded, embeddings)
    return forward(dataclasses.replace(batch, input_ids=ids, embeddings=embeddings))


def _draw(state: State, batch: Batch, texts: float) -> torch.Tensor:
    """True where a piece is masked, (n, length); never on special tokens and padding."""
    rows = len(batch.input_ids)
    hit = torch.rand(rows, 1, generator=state.generator) < texts
    rate = torch.rand(rows, 1, generator=state.generator) * hit
    pieces = torch.rand(batch.input_ids.shape, generator=state.generator) < rate
    return pieces.to(batch.input_ids.device) & (batch.word_mask == 1)
