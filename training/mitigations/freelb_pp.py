"""FreeLB++: FreeLB with more ascent steps and no bound on the perturbation.

Li et al., "Searching for an Effective Defender: Benchmarking Defense against Adversarial Word Substitution", EMNLP
2021, arXiv 2108.12777: K times g <- g + (1/K) * grad_theta L(e + d), then d <- d + alpha * h / ||h||_2, with h the
gradient at d, over the whole sequence, and d_0 = U(-start, start) / sqrt(n) over the n shifted numbers. The optimiser
takes one step along g. d is at most start + (K - 1) * alpha long.

start is the default of the authors' code; K is the suite's (that code's default is 5, left to the command line).

Deviations: alpha is 0.01, in that code 0.03. With 0.03 d may grow to 0.32, against 0.1 in `freelb`, and BERT-tiny (mean
norm of a word's embedding 0.68) learnt next to nothing: 0.57 validation accuracy on movie_reviews at the best of four
learning rates. With 0.01 d is at most 0.14 long, and it was 0.81 (the baseline's 0.78 at that rate). Special tokens and
padding are not perturbed (the authors' code spares the padding only). Dropout is drawn anew in every pass. Telemetry
records the mean of the K losses. K forward and K backward passes a step.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from training.hooks import Batch, Forward, Output, State
from training.mitigations._embedding_ball import check_lengths, check_steps, learn_from_every_step, start

FAMILY = "adversarial"
SOURCE = "Li et al. 2021, arXiv 2108.12777"
PASSES = (10, 10)
VERSION = 2
TASKS = ("classification", "tagging")
BACKPROPAGATES = True


@dataclass(frozen=True)
class Config:
    start: float = 0.05
    """Longest random start, an L2 norm over one sequence's embeddings, > 0; the authors' code's."""
    step_size: float = 0.01
    """Length alpha of one ascent step, > 0; in the unit of start; see above."""
    steps: int = 10
    """Passes K, 1..50; the suite's, untuned."""

    def __post_init__(self) -> None:
        check_lengths(self, "start", "step_size")
        check_steps(self)


def loss(forward: Forward, state: State, batch: Batch, config: Config) -> Output:
    shift = start(state, batch, config.start)
    return learn_from_every_step(forward, state, batch, shift, config.step_size, config.steps, math.inf)
