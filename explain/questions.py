"""What an attribution is about: a margin of logits, at one or several places of one text.

A classifier has one row of logits a text; taggers and causal language models have one at every token. Both are asked
the same thing: by how much the explained class beats its strongest rival,

    f = mean over places of logit[place, target] - logit[place, other]

with target and rival frozen from the unperturbed text. A class of a text is one place, a named entity is the first
pieces of its words, the next token of a causal language model is the place before it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from explain.inputs import Encoded, Explainable

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Question:
    """A text and the margin asked of it.

    places: token positions read, () for a model with one row of logits a text. targets, others: one class
    each per place (one pair without places). Raises ValueError on unequal lengths, equal or negative classes.
    """

    encoded: Encoded
    targets: tuple[int, ...]
    others: tuple[int, ...]
    places: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if not len(self.targets) == len(self.others) == max(1, len(self.places)):
            raise ValueError(
                f"{len(self.places)} places, {len(self.targets)} targets, {len(self.others)} others: give one target "
                "and one other per place, or one of each for a class of the whole text"
            )
        if any(target == other or min(target, other) < 0 for target, other in zip(self.targets, self.others)):  # noqa: B905
            raise ValueError(f"targets {self.targets}, others {self.others}: give two different classes, 0 or above")
        if any(not 0 <= place < len(self.encoded.ids) for place in self.places):
            raise ValueError(f"places {self.places}: the text has tokens 0 to {len(self.encoded.ids) - 1}")

    def margins(self, rows: Floats) -> Floats:
        """f of each of the m rows, (m,); rows: (m, places, classes) logits, one place where the text has none."""
        at = np.arange(len(self.targets))
        return (rows[:, at, list(self.targets)] - rows[:, at, list(self.others)]).mean(axis=1)

    def probability(self, rows: Floats) -> Floats:
        """(m,) in [0, 1]: the mean over places of the target's probability (softmax over all classes)."""
        at = np.arange(len(self.targets))
        powers = np.exp(rows - rows.max(axis=-1, keepdims=True))
        return (powers[:, at, list(self.targets)] / powers.sum(axis=-1)).mean(axis=1)

    def keeps_class(self, full: Floats, masked: Floats) -> bool:
        """Whether the largest logit of every place is the same in both; each (places, classes)."""
        return bool((full.argmax(-1) == masked.argmax(-1)).all())


def indices(questions: list[Question]) -> tuple[Tensor, Tensor]:
    """(targets, others) as `margins` wants them: (b,) each, or (b, k, 2) and (b, k), short rows filled with -1.

    targets[..., 0] is the place and targets[..., 1] the class. Raises ValueError when places are mixed with none.
    """
    if len({bool(question.places) for question in questions}) > 1:
        raise ValueError("questions with places and without in one batch: a model has one kind of logits")
    if not questions[0].places:
        return torch.tensor([q.targets[0] for q in questions]), torch.tensor([q.others[0] for q in questions])
    most = max(len(question.places) for question in questions)
    targets = torch.full((len(questions), most, 2), -1)
    others = torch.full((len(questions), most), -1)
    for row, question in enumerate(questions):
        count = len(question.places)
        targets[row, :count] = torch.tensor([question.places, question.targets]).T
        others[row, :count] = torch.tensor(question.others)
    return targets, others


def ask(model: Explainable, embeds: Tensor, attention_mask: Tensor, targets: Tensor, others: Tensor) -> Tensor:
    """f of each row, (m,), differentiable; indices as from `indices`. Only the places that are read are computed in the
    model's last layer, where that is exact."""
    if targets.ndim == 1:
        return margins(model.logits(embeds, attention_mask), targets, others)
    return at_places(model.logits(embeds, attention_mask, targets[..., 0].clamp(min=0)), targets, others)


def at_places(logits: Tensor, targets: Tensor, others: Tensor) -> Tensor:
    """f of each row, (m,), of logits (m, k, classes) at the places of `targets` (m, k, 2) alone."""
    place = torch.arange(targets.shape[1], device=targets.device).expand(targets.shape[:2])
    place = torch.where(targets[..., 0] >= 0, place, -1)
    return margins(logits, torch.stack([place, targets[..., 1]], dim=-1), others)


def margins(logits: Tensor, targets: Tensor, others: Tensor) -> Tensor:
    """f of each row, (m,), differentiable; logits (m, classes) or (m, t, classes), indices as from `indices`."""
    if (logits.ndim == 3) != (targets.ndim == 3):
        raise ValueError(
            f"logits of shape {tuple(logits.shape)}: a class of the whole text is asked of (n, classes), places of "
            "(n, tokens, classes)"
        )
    if targets.ndim == 1:
        return (logits.gather(1, targets[:, None]) - logits.gather(1, others[:, None])).squeeze(1)
    present = targets[..., 0] >= 0
    place, target, other = (index.clamp(min=0) for index in (targets[..., 0], targets[..., 1], others))
    rows = logits.gather(1, place[..., None].expand(-1, -1, logits.shape[-1]))
    each = (rows.gather(2, target[..., None]) - rows.gather(2, other[..., None])).squeeze(2)
    return torch.where(present, each, 0).sum(1) / present.sum(1)
