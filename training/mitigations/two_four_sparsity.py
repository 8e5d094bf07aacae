"""2:4 sparsity: of every four neighbouring weights the two smallest are 0, from the first step on.

Mishra et al., "Accelerating Sparse Deep Neural Networks", 2021, arXiv 2104.08378: in each group of 4 consecutive
weights along the input dimension the 2 with the largest |w| are kept, the mask is made once, and the rest is trained as
usual.

It acts on the weight matrices of the encoder blocks; embeddings, layer norms, biases, pooler and head are left out. The
mask is taken from the pretrained weights, before fine-tuning. Where the input dimension is no multiple of 4, the
remaining one to three columns stay dense. Sparse matrix units of a GPU are not used: the arm measures what the zeros
cost in quality, not time. The checkpoint is a plain model. Beside 'ema' and its like, which average weights at the end,
name this one last.
"""

from __future__ import annotations

import torch

from training.hooks import Context, State
from training.mitigations import _pruning

FAMILY = "efficiency"
SOURCE = "Mishra et al. 2021, arXiv 2104.08378"
VERSION = 1
TASKS = ("classification", "tagging")


def two_of_four(weight: torch.Tensor) -> torch.Tensor:
    """True on the 2 largest |w| of each group of 4 in a row, and on what is left of a row that 4 does not divide."""
    whole = weight.shape[1] // 4 * 4
    groups = weight[:, :whole].abs().unflatten(1, (-1, 4))
    # stable, so that equal weights are decided alike on every device
    order = groups.argsort(dim=-1, descending=True, stable=True)
    mask = torch.ones_like(weight, dtype=torch.bool)
    mask[:, :whole] = torch.zeros_like(groups, dtype=torch.bool).scatter(-1, order[..., :2], True).flatten(1)
    return mask


def _made(weight: torch.Tensor) -> _pruning.Masked:
    made = _pruning.Masked(weight)
    made.mask.copy_(two_of_four(weight.detach()))
    return made


def prepare_model(module: torch.nn.Module, context: Context, config: None) -> torch.nn.Module:
    return _pruning.attach(module, "two_four_sparsity", _made)


def after_step(state: State, config: None) -> None:
    _pruning.still_learning(state, "two_four_sparsity")


def after_training(module: torch.nn.Module, state: State, config: None) -> torch.nn.Module:
    return _pruning.bake(module)
