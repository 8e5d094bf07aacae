"""Top layers only: the embeddings and the lower encoder layers are frozen.

Lee, Tang and Lin, "What Would Elsa Do? Freezing Layers During Transformer Fine-Tuning", 2019, arXiv 1911.03090: of L
encoder layers the last k learn, with the pooler and the head. The abstract reports that a fourth of the final layers
reaches 90 % of the original quality, so k = ceil(L / 4) is the default: 1 of BERT-tiny's 2, 2 of MiniLM's 6.

The arm has no learning rate of its own: the recorded grid where there is one, else the baseline's. Nothing is computed
backwards below the lowest layer that learns, which is where the time is saved.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from training.errors import UserError
from training.hooks import Context
from training.telemetry import layer_of

FAMILY = "efficiency"
SOURCE = "Lee et al. 2019, arXiv 1911.03090"
VERSION = 1
TASKS = ("classification", "tagging")


@dataclass(frozen=True)
class Config:
    share: float = 0.25
    """Share of the encoder layers that learns, from the top, rounded up; 0 < share <= 1."""

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1:
            raise ValueError(f"share is {self.share}; it must lie in 0 < share <= 1")


def prepare_model(module: torch.nn.Module, context: Context, config: Config) -> torch.nn.Module:
    numbered = sorted({layer_of(name) for name, _ in module.named_parameters()} - {"embeddings", "head"})
    if not numbered:
        raise UserError("'top_layers' finds no numbered layers in this model; choose an encoder that has them.")
    learning = {"head", *numbered[-math.ceil(config.share * len(numbered)) :]}
    for name, parameter in module.named_parameters():
        if layer_of(name) not in learning:
            parameter.requires_grad_(False)
    return module
