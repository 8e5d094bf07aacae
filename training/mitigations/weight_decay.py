"""Stronger weight decay: ten times the baseline's.

Loshchilov and Hutter, "Decoupled Weight Decay Regularization", ICLR 2019, arXiv 1711.05101, algorithm 2:
w <- w - lr_t * (adam + decay * w), lr_t the schedule's. As in the baseline, biases and LayerNorm weights do not decay.
The baseline's decay is 0.01. 0.1 is the value in the public fine-tuning scripts of LoRA for RoBERTa.
"""

from __future__ import annotations

from dataclasses import dataclass

from training.hooks import Settings

FAMILY = "generalisation"
SOURCE = "Loshchilov and Hutter 2019, arXiv 1711.05101"
VERSION = 1
TASKS = ("classification", "tagging")


@dataclass(frozen=True)
class Config:
    decay: float = 0.1
    """Decoupled weight decay, >= 0; 0 switches it off."""

    def __post_init__(self) -> None:
        if not 0 <= self.decay < 1e3:
            raise ValueError(f"decay is {self.decay}; it must lie in 0 <= decay < 1000")


def settings(settings: Settings, config: Config) -> Settings:
    return settings.model_copy(update={"weight_decay": config.decay})
