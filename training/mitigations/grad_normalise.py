"""Gradient normalisation: every step's gradient has the same norm. Known to fake robustness; read the flag `masking`.

g <- norm * g / ||g||_2 over all parameters, also where the gradient is small; clipping only shortens. Raina et al.,
"Extreme Miscalibration and the Illusion of Adversarial Robustness", ACL 2024, arXiv 2402.17509, found that training so
makes a model over-confident, that attacks then lose the score they climb, and that the gain in accuracy under attack
vanishes when the temperature is calibrated. It is on the shelf to show that: its raw robustness is not a result.

It replaces the baseline's clipping. The norm is the suite's baseline's clipping norm of 1; AdamW forgets a constant
factor, so what matters is that the norms are equal over the steps.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from training.hooks import State

FAMILY = "gradients"
SOURCE = "control; Raina et al. 2024, arXiv 2402.17509"
VERSION = 1
TASKS = ("classification", "tagging")


@dataclass(frozen=True)
class Config:
    norm: float = 1.0
    """Global L2 norm of every step's gradient, > 0."""

    def __post_init__(self) -> None:
        if not 0 < self.norm < 1e6:
            raise ValueError(f"norm is {self.norm}; it must lie in 0 < norm < 1e6")


def after_backward(state: State, config: Config) -> None:
    gradients = [p.grad for p in state.module.parameters() if p.grad is not None]
    total = torch.stack(torch._foreach_norm(gradients)).norm()
    torch._foreach_mul_(gradients, config.norm / total.clamp_min(1e-12))
    state.clipped = total > config.norm
