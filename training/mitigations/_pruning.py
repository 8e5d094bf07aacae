"""Masks on the weight matrices of the encoder blocks, for the mitigations that prune them.

A mask is a parametrisation, w * mask, so a pruned weight is 0 in every pass whatever the optimiser does to the number
behind it. Embeddings, layer norms, biases, pooler and head are never masked and not counted in a sparsity.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch.nn.utils import parametrize

from training.errors import UserError
from training.hooks import State
from training.telemetry import layer_of

UPDATES = 100


class Masked(torch.nn.Module):
    """w -> w * mask; nothing is masked at the start."""

    mask: torch.Tensor

    def __init__(self, weight: torch.Tensor) -> None:
        super().__init__()
        self.register_buffer("mask", torch.ones_like(weight, dtype=torch.bool))

    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        return weight * self.mask


def check(sparsity: float, start: float, end: float) -> None:
    """Raises ValueError for settings of the gradual schedule that make no sense."""
    if not 0 < sparsity < 1:
        raise ValueError(f"sparsity is {sparsity}; it must lie in 0 < sparsity < 1")
    if not 0 <= start < end <= 1:
        raise ValueError(f"start is {start} and end is {end}; they must keep 0 <= start < end <= 1")


def matrices(module: torch.nn.Module) -> list[torch.nn.Linear]:
    """The linear layers of the encoder blocks."""
    return [
        part
        for name, part in module.named_modules()
        if isinstance(part, torch.nn.Linear) and layer_of(f"{name}.weight").startswith("layer.")
    ]


def attach(module: torch.nn.Module, mitigation: str, make: Callable[[torch.Tensor], torch.nn.Module]) -> Any:
    """Puts `make(weight)`, which holds a `mask`, on every matrix of the blocks. Raises UserError when it cannot."""
    parts = matrices(module)
    if not parts:
        raise UserError(f"'{mitigation}' finds no linear layer in encoder blocks of this model. Leave it out.")
    if not all(parameter.requires_grad for parameter in module.parameters()):
        raise UserError(
            f"'{mitigation}' prunes weights that learn, and what is named before it froze some. Leave out one."
        )
    if any(parametrize.is_parametrized(part) for part in parts):
        raise UserError(f"'{mitigation}' cannot prune weights that another mitigation replaces: name it first.")
    for part in parts:
        parametrize.register_parametrization(part, "weight", make(part.weight))
    return module


def masked(module: torch.nn.Module) -> Iterator[tuple[torch.Tensor, Any]]:
    """Each masked matrix: the weight behind the mask, and what holds the mask."""
    for part in module.modules():
        if parametrize.is_parametrized(part, "weight"):
            held: Any = part.parametrizations["weight"]  # type: ignore[index]
            if hasattr(held[0], "mask"):
                yield held.original, held[0]


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


def still_learning(state: State, mitigation: str) -> None:
    """Raises UserError in the first step when what is named after `mitigation` has frozen masked weights."""
    if state.step == 0 and not all(weight.requires_grad for weight, _ in masked(state.module)):
        raise UserError(
            f"'{mitigation}' prunes weights that learn, and what is named after it froze some. Leave out one."
        )


def renew(state: State, mitigation: str, share: float, rank: Callable[[torch.Tensor, Any], torch.Tensor]) -> None:
    """After a step: masks all but the best by `rank(weight, holder)`, about UPDATES times in a training."""
    still_learning(state, mitigation)
    if (state.step + 1) % max(1, state.total_steps // UPDATES) == 0:
        prune(state.module, share, rank)


@torch.no_grad()
def prune(module: torch.nn.Module, share: float, rank: Callable[[torch.Tensor, Any], torch.Tensor]) -> None:
    for weight, holder in masked(module):
        holder.mask.copy_(keep_largest(rank(weight, holder), share))


def bake(module: torch.nn.Module) -> torch.nn.Module:
    """Masks become zeros in plain weights."""
    module.eval()
    parts = [part for part in module.modules() if parametrize.is_parametrized(part, "weight")]
    for part in parts:
        if hasattr(part.parametrizations["weight"][0], "mask"):  # type: ignore[index]
            parametrize.remove_parametrizations(part, "weight", leave_parametrized=True)
    return module
