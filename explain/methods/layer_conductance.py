"""Layer conductance: the part of f(x) - f(x') that flows through one layer at each word (explain.layers has them all).

Dhamdhere, Sundararajan and Yan, "How Important Is a Neuron?", 2018, arXiv 1805.12233; the equation and the two ways to
integrate it are in explain.layers, whose table of all layers is the picture to look at.

A word's score is its sum over the hidden vector of one layer, by default the middle one: below it words have hardly
met, above it most has gone to [CLS]. What flows through special tokens is given to no word, so the words' sum is
promised in layer 0 only, where the scores are those of integrated gradients.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch

from explain.layers import conductance

if TYPE_CHECKING:
    from torch import Tensor

    from explain.engine import Batch

VERSION = 1
TASKS = ("classification", "tagging")
HAS_COMPLETENESS = False
COSTLY = True


@dataclass(frozen=True)
class Config:
    """layer: 0 (embedding output) to the model's layers; None is the middle one, half the layers rounded down.

    n_steps: intervals of the path, 1 to 1024. rule: "trapezoid", or "captum" for the numbers of Captum's
    LayerConductance.
    """

    layer: int | None = None
    n_steps: int = 50
    rule: Literal["trapezoid", "captum"] = "trapezoid"

    def __post_init__(self) -> None:
        if self.layer is not None and self.layer < 0:
            raise ValueError(f"layer is {self.layer}: give 0 (embedding output) or above, or None for the middle")
        if not 1 <= self.n_steps <= 1024:
            raise ValueError(f"n_steps is {self.n_steps}: give 1 to 1024")
        if self.rule not in ("trapezoid", "captum"):
            raise ValueError(f"rule is {self.rule!r}: give 'trapezoid' or 'captum'")


def attribute(batch: Batch, config: Config) -> Tensor:
    """(b, t): each token's conductance in the layer."""
    scores = torch.zeros(batch.word_of.shape, dtype=torch.float64)
    for row in range(len(batch.questions)):
        flows = conductance(batch, row, config.n_steps, config.rule)
        layer = (len(flows) - 1) // 2 if config.layer is None else config.layer
        if layer >= len(flows):
            raise ValueError(f"layer is {layer}: this model has layers 0 (embedding output) to {len(flows) - 1}")
        scores[row, : flows.shape[1]] = flows[layer]
    return scores
