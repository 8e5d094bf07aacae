"""SAM: the gradient is taken at the worst nearby weights, so that training prefers flat minima.

Foret et al., "Sharpness-Aware Minimization for Efficiently Improving Generalization", ICLR 2021, arXiv 2010.01412,
algorithm 1: g = grad L(w); w_adv = w + rho * g / ||g||_2, over all trained parameters; the optimiser steps from w along
grad L(w_adv). Both gradients see the same batch; dropout is drawn anew.

The second gradient is back-propagated inside the loss, while the weights are moved; then they are put back bit by bit
and the loss returned is 0. Telemetry records L(w_adv). rho = 0.05 is a common default of public code and was not tuned.
Two forward and two backward passes a step.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from training.hooks import Batch, Forward, Output, State

FAMILY = "gradients"
SOURCE = "Foret et al. 2021, arXiv 2010.01412"
PASSES = (2, 2)
VERSION = 1
TASKS = ("classification", "tagging")
BACKPROPAGATES = True


@dataclass(frozen=True)
class Config:
    rho: float = 0.05
    """Length of the move in weight space, an L2 norm over all trained parameters, > 0."""

    def __post_init__(self) -> None:
        if not 0 < self.rho < 1e3:
            raise ValueError(f"rho is {self.rho}; it must lie in 0 < rho < 1000")


def loss(forward: Forward, state: State, batch: Batch, config: Config) -> Output:
    trained = [parameter for parameter in state.module.parameters() if parameter.requires_grad]
    found = torch.autograd.grad(forward(batch).loss, trained, allow_unused=True)
    moved = [(p, g) for p, g in zip(trained, found, strict=True) if g is not None]
    length = torch.stack(torch._foreach_norm([g for _, g in moved])).norm().clamp_min(1e-12)
    before = [p.detach().clone() for p, _ in moved]
    with torch.no_grad():
        for parameter, gradient in moved:
            parameter.add_(config.rho * gradient / length)
    # autocast keeps low-precision copies of the weights, which are no longer theirs
    torch.clear_autocast_cache()
    sharp = forward(batch)
    state.backward(sharp.loss)
    with torch.no_grad():
        for (parameter, _), value in zip(moved, before, strict=True):
            parameter.copy_(value)
    torch.clear_autocast_cache()
    # the loop back-propagates what it gets: a constant that reaches no parameter
    return Output(torch.zeros_like(sharp.loss, requires_grad=True), sharp.logits.detach())
