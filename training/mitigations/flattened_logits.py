"""Negative control: a finished baseline whose logits are divided by 20. It is not a mitigation.

The opposite of `sharpened_logits`, with the same hook: every answer is unsure, and the differences an attack climbs are
small, but no decision has changed. Calibration has to undo it: the board must flag this row `masking`, and its numbers
must be the baseline's.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from training.hooks import State
from training.mitigations import sharpened_logits

FAMILY = "control"
SOURCE = "control; the reverse of Raina et al. 2024, arXiv 2402.17509"
VERSION = 1
TASKS = ("classification",)
USES = ("training/mitigations/sharpened_logits.py",)


@dataclass(frozen=True)
class Config:
    divisor: float = 20.0
    """What the logits are divided by, > 1."""

    def __post_init__(self) -> None:
        if not 1 < self.divisor < 1e6:
            raise ValueError(f"divisor is {self.divisor}; it must lie in 1 < divisor < 1e6")


def after_training(module: torch.nn.Module, state: State, config: Config) -> torch.nn.Module:
    return sharpened_logits.after_training(module, state, sharpened_logits.Config(1 / config.divisor))
