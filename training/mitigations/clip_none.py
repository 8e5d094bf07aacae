"""No gradient clipping: what the baseline's clipping is worth.

The baseline applies g <- g * min(1, c / ||g||), c = 1 (Pascanu, Mikolov and Bengio, "On the difficulty of training
recurrent neural networks", ICML 2013, algorithm 1); here the gradient is used as it comes.
"""

from __future__ import annotations

from training.hooks import State

FAMILY = "gradients"
SOURCE = "control; Pascanu et al. 2013, ICML"
VERSION = 1
TASKS = ("classification", "tagging")


def after_backward(state: State, config: None) -> None:
    """Leaves the gradients alone."""
