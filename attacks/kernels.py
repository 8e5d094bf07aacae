"""Which library multiplies the matrices of a model's linear layers on a CPU: oneDNN, where PyTorch would take MKL.

The sums are the same up to rounding. On AMD processors MKL leaves the 512-bit units idle: on one core of an EPYC with
torch 2.13, 1024 x 384 times 384 x 1536 runs at 112 GFLOP/s with MKL and at 248 with oneDNN, backwards at 110 and
215 to 240. With oneDNN a row's sums also depend less on the batch: they were bit-equal for all numbers of rows tried
from 2 to 2048, with one thread and with two, where MKL's differ below four (`attacks/batching.py`).

A model keeps its parameters and their names; only the class of its plain linear layers changes, so it is saved, stacked
and pruned as before. On another device, in another precision or in a compiled model the layer is torch's own.
"""

from __future__ import annotations

import copy
from typing import Any

import torch

# oneDNN makes code for each number of rows and keeps it, some 0.6 MiB each: a thousand texts took 250 MiB more. So rows
# are filled up: to a multiple of 64 where there are at most 1,024, and so on
STEPS = ((1024, 64), (4096, 256), (None, 1024))
AVAILABLE = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")


class Product(torch.autograd.Function):
    """x W^T + b by oneDNN for x of shape (rows, inputs), differentiable any number of times."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        ctx.save_for_backward(x, weight)
        return _product(x, weight, bias)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        (grad,), (x, weight) = grads, ctx.saved_tensors
        of_x, of_weight, of_bias = ctx.needs_input_grad
        return (
            Product.apply(grad, weight.t(), None) if of_x else None,
            Product.apply(grad.t(), x.t(), None) if of_weight else None,
            grad.sum(0) if of_bias else None,
        )


def linear(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
    """x W^T + b for x of shape (..., inputs), weight (outputs, inputs), bias (outputs), all fp32 on the CPU."""
    flat = x.reshape(-1, x.shape[-1])
    rows = len(flat)
    missing = filled_rows(rows) - rows
    filled = torch.nn.functional.pad(flat, (0, 0, 0, missing)) if missing else flat
    if torch.is_grad_enabled() and any(part is not None and part.requires_grad for part in (x, weight, bias)):
        product: torch.Tensor = Product.apply(filled, weight, bias)
    else:
        product = _product(filled, weight, bias)
    return product[:rows].reshape(*x.shape[:-1], len(weight))


def filled_rows(rows: int) -> int:
    """The number of rows that so many, >= 1, are filled up to; with zeros, which no row's sums see."""
    step = next(step for most, step in STEPS if most is None or rows <= most)
    return -(-rows // step) * step


def _product(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    product: torch.Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")
    return product


class Linear(torch.nn.Linear):
    """torch's linear layer, by oneDNN where that is possible."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        weight = self.weight
        plain = x.dtype == weight.dtype == torch.float32 and x.device.type == weight.device.type == "cpu"
        if not plain or x.numel() == 0 or torch.is_autocast_enabled("cpu") or torch.compiler.is_compiling():
            return torch.nn.functional.linear(x, weight, self.bias)
        return linear(x, weight, self.bias)


def quicken(module: Any) -> Any:
    """The same torch module, its plain linear layers switched to `Linear`; those of another class are left alone."""
    for part in module.modules() if AVAILABLE else ():
        if type(part) is torch.nn.Linear:
            part.__class__ = Linear
    return module


def plain(module: Any) -> Any:
    """A copy of the torch module with torch's own linear layers: what speed is measured against."""
    made = copy.deepcopy(module)
    quick: list[Any] = [part for part in made.modules() if type(part) is Linear]
    for part in quick:
        part.__class__ = torch.nn.Linear
    return made
