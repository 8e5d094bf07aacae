"""Label-preserving NER augmentation: copies of tagged sentences with other mentions and synonyms, tags kept in step.

Dai and Adel, "An Analysis of Simple Data Augmentation for Named Entity Recognition", COLING 2020, arXiv 2010.11683. Two
of the paper's operations are applied to each copy. Mention replacement: with probability `share`, an entity mention is
replaced by another mention of the same type from the training sentences; the new mention is tagged B-, I-, I-, ...
however many words it has. Synonym replacement: with probability `share`, a word outside entities is replaced by one of
its WordNet synonyms, which keeps its tag O.

Deviations: both operations act on the same copy; the paper also replaces words inside mentions by synonyms, which here
stay what they are; synonyms are single WordNet 3.0 words. `share` is the suite's, untuned; 4 copies as in `eda`. Every
arm takes equally many optimiser steps, so a step draws from the enlarged set. Copies carry no rationale, as their words
are others. Not for classification: it replaces mentions, and a text without tags has none.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from training.hooks import Context
from training.task import Example

FAMILY = "generalisation"
SOURCE = "Dai and Adel 2020, arXiv 2010.11683"
VERSION = 1
TASKS = ("tagging",)
NEEDS = ("synonyms",)

Mention = tuple[str, ...]
Segment = tuple[str, tuple[str, ...]]  # an entity type with the words of one mention, or "" with one word outside


@dataclass(frozen=True)
class Config:
    share: float = 0.3
    """Probability that a mention, or a word outside mentions, is replaced; 0 < share <= 1. The suite's, untuned."""
    copies: int = 4
    """Augmented copies per sentence, 1..64; as many as `eda` makes."""

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1:
            raise ValueError(f"share is {self.share}; it must lie in 0 < share <= 1")
        if not 1 <= self.copies <= 64:
            raise ValueError(f"copies is {self.copies}; it must lie in 1..64")


def prepare_data(examples: Sequence[Example], context: Context, config: Config) -> Sequence[Example]:
    labels, synonyms = context.task.labels, context.lexicon().synonyms
    pools = mentions(context.task.train, labels)
    made: list[Example] = []
    for example in examples:
        made.append(example)
        parts = segments(example, labels)
        for index in range(config.copies):
            # a generator of the copy's own, so that copies do not depend on the other examples
            digest = hashlib.sha256(f"ner_augmentation:{context.seed}:{example.id}:{index}".encode()).digest()
            changed = change(parts, pools, synonyms, config.share, random.Random(digest))
            made.append(assemble(example, f"{example.id}-ner{index}", changed, labels))
    return made


def segments(example: Example, labels: Sequence[str]) -> list[Segment]:
    """The sentence cut into mentions and single words outside them, in order."""
    parts: list[Segment] = []
    inside = ""
    for word, tag in zip(example.words, example.tags, strict=True):
        prefix, _, kind = labels[tag].partition("-")
        if prefix == "I" and kind == inside:
            parts[-1] = (kind, (*parts[-1][1], word))
        else:
            inside = "" if prefix == "O" else kind
            parts.append((inside, (word,)))
    return parts


def mentions(examples: Sequence[Example], labels: Sequence[str]) -> dict[str, list[Mention]]:
    """The distinct mentions of each entity type, sorted."""
    found: dict[str, set[Mention]] = {}
    for example in examples:
        for kind, words in segments(example, labels):
            if kind:
                found.setdefault(kind, set()).add(words)
    return {kind: sorted(held) for kind, held in found.items()}


def change(
    parts: Sequence[Segment],
    pools: Mapping[str, Sequence[Mention]],
    synonyms: Callable[[str], Sequence[str]],
    share: float,
    rng: random.Random,
) -> list[Segment]:
    """Each part replaced with probability `share`, where there is another mention of its type or a synonym."""
    out = []
    for kind, words in parts:
        others: Sequence[Mention] = ()
        if rng.random() < share:
            others = [m for m in pools.get(kind, ()) if m != words] if kind else [(s,) for s in synonyms(words[0])]
        out.append((kind, rng.choice(others) if others else words))
    return out


def assemble(example: Example, name: str, parts: Sequence[Segment], labels: Sequence[str]) -> Example:
    """The sentence of `parts`: every mention tagged B- on its first word and I- on the rest."""
    words = tuple(word for _, held in parts for word in held)
    tags = [f"{'I' if i else 'B'}-{kind}" if kind else "O" for kind, held in parts for i in range(len(held))]
    indices = tuple(labels.index(tag) for tag in tags)
    return replace(example, id=name, text=" ".join(words), words=words, tags=indices, rationale=())
