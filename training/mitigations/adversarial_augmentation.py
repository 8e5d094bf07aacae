"""Adversarial augmentation: a plain model is trained and attacked, and the texts that fool it join the training data.

Jin, Jin, Zhou and Szolovits, "Is BERT Really Robust? A Strong Baseline for Natural Language Attack on Text
Classification and Entailment", AAAI 2020, arXiv 1907.11932, on adversarial training: the training set is expanded by
adversarial texts with the labels of the texts they were made from, and a fresh model is trained on both.

Deviations: the recipe is `deepwordbug` (their attack is TextFooler: recipe = "textfooler"), 15 ms a text of BERT-tiny;
what it gives is robustness to misspelling first of all. Training texts are attacked in random order until
`share` of them has fallen, at most five times as many. The plain model has this arm's settings. Every arm takes equally
many optimiser steps, so a step draws from the enlarged set. Only for classification: no recipe attacks tagged words.
Passes before the first step: a whole training and the attack's queries.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from attacks.engine import attack
from attacks.lexicon import LexiconMissing
from attacks.outcome import Outcome, Sample
from attacks.victim import Victim
from training import registry
from training.errors import UserError
from training.hooks import Context
from training.loop import fine_tune
from training.model import Classifier
from training.stack import Stack
from training.task import Example

FAMILY = "adversarial"
SOURCE = "Jin et al. 2020, arXiv 1907.11932"
PREPARATION = "training and attacking a plain model"
VERSION = 1
TASKS = ("classification",)
NEEDS = ("stopwords",)
USES = ("attacks/*.py", "attacks/recipes/*.py")
TRIES = 5  # texts attacked for each adversarial text wanted, at most: a text may be wrong already or withstand


@dataclass(frozen=True)
class Config:
    recipe: str = "deepwordbug"
    """The attack, a recipe of `temper list recipes`; the suite's, for speed."""
    share: float = 0.1
    """Adversarial texts wanted, as a share of the training texts, 0 < share <= 1; the suite's, untuned."""
    budget_per_word: int = 5
    """Queries an attack may spend for each word of a text, 1..1000; the suite's, untuned."""

    def __post_init__(self) -> None:
        known = registry.names("attacks.recipes")
        if self.recipe not in known:
            raise ValueError(f"recipe is {self.recipe!r}; it must be one of {', '.join(known)}")
        if not 0 < self.share <= 1:
            raise ValueError(f"share is {self.share}; it must lie in 0 < share <= 1")
        if not 1 <= self.budget_per_word <= 1000:
            raise ValueError(f"budget_per_word is {self.budget_per_word}; it must lie in 1..1000")


def prepare_data(examples: Sequence[Example], context: Context, config: Config) -> Sequence[Example]:
    # the second training shall draw the dropout it would have drawn without the first
    with torch.random.fork_rng():
        settings = context.settings.model_copy(update={"patience": None})
        plain = fine_tune(context.build(), Stack([]), replace(context, settings=settings, unlabelled=())).classifier
    counting = context.passes.watch(plain.module)
    try:
        fallen = attacked(plain, examples, context, config)
    except LexiconMissing as error:
        raise UserError(f"the recipe '{config.recipe}' of 'adversarial_augmentation' cannot run: {error}") from error
    finally:
        counting.remove()
    origin = {example.id: example for example in examples}
    return [
        *examples,
        # the marked words of a rationale may not be there any more
        *(replace(origin[o.id], id=f"{o.id}-adv", text=o.perturbed or "", rationale=()) for o in fallen),
    ]


def attacked(plain: Classifier, examples: Sequence[Example], context: Context, config: Config) -> list[Outcome]:
    """The successes of the recipe on randomly drawn texts, as many as wanted where there are."""
    samples = [Sample(example.id, example.text, example.label) for example in examples if example.label is not None]
    seed = hashlib.sha256(f"adversarial_augmentation:{context.seed}".encode()).digest()
    random.Random(seed).shuffle(samples)
    wanted = max(1, round(config.share * len(samples)))
    queue = samples[: TRIES * wanted]
    fallen: list[Outcome] = []
    victim, lexicon = Victim(plain.logits), context.lexicon()
    while queue and len(fallen) < wanted:
        chunk, queue = queue[: wanted - len(fallen)], queue[wanted - len(fallen) :]
        outcomes = attack(
            victim, chunk, config.recipe, lexicon=lexicon, budget_per_word=config.budget_per_word, seed=context.seed
        )
        fallen += [outcome for outcome in outcomes if outcome.status == "success"]
    return fallen
