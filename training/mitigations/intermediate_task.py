"""Intermediate task: the encoder is fine-tuned on another labelled task first, then on this one with a fresh head.

Phang, Fevry and Bowman, "Sentence Encoders on STILTs: Supplementary Training on Intermediate Labeled-data Tasks", 2018,
arXiv 1811.01088. The other task is trained plainly; its encoder's weights, everything but the head, then replace the
pretrained ones.

Deviations: the paper's intermediate tasks are large (MNLI and others), those embedded here are small, and the default
is the one of the other kind: tagging finance sentences before classifying reviews, reviews before tagging. So a tagger,
which has no pooler, leaves the pretrained pooler as it is. Texts that stand in this task's validation, test or
out-of-domain splits are left out of the intermediate training, so that no evaluation text is ever learned. At most
`texts` of the other task for `epochs` epochs, at this arm's learning rate and batch size: the suite's, untuned.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from training.errors import UserError
from training.hooks import Context
from training.loop import fine_tune
from training.mitigations._nested import own_randomness
from training.stack import Stack
from training.task import Task

FAMILY = "generalisation"
SOURCE = "Phang et al. 2018, arXiv 1811.01088"
PREPARATION = "training on another task"
VERSION = 1
TASKS = ("classification", "tagging")
USES = ("training/task.py", "training/tasks/movie_reviews.py", "training/tasks/ner_finance.py")
DEFAULT = {"classification": "ner_finance", "tagging": "movie_reviews"}


@dataclass(frozen=True)
class Config:
    task: str = ""
    """The other task: a name or locator as `--task` takes it; empty: ner_finance for classification, else
    movie_reviews."""
    epochs: int = 2
    """Passes over its training texts, 1..1000; the suite's, untuned."""
    texts: int = 2000
    """At most so many of its training texts are used, at least 2; the suite's bound on the cost."""

    def __post_init__(self) -> None:
        if not isinstance(self.task, str):
            raise ValueError(f"task is {self.task}; it must be the name of a task, such as 'ner_finance'")
        if not 1 <= self.epochs <= 1000:
            raise ValueError(f"epochs is {self.epochs}; it must lie in 1..1000")
        if not self.texts >= 2:
            raise ValueError(f"texts is {self.texts}; it must be at least 2")


def prepare_model(module: torch.nn.Module, context: Context, config: Config) -> torch.nn.Module:
    other = intermediate(context, config)
    settings = context.settings.model_copy(update={"epochs": config.epochs, "patience": None, "labelled": 1.0})
    nested = replace(context, task=other, settings=settings, unlabelled=())
    with own_randomness():
        trained = fine_tune(context.build(task=other), Stack([]), nested).classifier.module
    transfer(trained, module)
    return module


def intermediate(context: Context, config: Config) -> Task:
    """The other task with at most `texts` training examples, none of them held out for evaluation here."""
    locator = config.task or DEFAULT[context.task.kind]
    if locator == context.task.name:
        raise UserError(f"'intermediate_task' is to train on '{locator}' before '{locator}'. Choose another task.")
    other = context.open_task(locator)
    held_out = {e.id for split, examples in context.task.splits.items() if split != "train" for e in examples}
    train = [example for example in other.train if example.id not in held_out][: config.texts]
    if len(train) < 2:
        raise UserError(f"'intermediate_task': '{other.name}' has no training texts of its own. Choose another task.")
    return replace(other, train=tuple(train))


def transfer(source: torch.nn.Module, target: torch.nn.Module) -> None:
    """Copies the encoder's weights of `source` into `target`; heads, and poolers that only one has, stay."""
    given, own = (encoder(module).state_dict() for module in (source, target))
    absent = [name for name in given if name not in own and not name.startswith("pooler.")]
    if absent:
        raise UserError(
            f"'intermediate_task' has to come before mitigations that rebuild the encoder (no '{absent[0]}' in it any "
            "more): name it first, as in 'intermediate_task+lora'."
        )
    with torch.no_grad():
        for name, weight in given.items():
            if name in own:
                own[name].copy_(weight)


def encoder(module: torch.nn.Module) -> torch.nn.Module:
    """The model without its head."""
    base = getattr(module, "base_model", module)
    if base is module:
        raise UserError("'intermediate_task' does not know which part of this model is the encoder. Leave it out.")
    return base
