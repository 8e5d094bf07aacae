"""Stronger dropout: twice the rate that BERT was trained with, everywhere in the model.

Srivastava et al., "Dropout: A Simple Way to Prevent Neural Networks from Overfitting", JMLR 2014: h <- m * h / (1 - p),
with m ~ Bernoulli(1 - p) for each unit, in training only. It acts where the model has dropout: on embeddings,
attention weights, the outputs of both sub-layers and the head's input. The model's own rate, 0.1 in BERT, is the
baseline's; 0.2 is the suite's and was not tuned.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from training.errors import UserError
from training.hooks import Context

FAMILY = "generalisation"
SOURCE = "Srivastava et al. 2014, JMLR"
VERSION = 1
TASKS = ("classification", "tagging")


@dataclass(frozen=True)
class Config:
    probability: float = 0.2
    """p, 0 <= p < 1; 0 switches dropout off."""

    def __post_init__(self) -> None:
        if not 0 <= self.probability < 1:
            raise ValueError(f"probability is {self.probability}; it must lie in 0 <= probability < 1")


def prepare_model(module: torch.nn.Module, context: Context, config: Config) -> torch.nn.Module:
    layers = [part for part in module.modules() if isinstance(part, torch.nn.Dropout)]
    if not layers:
        raise UserError("'dropout' finds no dropout layer in this model.")
    for layer in layers:
        layer.p = config.probability
    for part in module.modules():
        # attention that drops inside a fused kernel keeps its rate beside the layer
        if isinstance(getattr(part, "dropout_prob", None), float):
            part.dropout_prob = config.probability  # type: ignore[assignment]
    return module
