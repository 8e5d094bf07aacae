"""Re-initialised top layers: the pooler and the last encoder layers forget their pretraining.

Zhang et al., "Revisiting Few-sample BERT Fine-tuning", ICLR 2021, arXiv 2006.05987: linear weights of the top L blocks
and of the pooler are drawn from N(0, s^2) with s the model's own initializer_range (0.02 in BERT), their biases are 0,
LayerNorms are reset to weight 1 and bias 0.

Deviation: L = 1. The paper tunes L on models of 12 and 24 layers; the suite's small encoders have 2 and 6.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from training.errors import UserError
from training.hooks import Context
from training.telemetry import layer_of

FAMILY = "gradients"
SOURCE = "Zhang et al. 2021, arXiv 2006.05987"
VERSION = 1
TASKS = ("classification", "tagging")


@dataclass(frozen=True)
class Config:
    layers: int = 1
    """How many encoder layers, from the top, are drawn anew; at least 1, at most what the model has."""

    def __post_init__(self) -> None:
        if not 1 <= self.layers <= 1000:
            raise ValueError(f"layers is {self.layers}; it must lie in 1..1000")


def prepare_model(module: torch.nn.Module, context: Context, config: Config) -> torch.nn.Module:
    if hasattr(module, "merge_and_unload"):
        raise UserError("'reinit_top' would draw adapters in place anew too: name it first, as in 'reinit_top+lora'.")
    numbered = sorted({layer_of(name) for name, _ in module.named_parameters()} - {"embeddings", "head"})
    if config.layers > len(numbered):
        raise UserError(f"'reinit_top' is to draw {config.layers} layers anew; this model has {len(numbered)}.")
    chosen = set(numbered[-config.layers :])
    deviation = getattr(module.config, "initializer_range", 0.02)
    generator = torch.Generator().manual_seed(context.seed)
    for name, part in module.named_modules():
        if layer_of(f"{name}.weight") in chosen or "pooler" in name.split("."):
            _reset(part, deviation, generator)
    return module


def _reset(part: torch.nn.Module, deviation: float, generator: torch.Generator) -> None:
    """Draws a linear layer or a LayerNorm anew; leaves containers and everything else alone."""
    with torch.no_grad():
        if isinstance(part, torch.nn.Linear):
            part.weight.copy_(torch.empty(part.weight.shape).normal_(0.0, deviation, generator=generator))
        elif isinstance(part, torch.nn.LayerNorm):
            part.weight.fill_(1.0)
        else:
            return
        if part.bias is not None:
            part.bias.zero_()
