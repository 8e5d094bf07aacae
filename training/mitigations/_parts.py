"""What learns beside a frozen encoder: freezing around the parts of a mitigation, and nothing else freezing them."""

from __future__ import annotations

from collections.abc import Callable

import torch

from training.errors import UserError
from training.hooks import State
from training.telemetry import layer_of


def is_head(name: str) -> bool:
    """Whether a parameter belongs to the task's new head; BERT's pooler is pretrained."""
    return layer_of(name) == "head" and "pooler" not in name.split(".")


def learn_only(module: torch.nn.Module, mitigation: str, chosen: Callable[[str], bool]) -> torch.nn.Module:
    """Only the parameters whose name is `chosen` learn. Raises UserError when something is frozen already."""
    if not all(parameter.requires_grad for parameter in module.parameters()):
        raise UserError(
            f"'{mitigation}' chooses which parameters learn, and so does what is named before it. Leave out one."
        )
    for name, parameter in module.named_parameters():
        parameter.requires_grad_(chosen(name))
    return module


def still_learning(state: State, mitigation: str, chosen: Callable[[str], bool]) -> None:
    """Raises UserError in the first step when what is named after `mitigation` has frozen its parts."""
    if state.step == 0 and not all(p.requires_grad for name, p in state.module.named_parameters() if chosen(name)):
        raise UserError(
            f"'{mitigation}' chooses which parameters learn, and what is named after it froze them. Leave out one."
        )
