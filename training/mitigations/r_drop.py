"""R-Drop: two dropout passes over the same text must predict alike.

Liang et al., "R-Drop: Regularized Dropout for Neural Networks", NeurIPS 2021, arXiv 2106.14448:
(CE_1 + CE_2) / 2 + alpha * (KL(p_1 || p_2) + KL(p_2 || p_1)) / 2, where p_1 and p_2 come from two draws of the dropout
masks. The gradient flows through both.

Deviations: both terms are means over the batch; the authors' README sums the divergence, which makes alpha depend on
the batch size. For tagging both are means over the labelled pieces. alpha is the suite's and was not tuned. Two forward
passes a step. Without dropout the divergence is 0 and this is the baseline at twice the cost.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from training.hooks import IGNORE, Batch, Forward, Output, State

FAMILY = "gradients"
SOURCE = "Liang et al. 2021, arXiv 2106.14448"
PASSES = (2, 2)
VERSION = 1
TASKS = ("classification", "tagging")


@dataclass(frozen=True)
class Config:
    alpha: float = 1.0
    """Weight of the divergence, >= 0."""

    def __post_init__(self) -> None:
        if not self.alpha >= 0:
            raise ValueError(f"alpha is {self.alpha}; it must not be negative")


def loss(forward: Forward, state: State, batch: Batch, config: Config) -> Output:
    one, two = forward(batch), forward(batch)
    log_p, log_q = torch.log_softmax(one.logits.float(), dim=-1), torch.log_softmax(two.logits.float(), dim=-1)
    # KL(p||q) + KL(q||p) = sum (p - q) (log p - log q)
    both = ((log_p.exp() - log_q.exp()) * (log_p - log_q)).sum(dim=-1)[batch.labels != IGNORE].mean()
    return Output((one.loss + two.loss) / 2 + config.alpha * both / 2, one.logits)
