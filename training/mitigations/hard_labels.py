"""Negative control: a baseline that answers with its label alone, at full confidence. It is not a mitigation.

Outside training the logits become `height` for the predicted class and 0 for the others. No decision changes, but at no
temperature does an attack see which word matters, so accuracy under attack rises: a step without slope, of which
Athalye, Carlini and Wagner 2018, "Obfuscated gradients give a false sense of security", arXiv 1802.00420, warn. A board
that ranks this row above the baseline is wrong; ours finds that its confidences take next to no values.

Training, in train mode, sees the true logits. Gradients pass the step unchanged (straight through), so that explainers
and white-box attacks still have some. The step is a lasting part (hook `structure`) without weights of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

FAMILY = "control"
SOURCE = "control; Athalye et al. 2018, arXiv 1802.00420"
VERSION = 1
TASKS = ("classification",)


@dataclass(frozen=True)
class Config:
    height: float = 100.0
    """The logit of the predicted class, > 0; a softmax of 100 against 0 is 1 in single precision."""

    def __post_init__(self) -> None:
        if not 0 < self.height < 1e6:
            raise ValueError(f"height is {self.height}; it must lie in 0 < height < 1e6")


@dataclass(frozen=True)
class Step:
    """A forward hook, as an object so that a copy of the module copies it too."""

    height: float

    def __call__(self, module: torch.nn.Module, _: Any, output: Any) -> Any:
        if not module.training:
            chosen = torch.nn.functional.one_hot(output.logits.argmax(dim=-1), output.logits.shape[-1])
            hard = self.height * chosen.to(output.logits.dtype)
            output.logits = hard + (output.logits - output.logits.detach())
        return output


def structure(module: torch.nn.Module, config: Config) -> torch.nn.Module:
    module.register_forward_hook(Step(config.height))
    return module
