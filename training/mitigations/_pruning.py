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


class Masked(torch.nn.Module):
    """w -> w * mask; nothing is masked at the start."""

    mask: torch.Tensor

    def __init__(self, weight: torch.Tensor) -> None:
        super().__init__()
        self.register_buffer("mask", torch.ones_like(weight, dtype=torch.bool))

    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        return weight * self.mask


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


def still_learning(state: State, mitigation: str) -> None:
    """Raises UserError in the first step when what is named after `mitigation` has frozen masked weights."""
    if state.step == 0 and not all(weight.requires_grad for weight, _ in masked(state.module)):
        raise UserError(
            f"'{mitigation}' prunes weights that learn, and what is named after it froze some. Leave out one."
        )


def bake(module: torch.nn.Module) -> torch.nn.Module:
    """Masks become zeros in plain weights."""
    module.eval()
    parts = [part for part in module.modules() if parametrize.is_parametrized(part, "weight")]
    for part in parts:
        if hasattr(part.parametrizations["weight"][0], "mask"):  # type: ignore[index]
            parametrize.remove_parametrizations(part, "weight", leave_parametrized=True)
    return module
