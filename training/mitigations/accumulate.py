"""Gradient accumulation: each batch goes through the model in parts whose gradients add up to that of the whole.

Our own formulation of a standard device: g = sum over k of (n_k / N) * g_k, with g_k the gradient of the mean loss of
part k, n_k its number of labelled texts (or labelled pieces, for tagging) and N the batch's. The plain mean of g_k is
wrong when parts hold unequal numbers of labels. With dropout off it is the unsplit batch's gradient for every loss that
is a mean over the labels; with dropout on it differs only in how the masks are drawn.

It saves memory and is here as a check: expect the baseline's scores. A loss below it that reads the batch as a whole
(groups, pairs of texts) sees one part at a time. Parts keep the batch's padding, so a step costs what the baseline's
costs, in `parts` passes over smaller batches. A batch of fewer texts than parts is split into single texts.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from training.hooks import IGNORE, Batch, Forward, Output, State

FAMILY = "gradients"
SOURCE = "our own check of a standard device"
PASSES = (4, 4)
VERSION = 1
TASKS = ("classification", "tagging")
BACKPROPAGATES = True


@dataclass(frozen=True)
class Config:
    parts: int = 4
    """K, into how many parts a batch is split, 2..1024; the suite's, untuned."""

    def __post_init__(self) -> None:
        if not (isinstance(self.parts, int) and 2 <= self.parts <= 1024):
            raise ValueError(f"parts is {self.parts}; it must be a whole number in 2..1024")


def loss(forward: Forward, state: State, batch: Batch, config: Config) -> Output:
    texts = len(batch.labels)
    rows = torch.arange(texts, device=batch.labels.device).tensor_split(min(config.parts, texts))
    labelled = (batch.labels != IGNORE).sum().clamp_min(1)
    logits: list[torch.Tensor] = []
    for chosen in rows[:-1]:
        weighted, found = _part(forward, batch.select(chosen), labelled)
        state.backward(weighted)
        logits.append(found.detach())
    weighted, found = _part(forward, batch.select(rows[-1]), labelled)
    return Output(weighted, torch.cat([*logits, found]))


def _part(forward: Forward, part: Batch, labelled: torch.Tensor) -> Output:
    """The part's loss times its share of the labels; 0 without any, where the mean over no label is NaN."""
    output = forward(part)
    own = (part.labels != IGNORE).sum()
    # where(), not an if: the device is never waited for
    return Output(torch.where(own > 0, output.loss * own / labelled, 0.0), output.logits)
