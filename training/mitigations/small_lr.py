"""Small learning rate: 2e-5, whatever rate the other arms have.

Mosbach, Andriushchenko and Klakow, "On the Stability of Fine-tuning BERT: Misconceptions, Explanations, and Strong
Baselines", ICLR 2021, arXiv 2006.04884, recommend a small rate with bias correction, warm-up and many more steps;
lr = 2e-5 is the authors' configuration. Update: w <- w - lr_t * (adam + decay * w), with lr_t the schedule's.

Deviation: the tier decides the number of epochs, so the paper's longer training (20 epochs) is not part of this arm; a
small rate alone may simply learn too little. The rate is the method: it is not tuned, and overrides a given one.
"""

from __future__ import annotations

from dataclasses import dataclass

from training.hooks import Settings

FAMILY = "gradients"
SOURCE = "Mosbach et al. 2021, arXiv 2006.04884"
VERSION = 1
TASKS = ("classification", "tagging")
LEARNING_RATE = 2e-5
LEARNING_RATE_SOURCE = "paper (arXiv 2006.04884)"


@dataclass(frozen=True)
class Config:
    rate: float = LEARNING_RATE
    """Peak learning rate, 0 < rate <= 1."""

    def __post_init__(self) -> None:
        if not 0 < self.rate <= 1:
            raise ValueError(f"rate is {self.rate}; it must lie in 0 < rate <= 1")


def settings(settings: Settings, config: Config) -> Settings:
    return settings.model_copy(update={"learning_rate": config.rate})
