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

from typing import Any

import torch

from training.hooks import Context, State
from training.mitigations import _gradual, _pruning

FAMILY = "efficiency"
SOURCE = "Zhu and Gupta 2017, arXiv 1710.01878"
VERSION = 1
TASKS = ("classification", "tagging")
Config = _gradual.Gradual


def _rank(weight: torch.Tensor, holder: Any) -> torch.Tensor:
    return (weight * holder.mask).abs()


def prepare_model(module: torch.nn.Module, context: Context, config: Config) -> torch.nn.Module:
    return _pruning.attach(module, "magnitude_pruning", _pruning.Masked)


def after_step(state: State, config: Config) -> None:
    _gradual.renew(state, "magnitude_pruning", config, _rank)


def after_training(module: torch.nn.Module, state: State, config: Config) -> torch.nn.Module:
    return _gradual.finish(module, config, _rank)
