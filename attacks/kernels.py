"""Which library multiplies the matrices of a model's linear layers on a CPU: oneDNN, where PyTorch would take MKL.

The sums are the same up to rounding. On AMD processors MKL leaves the 512-bit units idle: on one core of an EPYC with
torch 2.13, 1024 x 384 times 384 x 1536 runs at 112 GFLOP/s with MKL and at 260 with oneDNN, forwards and backwards
alike. With oneDNN a row's sums also depend less on the batch: they were bit-equal for all numbers of rows from 2 to
2048, with one thread and with two, where MKL's differ below four (`attacks/batching.py`).

A model keeps its parameters and their names; only the class of its plain linear layers changes, so it is saved, stacked
and pruned as before. On another device, in another precision or in a compiled model the layer is torch's own.
"""

from __future__ import annotations

import copy
import os
from typing import Any

import torch

# a product's code is made once for each number of rows, in about 0.3 ms, and there are more of these than oneDNN's
# default of 1024 kept ones; read when the first product is made
os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "8192")
AVAILABLE = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")


class Product(torch.autograd.Function):
    """x W^T + b by oneDNN, differentiable any number of times."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        ctx.save_for_backward(x, weight)
        return _product(x, weight, bias)

    @staticmethod
    def backward(
        ctx: Any, *grads: torch.Tensor
    ) -> tuple[torch.Tensor | None, torch.Tensor | None, torch.Tensor | None]:
        (grad,), (x, weight) = grads, ctx.saved_tensors
        of_x, of_weight, of_bias = ctx.needs_input_grad
        rows = grad.reshape(-1, grad.shape[-1])
        return (
            linear(grad, weight.t()) if of_x else None,
            linear(rows.t(), x.reshape(-1, x.shape[-1]).t()) if of_weight else None,
            rows.sum(0) if of_bias else None,
        )


def linear(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
    """x W^T + b for x of shape (..., inputs), weight (outputs, inputs), bias (outputs), all fp32 on the CPU."""
    if torch.is_grad_enabled() and any(part is not None and part.requires_grad for part in (x, weight, bias)):
        product: torch.Tensor = Product.apply(x, weight, bias)
        return product
    return _product(x, weight, bias)


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
