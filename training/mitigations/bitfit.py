"""BitFit: only the biases and the head learn.

Ben Zaken, Goldberg and Ravfogel, "BitFit: Simple Parameter-efficient Fine-tuning for Transformer-based Masked
Language-models", ACL 2022, arXiv 2106.10199: theta = (W, b), W frozen at the pretrained values, b and the task's new
head trained. All biases learn here, also those of the LayerNorms and of the pooler; the pooler's weights are frozen.

The checkpoint is a plain model, inference costs nothing extra. Default learning rate: the recorded grid where there is
one, else 1e-3 from the authors' README.
"""

from __future__ import annotations

import torch

from training.errors import UserError
from training.hooks import Context
from training.telemetry import layer_of

FAMILY = "efficiency"
SOURCE = "Ben Zaken et al. 2022, arXiv 2106.10199"
VERSION = 1
TASKS = ("classification", "tagging")
LEARNING_RATE = 1e-3
LEARNING_RATE_SOURCE = "authors' README (arXiv 2106.10199)"


def prepare_model(module: torch.nn.Module, context: Context, config: None) -> torch.nn.Module:
    if hasattr(module, "merge_and_unload"):
        raise UserError(
            "'bitfit' would freeze the adapters already in place; the two choose what learns. Leave out one."
        )
    for name, parameter in module.named_parameters():
        head = layer_of(name) == "head" and "pooler" not in name.split(".")
        parameter.requires_grad_(head or name.endswith(".bias"))
    return module
