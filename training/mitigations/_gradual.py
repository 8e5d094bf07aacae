"""Pruning more and more in the course of a training, by a rank of the weights: settings, schedule, steps.

The schedule is equation 1 of Zhu and Gupta, "To prune, or not to prune", 2017, arXiv 1710.01878.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from training.hooks import State
from training.mitigations import _pruning

UPDATES = 100
Rank = Callable[[torch.Tensor, Any], torch.Tensor]


@dataclass(frozen=True)
class Gradual:
    """The settings of a mitigation that prunes more and more, along the cubic schedule of `share_at`."""

    sparsity: float = 0.5
    """s, the share of zeros in each matrix at the end, 0 < s < 1; the suite's, untuned."""
    start: float = 0.1
    """Share of the steps before the first pruning, 0 <= start < end; the suite's, the end of the warm-up."""
    end: float = 0.7
    """Share of the steps after which s is reached, start < end <= 1; the suite's, untuned."""

    def __post_init__(self) -> None:
        if not 0 < self.sparsity < 1:
            raise ValueError(f"sparsity is {self.sparsity}; it must lie in 0 < sparsity < 1")
        if not 0 <= self.start < self.end <= 1:
            raise ValueError(f"start is {self.start} and end is {self.end}; they must keep 0 <= start < end <= 1")


def share_at(done: int, total: int, sparsity: float, start: float, end: float) -> float:
    """Share of pruned weights after `done` steps: 0 until `start`, s (1 - (1 - x)^3) from there to `end`, then s."""
    progress = min(1.0, max(0.0, (done / total - start) / (end - start)))
    return sparsity * (1 - (1 - progress) ** 3)


def keep_largest(ranking: torch.Tensor, share: float) -> torch.Tensor:
    """True but for the `share` of entries with the smallest rank; ties with the last of these go, too."""
    cut = round(share * ranking.numel())
    if cut == 0:
        return torch.ones_like(ranking, dtype=torch.bool)
    return ranking > ranking.flatten().kthvalue(cut).values


def renew(state: State, mitigation: str, config: Gradual, rank: Rank) -> None:
    """After a step: masks all but the best by `rank(weight, holder)`, about UPDATES times in a training."""
    _pruning.still_learning(state, mitigation)
    done = state.step + 1
    if done % max(1, state.total_steps // UPDATES) == 0:
        share = share_at(done, state.total_steps, config.sparsity, config.start, config.end)
        prune(state.module, share, rank)


@torch.no_grad()
def prune(module: torch.nn.Module, share: float, rank: Rank) -> None:
    for weight, holder in _pruning.masked(module):
        holder.mask.copy_(keep_largest(rank(weight, holder), share))


def finish(module: torch.nn.Module, config: Gradual, rank: Rank) -> torch.nn.Module:
    """After training: the last share of zeros, in plain weights."""
    # changes nothing unless early stopping has brought an earlier epoch back
    prune(module, config.sparsity, rank)
    return _pruning.bake(module)
