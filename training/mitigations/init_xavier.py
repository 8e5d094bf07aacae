"""Xavier initialisation of the head, whose scale follows from its width.

Glorot and Bengio, "Understanding the difficulty of training deep feedforward neural networks", AISTATS 2010, equation
16: W ~ U(-a, a), a = sqrt(6 / (fan_in + fan_out)); the bias is 0. Only the layer that makes the logits is new and is
drawn; everything pretrained stays. The baseline draws that layer from N(0, 0.02), which is what BERT's code does.
"""

from __future__ import annotations

import torch

from training.errors import UserError
from training.hooks import Context

FAMILY = "gradients"
SOURCE = "Glorot and Bengio 2010, AISTATS"
VERSION = 1
TASKS = ("classification", "tagging")


def prepare_model(module: torch.nn.Module, context: Context, config: None) -> torch.nn.Module:
    linear = [part for part in module.modules() if isinstance(part, torch.nn.Linear)]
    head = [part for part in linear if part.out_features == len(context.task.labels)]
    if not head:
        raise UserError("'init_xavier' finds no linear layer that makes the logits of this model.")
    # drawn on the CPU, so that a seed gives the same head on every device
    drawn = torch.empty(head[-1].weight.shape)
    torch.nn.init.xavier_uniform_(drawn, generator=torch.Generator().manual_seed(context.seed))
    with torch.no_grad():
        head[-1].weight.copy_(drawn)
        if head[-1].bias is not None:
            head[-1].bias.zero_()
    return module
