"""Xavier initialisation of the head, whose scale follows from its width.

Glorot and Bengio, "Understanding the difficulty of training deep feedforward neural networks", AISTATS 2010, equation
16: W ~ U(-a, a), a = sqrt(6 / (fan_in + fan_out)); the bias is 0. Only the layer that makes the logits is new and is
drawn; everything pretrained stays. The baseline draws that layer from N(0, 0.02), which is what BERT's code does.
"""

from __future__ import annotations

import torch

from training.hooks import Context
from training.mitigations._heads import redraw

FAMILY = "gradients"
SOURCE = "Glorot and Bengio 2010, AISTATS"
VERSION = 1
TASKS = ("classification", "tagging")


def prepare_model(module: torch.nn.Module, context: Context, config: None) -> torch.nn.Module:
    return redraw(module, context, "init_xavier", torch.nn.init.xavier_uniform_)
