"""Small networks that train beside the model and are never part of it, and what the model's own head is given."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch

from training.errors import UserError
from training.hooks import Batch, Forward, Output, State


def perceptron(sizes: Sequence[int], generator: torch.Generator, dropout: float = 0.0) -> torch.nn.Sequential:
    """Linear layers of these sizes on the CPU, leaky ReLUs (0.2) and dropout between them.

    Weights and biases are drawn from `generator`, uniform within 1 / sqrt(inputs); torch's own draws would move the
    state of its global generator, and with it the model's dropout.
    """
    parts: list[torch.nn.Module] = []
    for inputs, outputs in itertools.pairwise(sizes):
        layer = torch.nn.utils.skip_init(torch.nn.Linear, inputs, outputs)
        for parameter in layer.parameters():
            torch.nn.init.uniform_(parameter, -(inputs**-0.5), inputs**-0.5, generator=generator)
        parts += [layer, torch.nn.LeakyReLU(0.2), torch.nn.Dropout(dropout)]
    return torch.nn.Sequential(*parts[:-2])


def watch_head(forward: Forward, state: State, batch: Batch, name: str) -> tuple[Output, torch.nn.Module, torch.Tensor]:
    """The output for the batch, the model's head (the last linear layer with one output a class) and what it was given.

    `name` is the mitigation that asks. Of several forward passes in the chain the last one counts.
    """
    seen: list[tuple[torch.nn.Module, torch.Tensor]] = []
    classes = len(state.context.task.labels)
    heads = [p for p in state.module.modules() if isinstance(p, torch.nn.Linear) and p.out_features == classes]
    watches = [p.register_forward_hook(lambda part, given, _: seen.append((part, given[0]))) for p in heads]
    output = forward(batch)
    for watch in watches:
        watch.remove()
    if not seen:
        raise UserError(f"'{name}' finds no linear head with one output for each class in this model. Leave it out.")
    return output, *seen[-1]
