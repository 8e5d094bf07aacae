"""He initialisation of the head, whose variance is 2 / fan_in.

He et al., "Delving Deep into Rectifiers: Surpassing Human-Level Performance on ImageNet Classification", ICCV 2015,
arXiv 1502.01852, equation 10: W ~ N(0, 2 / fan_in); the bias is 0. The factor 2 makes up for a rectifier, which the
head does not have. Only the layer that makes the logits is new and is drawn; everything pretrained stays. The baseline
draws that layer from N(0, 0.02), which is what BERT's code does.
"""

from __future__ import annotations

import torch

from training.hooks import Context
from training.mitigations._heads import redraw

FAMILY = "gradients"
SOURCE = "He et al. 2015, arXiv 1502.01852"
VERSION = 1
TASKS = ("classification", "tagging")


def prepare_model(module: torch.nn.Module, context: Context, config: None) -> torch.nn.Module:
    return redraw(module, context, "init_he", torch.nn.init.kaiming_normal_, nonlinearity="relu")
