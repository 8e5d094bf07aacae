"""The layer that makes a model's logits, for the mitigations that draw it anew or change it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from training.errors import UserError
from training.hooks import Context


def head_of(module: torch.nn.Module, context: Context, mitigation: str) -> torch.nn.Linear:
    """The last linear layer with one output a label. Raises UserError where there is none."""
    linear = [part for part in module.modules() if isinstance(part, torch.nn.Linear)]
    head = [part for part in linear if part.out_features == len(context.task.labels)]
    if not head:
        raise UserError(f"'{mitigation}' finds no linear layer that makes the logits of this model.")
    return head[-1]


def redraw(
    module: torch.nn.Module, context: Context, mitigation: str, fill: Callable[..., torch.Tensor], **settings: Any
) -> torch.nn.Module:
    """Fills the head's weights by one of torch.nn.init's functions, from the run's seed; its bias becomes 0."""
    head = head_of(module, context, mitigation)
    # drawn on the CPU, so that a seed gives the same head on every device
    drawn = torch.empty(head.weight.shape)
    fill(drawn, generator=torch.Generator().manual_seed(context.seed), **settings)
    with torch.no_grad():
        head.weight.copy_(drawn)
        if head.bias is not None:
            head.bias.zero_()
    return module
