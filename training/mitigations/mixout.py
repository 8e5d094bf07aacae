"""Mixout: in every pass a random share of the weights is replaced by the pretrained ones.

Lee, Cho and Kang, "Mixout: Effective Regularization to Finetune Large-scale Pretrained Language Models", ICLR 2020,
arXiv 1909.11299: w' = (m * w + (1 - m) * w0 - p * w0) / (1 - p), with m ~ Bernoulli(1 - p) for each weight and w0 the
pretrained weights. The mean of w' is w, and at inference w is used. With w0 = 0 it is dropout of the weights.

It acts on the weight matrices of the linear layers in the encoder blocks; biases, embeddings, pooler and head are left
alone. Mixout stands in for dropout, so dropout is switched off everywhere, as in Zhang et al. 2021 (arXiv 2006.05987),
whose script's p = 0.1 is the default. w0 costs one more copy of those weights. The checkpoint holds w, a plain model.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.nn.utils import parametrize

from training.errors import UserError
from training.hooks import Context, State
from training.telemetry import layer_of

FAMILY = "gradients"
SOURCE = "Lee et al. 2020, arXiv 1909.11299"
VERSION = 1
TASKS = ("classification", "tagging")


@dataclass(frozen=True)
class Config:
    probability: float = 0.1
    """p, the probability that a weight is replaced, 0 < p < 1."""

    def __post_init__(self) -> None:
        if not 0 < self.probability < 1:
            raise ValueError(f"probability is {self.probability}; it must lie in 0 < probability < 1")


class Mixed(torch.nn.Module):
    """w -> w' in training mode, w -> w in eval mode."""

    def __init__(self, pretrained: torch.Tensor, probability: float, generator: torch.Generator) -> None:
        super().__init__()
        # neither a parameter nor a buffer: it is not trained, not counted and not saved
        self.pretrained, self.probability, self.generator = [pretrained.detach().clone()], probability, generator

    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        if not self.training:
            return weight
        kept = torch.empty_like(weight).bernoulli_(1 - self.probability, generator=self.generator)
        # the same as the equation, and exactly w0 where a weight is replaced
        return self.pretrained[0] + kept * (weight - self.pretrained[0]) / (1 - self.probability)


def prepare_model(module: torch.nn.Module, context: Context, config: Config) -> torch.nn.Module:
    if hasattr(module, "merge_and_unload"):
        raise UserError("'mixout' has to be taken out before adapters are merged: name it first, as in 'mixout+lora'.")
    linear = [
        part
        for name, part in module.named_modules()
        if isinstance(part, torch.nn.Linear) and layer_of(f"{name}.weight").startswith("layer.")
        if part.weight.requires_grad
    ]
    if not linear:
        raise UserError("'mixout' finds no linear layer that learns in the encoder blocks of this model. Leave it out.")
    for part in module.modules():
        if isinstance(part, torch.nn.Dropout):
            part.p = 0.0
        if isinstance(getattr(part, "dropout_prob", None), float):
            part.dropout_prob = 0.0  # type: ignore[assignment]  # attention that drops inside a fused kernel
    generator = torch.Generator(linear[0].weight.device).manual_seed(context.seed)
    for part in linear:
        parametrize.register_parametrization(part, "weight", Mixed(part.weight, config.probability, generator))
    return module


def after_training(module: torch.nn.Module, state: State, config: Config) -> torch.nn.Module:
    module.eval()
    for part in list(module.modules()):
        if parametrize.is_parametrized(part, "weight"):
            parametrize.remove_parametrizations(part, "weight", leave_parametrized=True)
    return module
