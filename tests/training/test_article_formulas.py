"""The founding article's formulas: binary cross-entropy and its gradient, in closed form and by autograd.

L = -[y log s(z) + (1 - y) log(1 - s(z))] with z = w.x + b and s(z) = 1 / (1 + exp(-z)); then dL/dz = s(z) - y, so
dL/dw = (s(z) - y) x and dL/db = s(z) - y.
"""

from __future__ import annotations

import math

import pytest
import torch

CASES = [
    (y, w, b)
    for y in (0.0, 1.0)
    for w, b in (([0.5, -1.0, 2.0], 0.1), ([-3.0, 0.0, 1.0], -2.0), ([0.0, 0.0, 0.0], 0.0))
]
X = [1.0, -0.5, 0.25]


def sigmoid(z: float) -> float:
    return 1 / (1 + math.exp(-z))


@pytest.mark.parametrize(("y", "w", "b"), CASES)
def test_the_gradient_in_closed_form_is_autograds(y: float, w: list[float], b: float) -> None:
    weight = torch.tensor(w, dtype=torch.float64, requires_grad=True)
    bias = torch.tensor(b, dtype=torch.float64, requires_grad=True)
    s = torch.sigmoid(weight @ torch.tensor(X, dtype=torch.float64) + bias)
    loss = -(y * torch.log(s) + (1 - y) * torch.log(1 - s))
    loss.backward()
    z = sum(wi * xi for wi, xi in zip(w, X, strict=True)) + b
    assert loss.item() == pytest.approx(-math.log(sigmoid(z) if y else 1 - sigmoid(z)))
    assert weight.grad is not None
    assert bias.grad is not None
    assert weight.grad.tolist() == pytest.approx([(sigmoid(z) - y) * xi for xi in X])
    assert bias.grad.item() == pytest.approx(sigmoid(z) - y)


def test_one_value_by_hand() -> None:
    # w = 0, b = 0: s = 1/2, L = log 2, dL/db = -1/2 for y = 1
    bias = torch.zeros((), requires_grad=True)
    loss = torch.nn.functional.binary_cross_entropy_with_logits(bias, torch.ones(()))
    loss.backward()
    assert loss.item() == pytest.approx(math.log(2))
    assert bias.grad is not None
    assert bias.grad.item() == pytest.approx(-0.5)


@pytest.mark.parametrize(("y", "w", "b"), CASES)
def test_two_classes_under_the_suites_cross_entropy_are_the_same_loss(y: float, w: list[float], b: float) -> None:
    """Softmax over (0, z) is (1 - s(z), s(z)): what the suite trains two classes with is the article's loss."""
    z = torch.tensor(w, dtype=torch.float64) @ torch.tensor(X, dtype=torch.float64) + b
    ours = torch.nn.functional.cross_entropy(torch.stack([torch.zeros_like(z), z])[None], torch.tensor([int(y)]))
    theirs = torch.nn.functional.binary_cross_entropy_with_logits(z, torch.tensor(y, dtype=torch.float64))
    assert ours.item() == pytest.approx(theirs.item())
