"""Layer-wise learning-rate decay: the lower a layer, the smaller its learning rate.

Howard and Ruder, "Universal Language Model Fine-tuning for Text Classification", ACL 2018, arXiv 1801.06146 (there
called discriminative fine-tuning); on BERT: Zhang et al., "Revisiting Few-sample BERT Fine-tuning", ICLR 2021, arXiv
2006.05987. Counted from the top: the head and the pooler learn at lr, the l-th encoder layer from the top at
lr * decay^l, the embeddings at lr * decay^(L+1), L being the number of layers. decay = 0.95 is the latter's script's.

The schedule multiplies every group's rate, so the ratios hold throughout; weight decay is as in the baseline.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from training.errors import UserError
from training.hooks import Settings, fused
from training.telemetry import layer_of

FAMILY = "gradients"
SOURCE = "Howard and Ruder 2018, arXiv 1801.06146"
VERSION = 1
TASKS = ("classification", "tagging")


@dataclass(frozen=True)
class Config:
    decay: float = 0.95
    """Ratio of the learning rates of a layer and the one above it, 0 < decay < 1."""

    def __post_init__(self) -> None:
        if not 0 < self.decay < 1:
            raise ValueError(f"decay is {self.decay}; it must lie in 0 < decay < 1")


def optimiser(module: torch.nn.Module, settings: Settings, config: Config) -> torch.optim.Optimizer:
    layers = sorted({layer_of(name) for name, _ in module.named_parameters()} - {"embeddings", "head"})
    if not layers:
        raise UserError("'llrd' finds no numbered layers in this model; choose an encoder that has them.")
    # the head first: the first group's rate is the one that is recorded
    order = ["head", *reversed(layers), "embeddings"]
    groups: list[dict[str, Any]] = []
    for depth, layer in enumerate(order):
        rate = settings.learning_rate * config.decay**depth
        own = [p for name, p in module.named_parameters() if layer_of(name) == layer and p.requires_grad]
        matrices, vectors = [p for p in own if p.ndim > 1], [p for p in own if p.ndim <= 1]
        groups.append({"params": matrices, "lr": rate, "weight_decay": settings.weight_decay})
        groups.append({"params": vectors, "lr": rate, "weight_decay": 0.0})
    groups = [group for group in groups if group["params"]]
    return torch.optim.AdamW(groups, lr=settings.learning_rate, fused=fused([p for g in groups for p in g["params"]]))
