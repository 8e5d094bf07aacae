"""What the rationale mitigations share: where rationales come from, and which pieces lie outside them.

A task's own rationales are used as they are. Where a text has none, a pseudo-rationale stands in. For tagging it is the
entities: every word whose tag is not O. For classification it is every word of the VADER sentiment lexicon (Hutto and
Gilbert, "VADER", ICWSM 2014; resource `vader-lexicon`) whose mean rating, -4 to 4, is further than NEUTRAL from 0,
whatever its sign: so it needs no knowledge of what a task's labels mean, and "not bad" keeps its "bad". It suits
sentiment only, and negations are not in the lexicon. A text without such a word has no rationale and enters no
rationale term.
"""

from __future__ import annotations

import functools
import string
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from training.errors import UserError
from training.hooks import IGNORE, Batch, Context
from training.task import Example

LEXICON = "vader-lexicon"
NEUTRAL = 0.5  # where task movie_reviews draws the line between a sentence with a sentiment and one without


def check_weight(weight: float) -> None:
    """Raises ValueError for the weight of a rationale term that does not lie in 0 <= weight < 1e9."""
    if not 0 <= weight < 1e9:
        raise ValueError(f"weight is {weight}; it must lie in 0 <= weight < 1e9")


def with_rationales(examples: Sequence[Example], context: Context) -> list[Example]:
    """The examples with a pseudo-rationale where they have none. Raises UserError when not one has any in the end."""
    if all(example.rationale for example in examples):
        return list(examples)
    if context.task.kind == "classification":
        strong = strong_words(context.resource(LEXICON))
        marks = [[_is_strong(word, strong) for word in example.text.split()] for example in examples]
    else:
        entity = [label != "O" for label in context.task.labels]
        marks = [[entity[tag] for tag in example.tags] for example in examples]
    made = [
        replace(example, rationale=tuple(map(int, found))) if any(found) and not example.rationale else example
        for example, found in zip(examples, marks, strict=True)
    ]
    if not any(any(example.rationale) for example in made):
        raise UserError(
            f"task '{context.task.name}' has no rationales, and no training text has a word to make one from (an "
            "entity, or a word of the sentiment lexicon). Leave the rationale mitigation out, or give rationales."
        )
    return made


def _is_strong(word: str, strong: frozenset[str]) -> bool:
    # as written first: emoticons are made of punctuation
    return word.lower() in strong or word.lower().strip(string.punctuation) in strong


@functools.lru_cache(maxsize=2)
def strong_words(folder: Path) -> frozenset[str]:
    """Lower-case entries of the lexicon whose mean rating is further than NEUTRAL from 0."""
    rows = (line.split("\t") for line in (folder / "vader_lexicon.txt").read_text(encoding="utf-8").splitlines())
    return frozenset(row[0].lower() for row in rows if len(row) > 1 and abs(float(row[1])) > NEUTRAL)


def has_rationale(batch: Batch) -> torch.Tensor:
    """True for texts with a label and a rationale, (n,)."""
    if batch.rationale is None:
        return torch.zeros(len(batch.input_ids), dtype=torch.bool, device=batch.input_ids.device)
    known = (batch.labels != IGNORE).reshape(len(batch.labels), -1).any(dim=1)
    return (batch.rationale == 1).any(dim=1) & known


def outside(batch: Batch) -> torch.Tensor:
    """1 on pieces of words outside the rationale, (n, length); all 0 in texts that have no rationale."""
    if batch.rationale is None:
        return torch.zeros_like(batch.word_mask)
    return batch.word_mask * (batch.rationale == 0) * has_rationale(batch)[:, None]


def per_text(scores: torch.Tensor, batch: Batch) -> torch.Tensor:
    """(n,) for classification as it is; for tagging (n, length) averaged over each text's labelled rationale pieces."""
    if scores.ndim == 1 or batch.rationale is None:
        return scores
    # a span head has several scores a piece, those of the spans that begin there
    marked = batch.rationale.repeat_interleave(scores.shape[1] // batch.rationale.shape[1], dim=1)
    inside = (marked == 1) & (batch.labels != IGNORE)
    return (scores * inside).sum(dim=1) / inside.sum(dim=1).clamp_min(1)


def gradient(scores: torch.Tensor, embeddings: torch.Tensor) -> torch.Tensor:
    """d scores / d embeddings, itself differentiable. Each text's score must depend on its own embeddings only."""
    (found,) = torch.autograd.grad(scores.sum(), embeddings, create_graph=True, allow_unused=True)
    if found is None:
        raise UserError(
            "a rationale mitigation asks for the gradient at the words, and the mitigation named after it trains on "
            "other words. Name the rationale mitigation last."
        )
    return found


def mean_over(values: torch.Tensor, pieces: torch.Tensor) -> torch.Tensor:
    """The mean of `values` over the marked pieces; 0 where none is marked."""
    return (values * pieces).sum() / pieces.sum().clamp_min(1)
