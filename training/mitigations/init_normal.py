"""Normal initialisation of the head with a standard deviation of one's choice, five times the baseline's by default.

W ~ N(0, std^2); the bias is 0. Devlin et al., "BERT: Pre-training of Deep Bidirectional Transformers for Language
Understanding", NAACL 2019, arXiv 1810.04805: their code draws new layers with std = 0.02, and so does the baseline. A
larger head makes larger logits, and gradients, from the first step. The default of 0.1 is the suite's, was not tuned
and differs from 0.02 on purpose. Only the layer that makes the logits is new and is drawn; everything pretrained stays.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from training.hooks import Context
from training.mitigations._heads import redraw

FAMILY = "gradients"
SOURCE = "Devlin et al. 2019, arXiv 1810.04805 (contrast)"
VERSION = 1
TASKS = ("classification", "tagging")


@dataclass(frozen=True)
class Config:
    std: float = 0.1
    """Standard deviation of the head's weights, > 0; the suite's, untuned. BERT's own is 0.02."""

    def __post_init__(self) -> None:
        if not 0 < self.std < 1e3:
            raise ValueError(f"std is {self.std}; it must lie in 0 < std < 1000")


def prepare_model(module: torch.nn.Module, context: Context, config: Config) -> torch.nn.Module:
    return redraw(module, context, "init_normal", torch.nn.init.normal_, std=config.std)
