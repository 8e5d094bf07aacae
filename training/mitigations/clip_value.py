"""Clipping by value: every entry of the gradient is cut to [-value, value].

g_i <- max(-value, min(value, g_i)), entry by entry, where the baseline shortens the whole vector to a norm of 1
(Pascanu, Mikolov and Bengio, "On the difficulty of training recurrent neural networks", ICML 2013, algorithm 1).
Unlike that, it changes the direction of the gradient. It replaces the baseline's clipping. The value is the suite's and
was not tuned; a step counts as clipped when at least one entry was cut.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from training.hooks import State

FAMILY = "gradients"
SOURCE = "Pascanu et al. 2013, ICML (contrast)"
VERSION = 1
TASKS = ("classification", "tagging")


@dataclass(frozen=True)
class Config:
    value: float = 0.01
    """Largest absolute value an entry of the gradient may have, > 0."""

    def __post_init__(self) -> None:
        if not 0 < self.value < 1e6:
            raise ValueError(f"value is {self.value}; it must lie in 0 < value < 1e6")


def after_backward(state: State, config: Config) -> None:
    gradients = [p.grad for p in state.module.parameters() if p.grad is not None]
    largest = torch.stack(torch._foreach_norm(gradients, torch.inf)).max()
    torch.nn.utils.clip_grad_value_(state.module.parameters(), config.value)
    state.clipped = largest > config.value
