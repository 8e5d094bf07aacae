"""Early stopping: training ends when the validation score no longer rises, and the best epoch's weights are kept.

Prechelt, "Early Stopping - But When?", in Neural Networks: Tricks of the Trade, 1998: stop when the validation error
has risen s times in succession and keep the weights of its minimum. For BERT: Dodge et al., "Fine-Tuning Pretrained
Language Models: Weight Initializations, Data Orders, and Early Stopping", arXiv 2002.06305, 2020. The loop scores the
validation split after each epoch (accuracy, or strict entity F1) and stops after `patience` epochs in a row without a
score above the best so far; of equal epochs the first is kept.

Deviations: an epoch is compared with the best one, not with the one before it, and by score, not by loss. The schedule
is laid out for all epochs, so a stopped run never saw its small learning rates. With one epoch it changes nothing. The
score it reports on the validation split is the one it chose by: read the test split's. Scoring an epoch is part of the
training time, not of the counted passes.
"""

from __future__ import annotations

from dataclasses import dataclass

from training.hooks import Settings

FAMILY = "generalisation"
SOURCE = "Prechelt 1998; Dodge et al. 2020, arXiv 2002.06305"
VERSION = 1
TASKS = ("classification", "tagging")


@dataclass(frozen=True)
class Config:
    patience: int = 1
    """Epochs in a row without a better validation score, >= 1; 1 because the tiers train few epochs. Untuned."""

    def __post_init__(self) -> None:
        if not (isinstance(self.patience, int) and 1 <= self.patience <= 1000):
            raise ValueError(f"patience is {self.patience}; it must be a whole number in 1..1000")


def settings(settings: Settings, config: Config) -> Settings:
    return settings.model_copy(update={"patience": config.patience})
