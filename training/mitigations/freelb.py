"""FreeLB: adversarial training that learns from every ascent step, not only from the last.

Zhu et al., "FreeLB: Enhanced Adversarial Training for Natural Language Understanding", ICLR 2020, arXiv 1909.11764,
algorithm 1: from d_0 = U(-epsilon, epsilon) / sqrt(n) over the n shifted numbers, K times
g <- g + (1/K) * grad_theta L(e + d), then d <- P(d + alpha * h / ||h||_2), with h the gradient at d and P the
projection onto the L2 ball of radius epsilon around 0, over the whole sequence. The optimiser takes one step along g.

Deviations: special tokens and padding are not perturbed. Dropout is drawn anew in every pass; the paper keeps one mask
over the K passes. Radius and step are the suite's and were not tuned: the radius is the one at which `fgm` still learnt
on BERT-tiny (mean norm of a word's embedding 0.68). Telemetry records the mean of the K losses. K forward and K
backward passes a step.
"""

from __future__ import annotations

from dataclasses import dataclass

from training.hooks import Batch, Forward, Output, State
from training.mitigations._embedding_ball import check_lengths, check_radius, check_steps, learn_from_every_step, start

FAMILY = "adversarial"
SOURCE = "Zhu et al. 2020, arXiv 1909.11764"
PASSES = (3, 3)
VERSION = 1
TASKS = ("classification", "tagging")
BACKPROPAGATES = True


@dataclass(frozen=True)
class Config:
    epsilon: float = 0.1
    """Radius of the ball, an L2 norm over one sequence's embeddings, >= 0."""
    step_size: float = 0.05
    """Length alpha of one ascent step, > 0; in the unit of epsilon."""
    steps: int = 3
    """Passes K, 1..50; 1 is training on random noise."""

    def __post_init__(self) -> None:
        check_radius(self)
        check_lengths(self, "step_size")
        check_steps(self)


def loss(forward: Forward, state: State, batch: Batch, config: Config) -> Output:
    shift = start(state, batch, config.epsilon)
    return learn_from_every_step(forward, state, batch, shift, config.step_size, config.steps, config.epsilon)
