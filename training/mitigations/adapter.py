"""Adapters: a small bottleneck after both sub-layers of every block learns, the encoder around it is frozen.

Houlsby et al., "Parameter-Efficient Transfer Learning for NLP", ICML 2019, arXiv 1902.00751, section 2.1: h + W_up
sigma(W_down h), after the projection back to the model's width and before the skip connection and the layer norm. As in
the authors' code it stands behind the dropout, sigma is GELU, and it is near the identity at the start, since its
weights are drawn with standard deviation 1e-3. The adapters, the layer norms and the head learn.

peft has no such adapter, so it is the suite's own. Deviations: the bottleneck is 16, an eighth of BERT-tiny's width
(the paper's is 64 for BERT-large, a sixteenth). BERT's pooler is frozen. The checkpoint keeps the adapters: inference
costs two more pairs of matrices a block. Known are the layer names of BERT, RoBERTa and DistilBERT.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from dataclasses import dataclass

import torch

from training.errors import UserError
from training.hooks import Context, State
from training.mitigations._parts import is_head, learn_only, still_learning

FAMILY = "efficiency"
SOURCE = "Houlsby et al. 2019, arXiv 1902.00751"
VERSION = 1
TASKS = ("classification", "tagging")
LEARNING_RATE = 3e-4
LEARNING_RATE_SOURCE = "authors' README (arXiv 1902.00751, BERT-base)"
INITIAL = 1e-3
# the last part of each sub-layer before its skip connection; BERT and RoBERTa first, then DistilBERT
PLACES = re.compile(r"\.layer\.\d+\.(attention\.output\.dropout|output\.dropout|attention\.out_lin|ffn)$")


@dataclass(frozen=True)
class Config:
    bottleneck: int = 16
    """Width between W_down and W_up, 1..4096; the suite's, untuned."""

    def __post_init__(self) -> None:
        if not 1 <= self.bottleneck <= 4096:
            raise ValueError(f"bottleneck is {self.bottleneck}; it must lie in 1..4096")


class Adapter(torch.nn.Module):
    """h -> h + W_up gelu(W_down h)."""

    def __init__(self, width: int, bottleneck: int) -> None:
        super().__init__()
        self.down, self.up = torch.nn.Linear(width, bottleneck), torch.nn.Linear(bottleneck, width)
        for part in (self.down, self.up):
            torch.nn.init.trunc_normal_(part.weight, std=INITIAL, a=-2 * INITIAL, b=2 * INITIAL)
            torch.nn.init.zeros_(part.bias)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        return hidden + self.up(torch.nn.functional.gelu(self.down(hidden)))


def structure(module: torch.nn.Module, config: Config) -> torch.nn.Module:
    places = [name for name, _ in module.named_modules() if PLACES.search(name)]
    if not places:
        raise UserError(
            "'adapter' knows the layer names of BERT, RoBERTa and DistilBERT, and this model has none of them. Choose "
            "another encoder, or leave it out."
        )
    table = module.get_input_embeddings().weight  # type: ignore[operator]
    for name in places:
        part = module.get_submodule(name)
        adapter = Adapter(table.shape[1], config.bottleneck).to(table.device, table.dtype)
        module.set_submodule(name, torch.nn.Sequential(OrderedDict(before=part, adapter=adapter)))
    return module


def _learns(name: str) -> bool:
    parts = name.split(".")
    return "adapter" in parts or is_head(name) or any("layernorm" in part.lower().replace("_", "") for part in parts)


def prepare_model(module: torch.nn.Module, context: Context, config: Config) -> torch.nn.Module:
    return learn_only(module, "adapter", _learns)


def after_step(state: State, config: Config) -> None:
    still_learning(state, "adapter", _learns)
