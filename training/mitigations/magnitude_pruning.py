"""Magnitude pruning: during training the smallest weights of the encoder become 0, more and more, and stay 0.

Han et al., "Learning both Weights and Connections for Efficient Neural Networks", NeurIPS 2015, arXiv 1506.02626: the
smallest |w| go. Gradually, as in Zhu and Gupta, "To prune, or not to prune", 2017, arXiv 1710.01878, equation 1: the
share of zeros is s (1 - (1 - x)^3), x running from 0 to 1 between two points of the training; on BERT Gordon, Duh and
Andrews, "Compressing BERT", 2020, arXiv 2002.08307.

Each weight matrix of the encoder blocks is ranked by itself; embeddings, layer norms, biases, pooler and head are left
out, also of the count. A pruned weight gets no gradient and does not come back. About 100 prunings in a training.
Zeros save nothing here: the matrices stay dense. The checkpoint is a plain model. Beside 'ema' and its like, which
average weights at the end, name this one last.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from training.hooks import Context, State
from training.mitigations import _pruning

FAMILY = "efficiency"
SOURCE = "Zhu and Gupta 2017, arXiv 1710.01878"
VERSION = 1
TASKS = ("classification", "tagging")


@dataclass(frozen=True)
class Config:
    sparsity: float = 0.5
    """s, the share of zeros in each matrix at the end, 0 < s < 1; the suite's, untuned."""
    start: float = 0.1
    """Share of the steps before the first pruning, 0 <= start < end; the suite's, the end of the warm-up."""
    end: float = 0.7
    """Share of the steps after which s is reached, start < end <= 1; the suite's, untuned."""

    def __post_init__(self) -> None:
        _pruning.check(self.sparsity, self.start, self.end)


def _rank(weight: torch.Tensor, holder: Any) -> torch.Tensor:
    return (weight * holder.mask).abs()


def prepare_model(module: torch.nn.Module, context: Context, config: Config) -> torch.nn.Module:
    return _pruning.attach(module, "magnitude_pruning", _pruning.Masked)


def after_step(state: State, config: Config) -> None:
    share = _pruning.share_at(state.step + 1, state.total_steps, config.sparsity, config.start, config.end)
    _pruning.renew(state, "magnitude_pruning", share, _rank)


def after_training(module: torch.nn.Module, state: State, config: Config) -> torch.nn.Module:
    # changes nothing unless early stopping has brought an earlier epoch back
    _pruning.prune(module, config.sparsity, _rank)
    return _pruning.bake(module)
