"""Label smoothing: the target keeps 1 - share of its mass, the rest is spread over all classes.

Szegedy et al., "Rethinking the Inception Architecture for Computer Vision", CVPR 2016, arXiv 1512.00567, section 7:
L = (1 - share) * CE(y, p) + share * CE(u, p), u uniform over the classes. Smoothing lowers the confidence of a model,
and a score-based attack feels that: read its robustness after calibration only.

The difference to plain cross-entropy is added to whatever loss is inside, so that the terms of another mitigation keep
their weight. For tagging it is the mean over the labelled pieces.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from training.hooks import IGNORE, Batch, Forward, Output, State

FAMILY = "generalisation"
SOURCE = "Szegedy et al. 2016, arXiv 1512.00567"
VERSION = 1
TASKS = ("classification", "tagging")


@dataclass(frozen=True)
class Config:
    share: float = 0.1
    """Mass taken from the gold label, 0 < share < 1; 0.1 is the paper's."""

    def __post_init__(self) -> None:
        if not 0 < self.share < 1:
            raise ValueError(f"share is {self.share}; it must lie in 0 < share < 1")


def loss(forward: Forward, state: State, batch: Batch, config: Config) -> Output:
    output = forward(batch)
    labelled = batch.labels != IGNORE
    log_p = torch.log_softmax(output.logits.float(), dim=-1)[labelled]
    gold = log_p.gather(-1, batch.labels[labelled].unsqueeze(-1)).mean()
    return Output(output.loss + config.share * (gold - log_p.mean()), output.logits)
