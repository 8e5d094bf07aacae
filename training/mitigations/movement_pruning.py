"""Movement pruning: the weights that training moves towards zero become 0, whatever their size.

Sanh, Wolf and Rush, "Movement Pruning: Adaptive Sparsity by Fine-Tuning", NeurIPS 2020, arXiv 2005.07683, hard
version: the model computes with W' = W * M, M = 1 on the top v of the scores S, and S <- S - eta dL/dW' * W, the
straight-through gradient, also for masked weights, which can come back. v falls with the cubic schedule of Zhu and
Gupta 2017, arXiv 1710.01878, to 1 - sparsity. A masked weight itself gets no gradient.

S descends with Adam, as in the authors' code. Its eta follows the learning rate's schedule; as a factor on all scores
eta changes no order, so there is no setting for it. Plain descent prunes first what changes the loss most: on
ner_finance (BERT-tiny, 102 steps) that left the class frequencies and no entity, where masks drawn at random leave an
F1 of 0.68. Adam ranks by how steadily a weight moves; pruning starts later than in `magnitude_pruning`, to have steps
to judge by.

Deviations: gradients of S are not clipped; the authors freeze the embeddings, here they learn; no distillation. Each
weight matrix of the encoder blocks is ranked by itself; embeddings, layer norms, biases, pooler and head are left out.
S costs four more copies of those weights. The checkpoint is a plain model with zeros in it. Beside 'ema' and its like,
which average weights at the end, name this one last. In so short a training it stays behind magnitude pruning: entity
F1 0.48 (3 seeds) against 0.69 (1 seed) on validation of ner_finance, half of the weights, rate 1e-3.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from training.hooks import Context, State
from training.mitigations import _gradual, _pruning

FAMILY = "efficiency"
SOURCE = "Sanh et al. 2020, arXiv 2005.07683"
VERSION = 2
TASKS = ("classification", "tagging")
BETAS, TINY = (0.9, 0.999), 1e-8  # Adam's defaults


@dataclass(frozen=True)
class Config:
    sparsity: float = 0.5
    """s, the share of zeros in each matrix at the end, 0 < s < 1; the suite's, untuned."""
    start: float = 0.3
    """Share of the steps before the first pruning, 0 <= start < end; the suite's: at 0.1 NER found no entity."""
    end: float = 0.9
    """Share of the steps after which s is reached, start < end <= 1; the suite's, untuned."""

    def __post_init__(self) -> None:
        self.schedule()

    def schedule(self) -> _gradual.Gradual:
        """Raises ValueError for settings that make no schedule."""
        return _gradual.Gradual(self.sparsity, self.start, self.end)


class Scored(torch.nn.Module):
    """W -> W * M, and every backward pass through it adds to the gradient of the scores."""

    mask: torch.Tensor
    scores: torch.Tensor
    gradient: torch.Tensor
    mean: torch.Tensor
    square: torch.Tensor

    def __init__(self, weight: torch.Tensor) -> None:
        super().__init__()
        self.register_buffer("mask", torch.ones_like(weight, dtype=torch.bool))
        for name in ("scores", "gradient", "mean", "square"):
            self.register_buffer(name, torch.zeros_like(weight))

    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        used = weight * self.mask
        if used.requires_grad:
            held = weight.detach()
            used.register_hook(lambda gradient: self._collect(gradient, held))
        return used

    def _collect(self, gradient: torch.Tensor, weight: torch.Tensor) -> None:
        self.gradient.add_(gradient.detach() * weight)

    @torch.no_grad()
    def descend(self, step: int, rate: float) -> None:
        """Step number `step` (from 1) of Adam on the scores, with what was collected since the last one."""
        first, second = BETAS
        self.mean.lerp_(self.gradient, 1 - first)
        self.square.lerp_(self.gradient.square(), 1 - second)
        size = (self.square / (1 - second**step)).sqrt_().add_(TINY)
        self.scores.sub_(rate / (1 - first**step) * self.mean / size)
        self.gradient.zero_()


def _rank(weight: torch.Tensor, holder: Any) -> torch.Tensor:
    return holder.scores


def prepare_model(module: torch.nn.Module, context: Context, config: Config) -> torch.nn.Module:
    return _pruning.attach(module, "movement_pruning", Scored)


def after_step(state: State, config: Config) -> None:
    rate = state.optimizer.param_groups[0]["lr"]
    for _, holder in _pruning.masked(state.module):
        holder.descend(state.step + 1, rate)
    _gradual.renew(state, "movement_pruning", config.schedule(), _rank)


def after_training(module: torch.nn.Module, state: State, config: Config) -> torch.nn.Module:
    return _gradual.finish(module, config.schedule(), _rank)
