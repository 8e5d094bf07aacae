"""EMA: the model that is kept is a running mean of the weights over the steps, not the last step's weights.

Polyak and Juditsky, "Acceleration of Stochastic Approximation by Averaging", SIAM J. Control and Optimization 1992,
with exponential weights: after step t (from 1), s <- d_t * s + (1 - d_t) * w, d_t = min(decay, (1 + t) / (10 + t)),
and s = w before the first step. The rising d_t lets a short run forget its start. Training itself is the baseline's:
the mean never enters a loss. Only trained parameters are averaged. The cost is one more copy of them.

Deviation: the baseline's learning rate decays to 0, which is already a kind of averaging; it stays, so the arm differs
in one thing. Early stopping keeps the weights of an earlier epoch, which the mean would overwrite: refused together.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from training.errors import UserError
from training.hooks import Batch, Context, Forward, Output, State

FAMILY = "gradients"
SOURCE = "Polyak and Juditsky 1992, SIAM J. Control Optim."
VERSION = 1
TASKS = ("classification", "tagging")
MEAN = "ema"


@dataclass(frozen=True)
class Config:
    decay: float = 0.999
    """Largest weight of the old mean in one step, 0 < decay < 1."""

    def __post_init__(self) -> None:
        if not 0 < self.decay < 1:
            raise ValueError(f"decay is {self.decay}; it must lie in 0 < decay < 1")


def prepare_model(module: torch.nn.Module, context: Context, config: Config) -> torch.nn.Module:
    if context.settings.patience is not None:
        raise UserError("'ema' and early stopping each choose the weights to keep. Leave out one of them.")
    if hasattr(module, "merge_and_unload"):
        raise UserError("'ema' has to average before adapters are merged: name it first, as in 'ema+lora'.")
    return module


def loss(forward: Forward, state: State, batch: Batch, config: Config) -> Output:
    """The loss as it is; only here the weights before the first step can be seen, with every model hook done."""
    if MEAN not in state.memory:
        state.memory[MEAN] = [p.detach().clone() for p in _trained(state.module)]
    return forward(batch)


def after_step(state: State, config: Config) -> None:
    done = state.step + 1  # the loop counts the step after this hook
    with torch.no_grad():
        means, weights = state.memory[MEAN], [p.detach() for p in _trained(state.module)]
        torch._foreach_lerp_(means, weights, 1 - min(config.decay, (1 + done) / (10 + done)))


def after_training(module: torch.nn.Module, state: State, config: Config) -> torch.nn.Module:
    means = state.memory.pop(MEAN)
    with torch.no_grad():
        for parameter, mean in zip(_trained(module), means, strict=True):
            parameter.copy_(mean)
    return module


def _trained(module: torch.nn.Module) -> list[torch.nn.Parameter]:
    return [parameter for parameter in module.parameters() if parameter.requires_grad]
