"""EDA: easy data augmentation by synonym replacement, random insertion, random swap and random deletion.

Wei and Zou, "EDA: Easy Data Augmentation Techniques for Boosting Performance on Text Classification Tasks", EMNLP 2019,
arXiv 1901.11196, section 2: each copy of a text undergoes one of the four operations; SR, RI and RS change
n = alpha * length words (at least 1), RD drops each word with probability alpha. The authors' code defaults are
alpha = 0.1 for each operation and 9 copies; the paper advises 4 copies for 5,000 texts and more.

Deviations: casing and punctuation of untouched words are kept (the authors' code lower-cases and strips); synonyms are
single WordNet 3.0 words. Every arm takes equally many optimiser steps, so a step draws from the enlarged set instead of
the set being passed over `copies + 1` times as often. Not for tagging: swaps and deletions break entity spans.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from training.hooks import Context
from training.task import Example

FAMILY = "generalisation"
SOURCE = "Wei and Zou 2019, arXiv 1901.11196"
VERSION = 1
TASKS = ("classification",)
NEEDS = ("synonyms",)


@dataclass(frozen=True)
class Config:
    alpha: float = 0.1
    """Share of the words changed, and the deletion probability; 0..1."""
    copies: int = 4
    """Augmented copies per text, 1..64; the paper's advice for 5,000 texts and more."""

    def __post_init__(self) -> None:
        if not 0 < self.alpha < 1:
            raise ValueError(f"alpha is {self.alpha}; it must lie in 0 < alpha < 1")
        if not 1 <= self.copies <= 64:
            raise ValueError(f"copies is {self.copies}; it must lie in 1..64")


def prepare_data(examples: Sequence[Example], context: Context, config: Config) -> Sequence[Example]:
    synonyms = context.lexicon().synonyms
    return [made for example in examples for made in (example, *_copies(example, synonyms, config, context.seed))]


def _copies(example: Example, synonyms: Callable[[str], list[str]], config: Config, seed: int) -> list[Example]:
    """Copies drawn from a generator of the example's own, so that they do not depend on the other examples."""
    digest = hashlib.sha256(f"eda:{seed}:{example.id}".encode()).digest()
    rng = random.Random(digest)
    operations = (replace_synonyms, insert_synonyms, swap_words, delete_words)
    copies = []
    for index in range(config.copies):
        operation = operations[index % len(operations)]
        words = operation(example.text.split(), config.alpha, rng, synonyms)
        copies.append(replace(example, id=f"{example.id}-eda{index}", text=" ".join(words), rationale=()))
    return copies


def replace_synonyms(words: list[str], alpha: float, rng: random.Random, synonyms: Callable) -> list[str]:
    """SR: n distinct words that have synonyms are replaced by one of theirs."""
    positions = [i for i in range(len(words)) if synonyms(words[i].lower())]
    rng.shuffle(positions)
    out = list(words)
    for i in positions[: _count(words, alpha)]:
        out[i] = rng.choice(synonyms(words[i].lower()))
    return out


def insert_synonyms(words: list[str], alpha: float, rng: random.Random, synonyms: Callable) -> list[str]:
    """RI: n times, a synonym of a random word goes to a random place."""
    out = list(words)
    sources = [word for word in words if synonyms(word.lower())]
    for _ in range(_count(words, alpha) if sources else 0):
        out.insert(rng.randint(0, len(out)), rng.choice(synonyms(rng.choice(sources).lower())))
    return out


def swap_words(words: list[str], alpha: float, rng: random.Random, synonyms: Callable) -> list[str]:
    """RS: n times, two random words change places."""
    out = list(words)
    for _ in range(_count(words, alpha) if len(out) > 1 else 0):
        i, j = rng.sample(range(len(out)), 2)
        out[i], out[j] = out[j], out[i]
    return out


def delete_words(words: list[str], alpha: float, rng: random.Random, synonyms: Callable) -> list[str]:
    """RD: each word goes with probability alpha; never all of them."""
    return [word for word in words if rng.random() >= alpha] or [rng.choice(words)]


def _count(words: list[str], alpha: float) -> int:
    return max(1, int(alpha * len(words)))
