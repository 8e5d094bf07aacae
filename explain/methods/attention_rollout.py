"""Attention rollout: ATTENTION, NOT ATTRIBUTION. Where the model looks, followed through the layers; unsigned.

Abnar and Zuidema, "Quantifying Attention Flow in Transformers", 2020, arXiv 2005.00928, section 3: with A_l the mean
over heads of layer l's attention (rows query, columns key), and the residual connection as an equal share,

    R_l = (A_l / 2 + I / 2) R_(l-1),    R_0 = I

A token's score is R_L at the row that the margin is read from ([CLS] for a class of the text, the mean over an entity's
first pieces for a tagger), so scores are shares in [0, 1] of which special tokens keep theirs.

It knows neither the explained class nor what is done with what was looked at: no gradient, no sign, no sum. It is here
because it is widely shown, and so that its faithfulness stands beside the others'. The module is asked for its
attention for this one pass (eager attention where the fused kernels give none) and is given back as it was.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from torch import Tensor

    from explain.engine import Batch

VERSION = 1
TASKS = ("classification", "tagging")
HAS_COMPLETENESS = False


@dataclass(frozen=True)
class Config:
    """residual: share of the residual connection in each layer, 0 (raw attention) to 1 (nothing moves)."""

    residual: float = 0.5

    def __post_init__(self) -> None:
        if not 0 <= self.residual <= 1:
            raise ValueError(f"residual is {self.residual}: give a share from 0 to 1, such as 0.5")


def attribute(batch: Batch, config: Config) -> Tensor:
    """(b, t): the share of every token in what the margin's rows have gathered."""
    with _eager(batch.model.module), torch.no_grad():
        output = batch.model.outputs(batch.inputs, batch.attention_mask, output_attentions=True)
    layers = [layer for layer in getattr(output, "attentions", None) or () if layer is not None]
    if not layers:
        raise ValueError("this model gives no attention (output_attentions), so there is nothing to roll out")
    same = torch.eye(batch.inputs.shape[1], dtype=torch.float64)
    rolled = same.expand(len(batch.questions), -1, -1)
    for layer in layers:
        mean = layer.detach().float().cpu().double().mean(1)
        rolled = (config.residual * same + (1 - config.residual) * mean) @ rolled
    read = [list(question.places) or [0] for question in batch.questions]
    return torch.stack([rows[places].mean(0) for rows, places in zip(rolled, read, strict=True)])


@contextmanager
def _eager(module: torch.nn.Module) -> Iterator[None]:
    """Eager attention inside, by the configs alone: what the parts were built as is not touched."""
    configs: dict[int, Any] = {}
    for part in module.modules():
        config = getattr(part, "config", None)
        if hasattr(config, "_attn_implementation"):
            configs[id(config)] = config
    before = [(config, config._attn_implementation) for config in configs.values()]
    try:
        for config, _ in before:
            config._attn_implementation = "eager"
        yield
    finally:
        for config, name in before:
            config._attn_implementation = name
