"""Negative control: a finished baseline whose logits are multiplied by 20. It is not a mitigation.

Sharpened logits saturate the softmax, a black-box attack loses the score it climbs, and accuracy under attack rises
although no decision has changed: Raina et al. 2024 saw TextFooler's accuracy under attack on Rotten Tomatoes go from
17.8 to 54.4 for an unchanged model. A board that ranks this row above the baseline is wrong; ours calibrates the
temperature before attacking and flags the row `masking`.

The factor is applied to the weights and bias of the last linear layer, so the checkpoint needs no special code.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from training.hooks import State
from training.mitigations._heads import head_of

FAMILY = "control"
SOURCE = "control; Raina et al. 2024, arXiv 2402.17509"
VERSION = 1
TASKS = ("classification",)


@dataclass(frozen=True)
class Config:
    factor: float = 20.0
    """What the logits are multiplied by, > 0; below 1 flattens them."""

    def __post_init__(self) -> None:
        if not 0 < self.factor < 1e6:
            raise ValueError(f"factor is {self.factor}; it must lie in 0 < factor < 1e6")


def after_training(module: torch.nn.Module, state: State, config: Config) -> torch.nn.Module:
    head = head_of(module, state.context, "sharpened_logits")
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.mul_(config.factor)
    return module
