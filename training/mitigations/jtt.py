"""JTT: a plain model is trained first, the training texts it gets wrong are repeated, and training starts over.

Liu et al., "Just Train Twice: Improving Group Robustness without Training Group Information", ICML 2021, arXiv
2107.09044: with E the texts a plain model errs on after T epochs, the second model minimises
upweight * sum_{E} CE + sum_{not E} CE. Neither training needs groups; T and upweight have to be chosen on validation
texts whose groups are known, which is not done here. upweight = 4 is the authors' MNLI command's; T is the suite's,
untuned.

Deviations: T is a share of the arm's epochs, at least one, at the arm's learning rate. A text of E stands `upweight`
times in the data, as in the equation (the authors' code adds as many to the one that is there). Every arm takes equally
many optimiser steps, so a step draws from the enlarged set. A tagged sentence is wrong when one of its tags is. Copies
that an augmentation named before made are repeated by their own errors; texts without a label are never.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from training.hooks import Context
from training.loop import fine_tune, predict_tags
from training.mitigations._nested import own_randomness
from training.model import Classifier
from training.stack import Stack
from training.task import Example

FAMILY = "generalisation"
SOURCE = "Liu et al. 2021, arXiv 2107.09044"
PREPARATION = "training a plain model"
VERSION = 1
TASKS = ("classification", "tagging")


@dataclass(frozen=True)
class Config:
    share: float = 0.5
    """T as a share of the arm's epochs, 0 < share <= 1, rounded to at least one epoch. The suite's, untuned."""
    upweight: int = 4
    """How often a text the plain model errs on stands in the training data, 2..100; the authors' MNLI command's."""

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1:
            raise ValueError(f"share is {self.share}; it must lie in 0 < share <= 1")
        if not 2 <= self.upweight <= 100:
            raise ValueError(f"upweight is {self.upweight}; it must lie in 2..100")


def prepare_data(examples: Sequence[Example], context: Context, config: Config) -> Sequence[Example]:
    epochs = max(1, round(config.share * context.settings.epochs))
    settings = context.settings.model_copy(update={"epochs": epochs, "patience": None})
    with own_randomness():
        plain = fine_tune(context.build(), Stack([]), replace(context, settings=settings, unlabelled=())).classifier
    return repeated(examples, wrong(plain, examples), config.upweight)


def wrong(classifier: Classifier, examples: Sequence[Example]) -> set[str]:
    """The ids of the labelled examples that `classifier` gets wrong."""
    if classifier.kind == "classification":
        known = [example for example in examples if example.label is not None]
        if not known:
            return set()
        predicted = classifier.logits([example.text for example in known]).argmax(axis=1)
        return {example.id for example, label in zip(known, predicted, strict=True) if label != example.label}
    known = [example for example in examples if example.tags]
    gold = [[classifier.labels[tag] for tag in example.tags] for example in known]
    found = predict_tags(classifier, known)
    return {example.id for example, now, right in zip(known, found, gold, strict=True) if now != right}


def repeated(examples: Sequence[Example], errors: set[str], upweight: int) -> list[Example]:
    """`examples`, and after each whose id is in `errors` its copies, so that it stands there `upweight` times."""
    return [
        made
        for example in examples
        for made in (
            example,
            *(replace(example, id=f"{example.id}-jtt{i}") for i in range(1, upweight) if example.id in errors),
        )
    ]
