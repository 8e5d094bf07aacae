"""LP-FT: first the head alone learns on the frozen encoder, then everything, from that head.

Kumar et al., "Fine-Tuning can Distort Pretrained Features and Underperform Out-of-Distribution", ICLR 2022, arXiv
2202.10054: fine-tuning from a random head distorts the pretrained features; from a fitted one it does so less.

Both phases share the steps of the baseline. In the first `share` of them gradients of everything but the head are
dropped before the optimiser sees them, so neither the weights nor Adam's moments of the encoder move, and the learning
rate is `factor` times the arm's; the paper's fine-tuning rate is 10 times smaller than its probe's. The second phase
takes the arm's rate, with the fresh moments of Adam but no warm-up of its own.

Deviations: one schedule of warm-up and decay runs through both phases; dropout is on in both; the head has a fixed
number of steps, it is not fitted until it no longer gains. The backward pass through the encoder is computed in the
first phase, too, so a step costs the same in both. BERT's pooler is pretrained and belongs to the encoder.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from training.hooks import Batch, Forward, Output, State
from training.mitigations._parts import is_head

FAMILY = "efficiency"
SOURCE = "Kumar et al. 2022, arXiv 2202.10054"
VERSION = 1
TASKS = ("classification", "tagging")
DROPPED, RAISED = "lp_ft_dropped", "lp_ft_raised"


@dataclass(frozen=True)
class Config:
    share: float = 0.25
    """Share of the steps in which the head alone learns, 0 < share < 1; the suite's, untuned."""
    factor: float = 10.0
    """Learning rate of the first phase over that of the second, > 0; 10 is the paper's."""

    def __post_init__(self) -> None:
        if not 0 < self.share < 1:
            raise ValueError(f"share is {self.share}; it must lie in 0 < share < 1")
        if not 0 < self.factor <= 1e4:
            raise ValueError(f"factor is {self.factor}; it must lie in 0 < factor <= 10,000")


def probe_steps(total: int, share: float) -> int:
    """Steps of the first phase: at least one in each phase, where there are two."""
    return min(max(1, round(share * total)), total - 1)


def loss(forward: Forward, state: State, batch: Batch, config: Config) -> Output:
    if state.step >= probe_steps(state.total_steps, config.share):
        _stop_dropping(state)
        return forward(batch)
    if DROPPED not in state.memory:
        state.memory[DROPPED] = [
            parameter.register_post_accumulate_grad_hook(_drop)
            for name, parameter in state.module.named_parameters()
            if parameter.requires_grad and not is_head(name)
        ]
    if state.memory.get(RAISED) != state.step:  # the loop sets the rate once a step, this may be called more often
        state.memory[RAISED] = state.step
        for group in state.optimizer.param_groups:
            group["lr"] *= config.factor
    return forward(batch)


def _drop(parameter: torch.Tensor) -> None:
    parameter.grad = None


def _stop_dropping(state: State) -> None:
    for handle in state.memory.pop(DROPPED, ()):
        handle.remove()


def after_training(module: torch.nn.Module, state: State, config: Config) -> torch.nn.Module:
    _stop_dropping(state)
    return module
