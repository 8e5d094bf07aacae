"""AEDA: copies of each text with punctuation marks inserted at random; no word changes.

Karimi, Rossi and Prati, "AEDA: An Easier Data Augmentation Technique for Text Classification", Findings of EMNLP 2021,
arXiv 2108.13230: q ~ U{1, ..., floor(ratio * length + 1)} distinct words are drawn, and each gets one of . ; ? : ! , in
front of it. ratio = 0.3 is the authors' code's.

Deviations: 4 copies, the number that `eda` makes, so that the two differ in one thing. Every arm takes equally many
optimiser steps, so a step draws from the enlarged set. Not for tagging here: an inserted mark inside an entity would
break it.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

from training.hooks import Context
from training.task import Example

FAMILY = "generalisation"
SOURCE = "Karimi et al. 2021, arXiv 2108.13230"
VERSION = 1
TASKS = ("classification",)
MARKS = (".", ";", "?", ":", "!", ",")


@dataclass(frozen=True)
class Config:
    ratio: float = 0.3
    """Bound of the number of marks per word, 0 < ratio < 1."""
    copies: int = 4
    """Augmented copies per text, 1..64."""

    def __post_init__(self) -> None:
        if not 0 < self.ratio < 1:
            raise ValueError(f"ratio is {self.ratio}; it must lie in 0 < ratio < 1")
        if not 1 <= self.copies <= 64:
            raise ValueError(f"copies is {self.copies}; it must lie in 1..64")


def prepare_data(examples: Sequence[Example], context: Context, config: Config) -> Sequence[Example]:
    return [made for example in examples for made in (example, *_copies(example, config, context.seed))]


def _copies(example: Example, config: Config, seed: int) -> list[Example]:
    """Copies drawn from a generator of the example's own, so that they do not depend on the other examples."""
    rng = random.Random(hashlib.sha256(f"aeda:{seed}:{example.id}".encode()).digest())
    words = example.text.split()
    if not words:
        return []
    texts = [" ".join(insert_marks(words, config.ratio, rng)) for _ in range(config.copies)]
    named = [(f"{example.id}-aeda{index}", text) for index, text in enumerate(texts)]
    return [replace(example, id=name, text=text, rationale=()) for name, text in named]


def insert_marks(words: Sequence[str], ratio: float, rng: random.Random) -> list[str]:
    """`words`, at least one, with a mark in front of q of them."""
    count = rng.randint(1, int(ratio * len(words) + 1))
    places = set(rng.sample(range(len(words)), count))
    return [piece for i, word in enumerate(words) for piece in ((rng.choice(MARKS), word) if i in places else (word,))]
