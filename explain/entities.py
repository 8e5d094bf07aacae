"""Explains a tagger, entity by entity: which words made it tag these words so?

What is explained is the margin at a predicted entity: the predicted tag's logit less the best other's, at the first
piece of each of its words, averaged over them (explain.questions). The entity's own words and its context are kept
apart afterwards: `self_share` is the part of all attribution, by size, that stands on the entity itself. An entity
named by its own words alone has 1, one named by its context has little.

A causal language model's next token is asked the same way: Question(encoded, (token,), (rival,), places=(position,)).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from explain.attribution import Attribution
from explain.engine import answer, chunks, padded
from explain.inputs import Encoded, Explainable, frozen
from explain.pool import Pool
from explain.questions import Question


@dataclass(frozen=True)
class Entity:
    """A predicted entity. first, last: positions in the encoded words, both inclusive. kind: its type's name."""

    first: int
    last: int
    kind: str


@dataclass(frozen=True)
class Explained:
    """One entity's attribution; `attribution.target` and `.other` are the tags at its first word."""

    entity: Entity
    attribution: Attribution

    @property
    def self_share(self) -> float | None:
        """sum |score| over the entity's own words / sum |score| over all, in [0, 1]; None where all are zero."""
        sizes = np.abs(self.attribution.scores)
        whole = float(sizes.sum())
        return float(sizes[self.entity.first : self.entity.last + 1].sum()) / whole if whole > 0 else None


def tag_logits(model: Explainable, encoded: Sequence[Encoded], batch_tokens: int = 4096) -> list[NDArray[np.float64]]:
    """(words, tags) logits at each word's first piece, one array per sentence.

    Raises ValueError when the model gives no logits at tokens, or some that are not finite.
    """
    found: dict[int, NDArray[np.float64]] = {}
    with frozen(model.module), torch.no_grad():
        for chunk in chunks(encoded, batch_tokens):
            ids, _, mask = padded(model, [encoded[index] for index in chunk])
            logits = model.logits(model.embed(ids), mask)
            if logits.ndim != 3:
                raise ValueError(
                    f"logits of shape {tuple(logits.shape)}: entities need a tagger, with logits per token"
                )
            if not bool(torch.isfinite(logits).all()):
                raise ValueError("the model's logits are not finite: check that its training did not diverge")
            for row, index in enumerate(chunk):
                found[index] = logits[row, first_pieces(encoded[index])].cpu().double().numpy()
    return [found[index] for index in range(len(encoded))]


def first_pieces(encoded: Encoded) -> list[int]:
    """The token position of each word's first piece."""
    owner = encoded.word_of.tolist()
    return [owner.index(word) for word in range(len(encoded.words))]


def question(encoded: Encoded, logits: NDArray[np.float64], entity: Entity) -> Question:
    """The margin at an entity; logits (words, tags) as from `tag_logits`. Raises ValueError on a span out of range."""
    if not 0 <= entity.first <= entity.last < len(encoded.words):
        raise ValueError(
            f"entity of words {entity.first} to {entity.last}: the model sees words 0 to {len(encoded.words) - 1}"
        )
    own = logits[entity.first : entity.last + 1]
    best = np.argsort(-own, axis=1, kind="stable")
    places = first_pieces(encoded)[entity.first : entity.last + 1]
    return Question(encoded, tuple(best[:, 0].tolist()), tuple(best[:, 1].tolist()), tuple(places))


def explain_entities(
    model: Explainable,
    questions: Sequence[tuple[Entity, Question]],
    explainer: Any,
    *,
    config: Any = None,
    seed: int = 0,
    batch_tokens: int = 4096,
    pool: Pool | None = None,
) -> list[Explained]:
    """One Explained per entity, in order; arguments as for explain.engine.explain.

    Entities of one sentence share its forward passes where the method can (perturbations, integrated gradients).
    """
    asked = [one for _, one in questions]
    found = answer(model, asked, explainer, config=config, seed=seed, batch_tokens=batch_tokens, pool=pool)
    return [Explained(entity, one) for (entity, _), one in zip(questions, found, strict=True)]
