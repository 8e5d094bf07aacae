"""oneDNN's linear layer: torch's numbers, gradients of every order, and a row's bits are its own."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from attacks import kernels

pytestmark = pytest.mark.skipif(not kernels.AVAILABLE, reason="this torch is built without oneDNN")
DOUBLE = torch.float64


def two_layers() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(24, 40), nn.Tanh(), nn.Linear(40, 3, bias=False))


def numbers(module: nn.Module, x: torch.Tensor) -> list[torch.Tensor]:
    """Output, gradients of input and parameters, and the gradient of the input gradient's norm."""
    module, x = copy.deepcopy(module).to(x.dtype), x.clone().requires_grad_()
    out = module(x)
    first = torch.autograd.grad(out.square().sum(), [x, *module.parameters()], create_graph=True)
    second = torch.autograd.grad(first[0].square().sum(), [x, *module.parameters()])
    return [out, *first, *second]


@pytest.mark.parametrize("shape", [(5, 24), (2, 7, 24), (1, 24), (24,)])
def test_outputs_and_gradients_are_those_of_double_precision(shape: tuple[int, ...]) -> None:
    plain, x = two_layers(), torch.randn(shape, generator=torch.Generator().manual_seed(1))
    quick = kernels.quicken(copy.deepcopy(plain))
    assert [type(part) for part in quick if isinstance(part, nn.Linear)] == [kernels.Linear] * 2
    for ours, exact in zip(numbers(quick, x), numbers(plain, x.to(DOUBLE)), strict=True):
        assert ours.dtype == torch.float32
        torch.testing.assert_close(ours.to(DOUBLE), exact, rtol=1e-5, atol=1e-5)


def test_it_is_onednn_that_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[torch.Size] = []
    real = kernels._product
    monkeypatch.setattr(kernels, "_product", lambda x, w, b: calls.append(x.shape) or real(x, w, b))
    module = kernels.quicken(two_layers())
    with torch.inference_mode():
        module(torch.ones(6, 24))
    assert [tuple(shape) for shape in calls] == [(64, 24), (64, 40)], "rows are filled up to 64"
    calls.clear()
    module(torch.ones(6, 24)).sum().backward()
    assert len(calls) == 2 + 3, "two products forwards; backwards two of weights and one of the hidden layer"


def test_rows_are_filled_up_to_few_numbers_and_never_cut() -> None:
    filled = [kernels.filled_rows(rows) for rows in range(1, 6000)]
    assert all(made >= rows for rows, made in enumerate(filled, start=1))
    assert len(set(filled)) == 16 + 12 + 2, "64 .. 1024, 1280 .. 4096, 5120 and 6144"
    assert [kernels.filled_rows(rows) for rows in (1, 64, 65, 1024, 1025, 4097)] == [64, 64, 128, 1024, 1280, 5120]


def test_only_what_is_asked_for_is_computed() -> None:
    module = kernels.quicken(two_layers()).requires_grad_(False)
    x = torch.ones(6, 24, requires_grad=True)
    (grad,) = torch.autograd.grad(module(x).sum(), x)
    assert grad.shape == x.shape
    assert all(parameter.grad is None for parameter in module.parameters())


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(("inputs", "outputs"), [(128, 512), (512, 128), (384, 1536), (1536, 384), (384, 2)])
def test_the_bits_of_a_row_do_not_depend_on_the_rows_beside_it(inputs: int, outputs: int, threads: int) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        generator = torch.Generator().manual_seed(2)
        x, weight = (torch.randn(n, inputs, generator=generator) for n in (1200, outputs))
        whole = kernels.linear(x, weight)
        for start, stop in [(0, 4), (3, 7), (16, 33), (100, 228), (0, 1024), (7, 1031)]:
            assert torch.equal(kernels.linear(x[start:stop].contiguous(), weight), whole[start:stop])
    finally:
        torch.set_num_threads(before)


def test_another_precision_is_torchs_own_and_names_stay() -> None:
    module = two_layers()
    names = list(module.state_dict())
    quick = kernels.quicken(module)
    assert list(quick.state_dict()) == names
    half = copy.deepcopy(quick).to(torch.bfloat16)
    x = torch.ones(3, 24, dtype=torch.bfloat16)
    assert torch.equal(half(x), two_layers().to(torch.bfloat16)(x))
    assert quick(torch.ones(0, 24)).shape == (0, 3)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert quick(torch.ones(3, 24)).dtype == torch.bfloat16


def test_subclasses_are_left_alone() -> None:
    class Own(nn.Linear):
        pass

    module = kernels.quicken(nn.Sequential(Own(2, 2)))
    assert type(module[0]) is Own
