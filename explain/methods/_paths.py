"""Slopes along the straight line from the masked text to the text: what every path method asks for. Not a method."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from explain.questions import at_places, margins

if TYPE_CHECKING:
    from explain.engine import Batch


def slopes(batch: Batch, rows: list[int], along: NDArray[np.float64]) -> tuple[Tensor, Tensor]:
    """At the points x' + a (x - x'): sum over the embedding axis of (x - x') . df/dx, and f itself.

    rows: (m,) rows of the batch, a row may come twice. along: (m, points), each a in [0, 1]. Returns (m, points, t)
    and (m, points), float64 on the CPU. Rows about one text at the same points share the forward passes; each
    question adds a backward pass. A forward holds points of texts of like length, padded to its own longest.
    """
    groups: dict[tuple[int, bytes], list[int]] = {}
    for unit, row in enumerate(rows):
        groups.setdefault((id(batch.questions[row].encoded), along[unit].tobytes()), []).append(unit)
    found = torch.zeros(len(rows), along.shape[1], batch.inputs.shape[1], dtype=torch.float64)
    values = torch.zeros(len(rows), along.shape[1], dtype=torch.float64)
    lengths = [int(length) for length in batch.attention_mask.sum(1)[rows].tolist()]
    for pairs in _forwards(list(groups.values()), along.shape[1], lengths, batch.rows * batch.inputs.shape[1]):
        firsts = [rows[units[0]] for units, _ in pairs]
        longest = max(lengths[units[0]] for units, _ in pairs)
        steps = (batch.inputs - batch.baselines)[firsts, :longest]
        shares = torch.tensor([along[units[0], point] for units, point in pairs]).to(steps)[:, None, None]
        x = (batch.baselines[firsts, :longest] + shares * steps).requires_grad_(True)
        most = max(len(units) for units, _ in pairs)
        logits = _logits(batch, x, batch.attention_mask[firsts, :longest], [[rows[u] for u in us] for us, _ in pairs])
        for rank in range(most):
            asked = [k for k, (units, _) in enumerate(pairs) if len(units) > rank]
            own, points = [pairs[k][0][rank] for k in asked], [pairs[k][1] for k in asked]
            who = [rows[unit] for unit in own]
            value = _margins(logits, rank, asked, batch.targets[who], batch.others[who])
            (gradient,) = torch.autograd.grad(value.sum(), x, retain_graph=rank + 1 < most)
            found[own, points, :longest] = (steps * gradient).sum(-1)[asked].cpu().double()
            values[own, points] = value.detach().cpu().double()
    return found, values


def _logits(batch: Batch, x: Tensor, mask: Tensor, rows: list[list[int]]) -> Tensor:
    """Logits of the points x, each about its text's `rows` of the batch: (m, classes), or (m, ranks x k, classes) at
    the k places of every one of the rows."""
    if batch.targets.ndim == 1:
        return batch.model.logits(x, mask)
    most = max(map(len, rows))
    filled = [[*own, *[own[0]] * (most - len(own))] for own in rows]
    return batch.model.logits(x, mask, batch.targets[torch.tensor(filled), :, 0].clamp(min=0).flatten(1))


def _margins(logits: Tensor, rank: int, asked: list[int], targets: Tensor, others: Tensor) -> Tensor:
    if targets.ndim == 1:
        return margins(logits[asked], targets, others)
    width = targets.shape[1]
    return at_places(logits[asked, rank * width : (rank + 1) * width], targets, others)


def _forwards(
    groups: list[list[int]], points: int, lengths: list[int], budget: int
) -> Iterator[list[tuple[list[int], int]]]:
    """(units of one text, point) pairs, text by text, in parts of at most `budget` padded tokens."""
    part: list[tuple[list[int], int]] = []
    longest = 0
    for units in sorted(groups, key=lambda units: lengths[units[0]]):
        for point in range(points):
            longest = max(longest, lengths[units[0]])
            if part and (len(part) + 1) * longest > budget:
                yield part
                part, longest = [], lengths[units[0]]
            part.append((units, point))
    if part:
        yield part


def clenshaw_curtis(intervals: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Points and weights on [0, 1], (intervals + 1,) each; intervals even. Exact for polynomials of that degree.

    Every second point of twice the intervals is a point of these: (1 - cos(k pi / n)) / 2, k = 0..n.
    Clenshaw and Curtis, "A method for numerical integration on an automatic computer", 1960.
    """
    angles = np.pi * np.arange(intervals + 1) / intervals
    terms = np.arange(1, intervals // 2 + 1)
    halves = np.where(terms == intervals // 2, 1.0, 2.0) / (4.0 * terms**2 - 1)
    weights = (1 - np.cos(2 * np.outer(angles, terms)) @ halves) / intervals
    weights[[0, -1]] /= 2
    return (1 - np.cos(angles)) / 2, weights
