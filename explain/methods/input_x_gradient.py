"""Input x gradient: the linear part of f(x) - f(x'), word by word.

Shrikumar, Greenside, Shcherbina and Kundaje, "Not Just a Black Box", 2016, arXiv 1605.01713, on word
embeddings. Ours takes the input from the baseline, not from zero:

    A_i = (x_i - x'_i) . df / dx_i    at x

f is the logit margin and x' the masked text (see explain.engine). A zero embedding is no input that the model knows,
and against it special tokens would get a share; against x' they get none. This is Captum's InputXGradient of
z -> f(x' + z) at z = x - x', and the first-order Taylor term of f(x) - f(x'): exact where f is linear, off by all
curvature elsewhere, so no sum is promised.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from explain.methods._gradients import gradient

if TYPE_CHECKING:
    from torch import Tensor

    from explain.engine import Batch

VERSION = 1
TASKS = ("classification", "tagging")
HAS_COMPLETENESS = False


@dataclass(frozen=True)
class Config:
    """Nothing to set."""


def attribute(batch: Batch, config: Config) -> Tensor:
    """(b, t): difference to the baseline times the gradient, the embedding axis summed."""
    return ((batch.inputs - batch.baselines) * gradient(batch, batch.inputs.clone())).sum(-1)
