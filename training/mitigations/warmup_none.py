"""No warm-up: the learning rate starts at its peak and decays linearly to 0. What the baseline's warm-up is worth.

lr_t = lr * (T - t) / T for t = 0 .. T - 1, where the baseline's rises over the first 10 % of the T steps. Mosbach,
Andriushchenko and Klakow, "On the Stability of Fine-tuning BERT", ICLR 2021, arXiv 2006.04884, recommend warm-up
together with bias correction; the latter stays on here, so that the arm differs in one thing.
"""

from __future__ import annotations

from training.hooks import Settings

FAMILY = "gradients"
SOURCE = "control; Mosbach et al. 2021, arXiv 2006.04884"
VERSION = 1
TASKS = ("classification", "tagging")


def settings(settings: Settings, config: None) -> Settings:
    return settings.model_copy(update={"warmup": 0.0})
