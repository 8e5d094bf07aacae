"""Integrated gradients: the slope of the margin at each word, integrated on the way from the masked text.

Sundararajan, Taly and Yan, "Axiomatic Attribution for Deep Networks", 2017, arXiv 1703.01365, equation 1, on word
embeddings:

    IG_i(x) = (x_i - x'_i) * integral over a in [0, 1] of df(x' + a (x - x')) / dx_i

summed over the embedding axis. f is the logit margin and x' the masked text (see explain.engine). The scores should sum
to f(x) - f(x') (completeness, proposition 1).

Two quadratures. "nested" (ours): the way is cut into four panels, each integrated by Clenshaw-Curtis on 5, 9, 17, ...
points, every rule reusing the points of the one before, until the panel's sum is right and its scores have settled;
each panel of each text stops by itself, for margins often turn within a small part of the way. "gauss_legendre":
Captum's IntegratedGradients with `n_steps` points. The error that is left is in the Attribution either way.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from captum.attr import IntegratedGradients

from explain.methods._paths import clenshaw_curtis, slopes

if TYPE_CHECKING:
    from torch import Tensor

    from explain.engine import Batch

VERSION = 2
TASKS = ("classification", "tagging")
HAS_COMPLETENESS = True
PANELS, FIRST = 4, 4
ROUNDING = 4 * 2.0**-23
"""Of |f(x)| + |f(x')| + sum |scores|: what float32 can be off by, which no number of points mends."""


@dataclass(frozen=True)
class Config:
    """rule: "nested" or "gauss_legendre".

    tolerance: nested only, the completeness error (a ratio, 1e-6 to 1) that is good enough. A panel's scores sum to
    the margin's change over it; panels are held to half the tolerance each, because their errors partly cancel. The
    scores must also be within its cube root of those of half the points: a sum alone may be right by chance.
    max_steps: nested only, intervals of a panel never passed, a power of two from 4 to 512. n_steps: gauss_legendre
    only, 1 to 1024 (50 is Captum's default).
    """

    rule: Literal["nested", "gauss_legendre"] = "nested"
    tolerance: float = 1e-3
    max_steps: int = 128
    n_steps: int = 50

    def __post_init__(self) -> None:
        if self.rule not in ("nested", "gauss_legendre"):
            raise ValueError(f"rule is {self.rule!r}: give 'nested' or 'gauss_legendre'")
        if not 1e-6 <= self.tolerance <= 1:
            raise ValueError(f"tolerance is {self.tolerance}: give a ratio from 1e-6 to 1, such as 0.001")
        if not (FIRST <= self.max_steps <= 512 and self.max_steps & (self.max_steps - 1) == 0):
            raise ValueError(f"max_steps is {self.max_steps}: give a power of two from {FIRST} to 512")
        if not 1 <= self.n_steps <= 1024:
            raise ValueError(f"n_steps is {self.n_steps}: give 1 to 1024")


def attribute(batch: Batch, config: Config) -> Tensor:
    """(b, t): the integral of every token, its embedding axis summed."""
    return _captum(batch, config.n_steps) if config.rule == "gauss_legendre" else _nested(batch, config)


def _captum(batch: Batch, steps: int) -> Tensor:
    result = IntegratedGradients(batch.forward).attribute(
        batch.inputs,
        baselines=batch.baselines,
        additional_forward_args=(batch.attention_mask, batch.targets, batch.others),
        n_steps=steps,
        internal_batch_size=batch.rows,
    )
    return result.detach().sum(-1)


def _nested(batch: Batch, config: Config) -> Tensor:
    rows = list(range(len(batch.questions)))
    borders = np.concatenate([[0.0], *((k + clenshaw_curtis(FIRST)[0][1:]) / PANELS for k in range(PANELS))])
    found, values = slopes(batch, rows, np.tile(borders, (len(rows), 1)))
    units = [(row, panel) for row in rows for panel in range(PANELS)]
    known = torch.stack([found[row, panel * FIRST : (panel + 1) * FIRST + 1] for row, panel in units])
    rise = torch.stack([values[row, (panel + 1) * FIRST] - values[row, panel * FIRST] for row, panel in units])
    total = torch.zeros(len(rows), PANELS, known.shape[2], dtype=torch.float64)
    intervals = FIRST
    while True:
        parts, halves = (_sum(known[:, ::step], intervals // step) for step in (1, 2))
        for unit, part in zip(units, parts, strict=True):
            total[unit] = part
        done = [_settled(batch, total, *one, config) for one in zip(units, halves, rise.tolist(), strict=True)]
        left = [k for k, settled in enumerate(done) if not settled]
        if not left or intervals >= config.max_steps:
            return total.sum(1)
        units, rise, intervals = [units[k] for k in left], rise[left], 2 * intervals
        both = torch.empty(len(units), intervals + 1, known.shape[2], dtype=torch.float64)
        fresh = np.array([(panel + clenshaw_curtis(intervals)[0][1::2]) / PANELS for _, panel in units])
        both[:, ::2], both[:, 1::2] = known[left], slopes(batch, [row for row, _ in units], fresh)[0]
        known = both


def _sum(known: Tensor, intervals: int) -> Tensor:
    return torch.einsum("p,upt->ut", torch.from_numpy(clenshaw_curtis(intervals)[1]), known) / PANELS


def _settled(batch: Batch, total: Tensor, unit: tuple[int, int], half: Tensor, rise: float, config: Config) -> bool:
    row, scores = unit[0], total[unit]
    margin, base = float(batch.margins[row]), float(batch.baseline_margins[row])
    whole = total[row].sum(0).abs()
    rounding = ROUNDING * (abs(margin) + abs(base) + float(whole.sum()))
    off, change = abs(float(scores.sum()) - rise), float((scores - half).abs().max())
    near = float(np.cbrt(config.tolerance) * whole.max() / 2)
    return off <= max(config.tolerance * abs(margin - base) / 2, rounding) and change <= max(near, rounding)
