"""What the mitigations that shift word embeddings share: random starts, L2 norms over a sequence, ascent, divergence.

A shift is (n, length, hidden) and 0 outside words. Norms are taken over the whole sequence, one a row.
"""

from __future__ import annotations

import math
from typing import Any

import torch

from training.hooks import IGNORE, Batch, Forward, Output, State


def check_lengths(config: Any, *names: str) -> None:
    """Raises ValueError where a setting that is the length of a shift does not lie in 0 < length < 1000."""
    for name in names:
        if not 0 < getattr(config, name) < 1e3:
            raise ValueError(f"{name} is {getattr(config, name)}; it must lie in 0 < {name} < 1000")


def check_radius(config: Any) -> None:
    """Raises ValueError where the setting `epsilon` does not lie in 0 <= epsilon < 1000.

    0 is the method's own control: as many passes, and no word's embedding is shifted.
    """
    if not 0 <= config.epsilon < 1e3:
        raise ValueError(f"epsilon is {config.epsilon}; it must lie in 0 <= epsilon < 1000")


def check_steps(config: Any) -> None:
    """Raises ValueError where the setting `steps` does not lie in 1..50."""
    if not 1 <= config.steps <= 50:
        raise ValueError(f"steps is {config.steps}; it must lie in 1..50")


def start(state: State, batch: Batch, radius: float) -> torch.Tensor:
    """U(-1, 1) * radius / sqrt(n) for each of the n shifted numbers: at most `radius` in norm, 0 outside words."""
    like = state.embed(batch).detach()
    numbers = (batch.word_mask.sum(dim=1) * like.shape[-1]).clamp_min(1).sqrt()[:, None, None]
    noise = torch.rand(like.shape, generator=state.generator).to(like) * 2 - 1
    return noise * batch.word_mask.unsqueeze(-1) * radius / numbers


def norms(rows: torch.Tensor) -> torch.Tensor:
    """L2 norm of each row of (n, length, hidden), as (n, 1, 1); never 0."""
    return rows.flatten(1).norm(dim=1).clamp_min(1e-12)[:, None, None]


def unit(rows: torch.Tensor) -> torch.Tensor:
    """Each row of (n, length, hidden) divided by its L2 norm; a zero row stays zero."""
    return rows / norms(rows)


def project(rows: torch.Tensor, radius: float) -> torch.Tensor:
    """Each row of (n, length, hidden) shortened to the L2 norm `radius` where it is longer."""
    return rows * (radius / norms(rows)).clamp_max(1.0)


def learn_from_every_step(
    forward: Forward, state: State, batch: Batch, shift: torch.Tensor, length: float, steps: int, radius: float
) -> Output:
    """FreeLB's loop: `steps` passes, each giving 1/steps of its gradient to the parameters, and between them a step of
    `length` along the gradient at the shift, back into the ball of `radius`. Returns the last pass's share."""
    for _ in range(steps - 1):
        shift = shift.detach().requires_grad_()
        output = forward(batch.with_embeddings(state.embed(batch) + shift))
        # one pass gives both gradients: the parameters' share, and the direction of the next shift
        state.backward(output.loss / steps)
        gradient = torch.zeros_like(shift) if shift.grad is None else shift.grad * batch.word_mask.unsqueeze(-1)
        moved = shift.detach() + length * gradient / norms(gradient)
        shift = moved if math.isinf(radius) else project(moved, radius)
    last = forward(batch.with_embeddings(state.embed(batch) + shift.detach()))
    return Output(last.loss / steps, last.logits)


def divergence(clean: torch.Tensor, moved: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Mean KL(softmax(clean) || softmax(moved)) over the texts, or over the labelled pieces of a tagging batch."""
    log_p, log_q = torch.log_softmax(clean.float(), dim=-1), torch.log_softmax(moved.float(), dim=-1)
    return (log_p.exp() * (log_p - log_q)).sum(dim=-1)[labels != IGNORE].mean()
