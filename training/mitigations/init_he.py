"""He initialisation of the head, whose variance is 2 / fan_in.

He et al., "Delving Deep into Rectifiers: Surpassing Human-Level Performance on ImageNet Classification", ICCV 2015,
arXiv 1502.01852, equation 10: W ~ N(0, 2 / fan_in); the bias is 0. The factor 2 makes up for a rectifier, which the
head does not have. Only the layer that makes the logits is new and is drawn; everything pretrained stays. The baseline
draws that layer from N(0, 0.02), which is what BERT's code does.
"""

from __future__ import annotations

import torch

from training.errors import UserError
from training.hooks import Context

FAMILY = "gradients"
SOURCE = "He et al. 2015, arXiv 1502.01852"
VERSION = 1
TASKS = ("classification", "tagging")


def prepare_model(module: torch.nn.Module, context: Context, config: None) -> torch.nn.Module:
    linear = [part for part in module.modules() if isinstance(part, torch.nn.Linear)]
    head = [part for part in linear if part.out_features == len(context.task.labels)]
    if not head:
        raise UserError("'init_he' finds no linear layer that makes the logits of this model.")
    # drawn on the CPU, so that a seed gives the same head on every device
    drawn = torch.empty(head[-1].weight.shape)
    torch.nn.init.kaiming_normal_(drawn, nonlinearity="relu", generator=torch.Generator().manual_seed(context.seed))
    with torch.no_grad():
        head[-1].weight.copy_(drawn)
        if head[-1].bias is not None:
            head[-1].bias.zero_()
    return module
