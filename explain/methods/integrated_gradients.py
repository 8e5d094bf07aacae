"""Integrated gradients: Sundararajan, Taly and Yan, "Axiomatic Attribution for Deep Networks", 2017,
arXiv 1703.01365, equation 1, on word embeddings:

    IG_i(x) = (x_i - x'_i) * integral over a in [0, 1] of df(x' + a (x - x')) / dx_i

summed over the embedding axis. f is the logit margin and x' the masked text (see explain.engine). Captum
computes it with Gauss-Legendre points. The scores should sum to f(x) - f(x') (completeness, proposition 1).

Ours, not the paper's: where that sum is off by more than `tolerance`, the text is done again with twice the
points, until it holds or `max_steps` would be passed; the error that is left is in the Attribution.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from captum.attr import IntegratedGradients

from explain.metrics import COMPLETENESS_GATE, completeness_error

if TYPE_CHECKING:
    from torch import Tensor

    from explain.engine import Batch

VERSION = 1
TASKS = ("classification",)
HAS_COMPLETENESS = True


@dataclass(frozen=True)
class Config:
    """n_steps: quadrature points to begin with, 1 to 1024 (default 50 is Captum's).

    tolerance: completeness error (a ratio, above 0) that is good enough; infinity never adds points.
    max_steps: points never passed, at least n_steps and at most 4096.
    """

    n_steps: int = 50
    tolerance: float = COMPLETENESS_GATE
    max_steps: int = 400

    def __post_init__(self) -> None:
        if not 1 <= self.n_steps <= 1024:
            raise ValueError(f"n_steps is {self.n_steps}: give 1 to 1024")
        if not self.tolerance > 0:
            raise ValueError(f"tolerance is {self.tolerance}: give a ratio above 0, such as 0.05")
        if not self.n_steps <= self.max_steps <= 4096:
            raise ValueError(f"max_steps is {self.max_steps}: give {self.n_steps} (n_steps) to 4096")


def attribute(batch: Batch, config: Config) -> Tensor:
    """(b, t): the integral of every token, its embedding axis summed."""
    steps = config.n_steps
    scores = _integrate(batch, steps)
    pending = list(range(len(batch.seeds)))
    while True:
        pending = [row for row in pending if _error(batch, scores, row) > config.tolerance]
        steps *= 2
        if not pending or steps > config.max_steps:
            return scores
        scores[pending] = _integrate(batch.select(pending), steps)


def _integrate(batch: Batch, steps: int) -> Tensor:
    result = IntegratedGradients(batch.forward).attribute(
        batch.inputs,
        baselines=batch.baselines,
        additional_forward_args=(batch.attention_mask, batch.targets, batch.others),
        n_steps=steps,
        method="gausslegendre",
        internal_batch_size=batch.rows,
    )
    return result.detach().sum(-1)


def _error(batch: Batch, scores: Tensor, row: int) -> float:
    return completeness_error(scores[row].tolist(), float(batch.margins[row]), float(batch.baseline_margins[row]))
