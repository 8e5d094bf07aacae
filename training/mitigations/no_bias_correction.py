"""AdamW without bias correction: a cause of unstable fine-tuning that the baseline avoids. A control.

Adam divides its running means m, v by 1 - b1^t, 1 - b2^t (Kingma and Ba, ICLR 2015, arXiv 1412.6980, algorithm 1).
Without that the step is lr * m / (sqrt(v) + eps), longer by (1 - b1^t) / sqrt(1 - b2^t): 3.2 times at t = 1, 6.6 at
t = 12, 1.3 at t = 1000. Zhang et al., "Revisiting Few-sample BERT Fine-tuning", ICLR 2021, arXiv 2006.05987, name its
omission a cause of instability; Mosbach, Andriushchenko and Klakow, "On the Stability of Fine-tuning BERT", ICLR 2021,
arXiv 2006.04884, put the correction into their recipe.

torch's AdamW always corrects. Around each of its steps, lr is multiplied by that factor and eps divided by
sqrt(1 - b2^t), which is the uncorrected update exactly; the weight decay is divided by the factor, because AdamW
multiplies it by lr. Warm-up stays on and damps the early steps, so expect a milder failure than
without it.
"""

from __future__ import annotations

import itertools
from typing import Any

import torch

from training.hooks import Settings, adamw

FAMILY = "gradients"
SOURCE = "control; Zhang et al. 2021, arXiv 2006.05987"
VERSION = 1
TASKS = ("classification", "tagging")


def optimiser(module: torch.nn.Module, settings: Settings, config: None) -> torch.optim.Optimizer:
    made = adamw(module, settings)
    steps = itertools.count(1)
    changed = ("lr", "eps", "weight_decay")
    before: list[dict[str, Any]] = []

    def undo_correction(optimizer: torch.optim.Optimizer, *_: Any) -> None:
        step = next(steps)
        before[:] = [{name: group[name] for name in changed} for group in optimizer.param_groups]
        for group in optimizer.param_groups:
            b1, b2 = group["betas"]
            factor = (1 - b1**step) / (1 - b2**step) ** 0.5
            group["lr"] *= factor
            group["eps"] /= (1 - b2**step) ** 0.5
            group["weight_decay"] /= factor

    def restore(optimizer: torch.optim.Optimizer, *_: Any) -> None:
        for group, values in zip(optimizer.param_groups, before, strict=True):
            group.update(values)

    made.register_step_pre_hook(undo_correction)
    made.register_step_post_hook(restore)
    return made
