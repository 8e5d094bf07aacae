"""The span head: every span of pieces up to a width is an entity of one type, or none.

It takes the place of the token classifier inside a Hugging Face model, so the rest (encoder, config, checkpoint, where
mitigations act) is the same for both heads. A span is scored from the states of its two ends and its width by a
perceptron with one hidden layer, as in Lee et al. 2017 (arXiv 1707.07045) without their attention over the span:
score(i, w) = C gelu(A h_i + B h_(i+w) + e_w + b) + c, for w = 0 .. width - 1, in logits of shape
(n, length * width, 1 + types), class 0 being none, the spans of a piece side by side.

Both ends are the first pieces of words, so a span is a run of words: i of the first, i + w of the last. All other spans
are IGNORE and enter neither loss nor prediction. The words' spans that are no entity are all kept as negatives: what is
left after IGNORE is a few hundred short rows a sentence, a small part of the encoder's cost. They are so many that a
span head learns more slowly than a token classifier, so entities weigh ENTITY_WEIGHT times as much in the loss. An
entity wider than the limit, or cut at `max_length`, has no span.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from training.alignment import IGNORE
from training.errors import UserError
from training.ner_metrics import spans
from training.task import Example, Task

WIDEST = 16
"""No span is wider, in pieces: longer entities are rare, and every span more costs memory at every piece."""
ENTITY_WEIGHT = 3.0
"""Of 1, 3 and 10 the best on CoNLL-2003's validation split (BERT-tiny, 3 epochs, one seed: F1 0.770, 0.780, 0.773)."""


class SpanHead(torch.nn.Linear):
    """States (n, length, hidden) -> logits (n, length * width, classes).

    It is the linear layer C that makes the logits, as the token classifier is, with parts of its own before it: peft,
    which copies a head's weight when it merges, and mitigations find what they know.
    """

    def __init__(self, hidden: int, width: int, classes: int) -> None:
        super().__init__(hidden, classes)
        self.start = torch.nn.Linear(hidden, hidden)
        self.end = torch.nn.Linear(hidden, hidden, bias=False)
        self.width = torch.nn.Embedding(width, hidden)
        torch.nn.init.normal_(self.width.weight, std=0.02)

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        width = self.width.num_embeddings
        # pieces beyond the end are zeros; spans that reach them are IGNORE
        ends = torch.nn.functional.pad(self.end(states), (0, 0, 0, width - 1)).unfold(1, width, 1).transpose(2, 3)
        both = self.start(states).unsqueeze(2) + ends + self.width.weight
        return super().forward(torch.nn.functional.gelu(both)).flatten(1, 2)


def check(task: Task) -> None:
    """Raises UserError for a task without entities."""
    if task.kind != "tagging":
        raise UserError(f"the span head is for tagging tasks, and '{task.name}' has one label a text; leave --head out")


def attach(module: Any, width: int, labels: Sequence[str]) -> Any:
    """Replaces the token classifier of `module` by a SpanHead. Raises UserError for a model without one."""
    head = getattr(module, "classifier", None)
    if not isinstance(head, torch.nn.Linear):
        raise UserError(
            f"the span head takes the place of a linear layer called 'classifier', and {type(module).__name__} has "
            "none. Use --head token, or another encoder."
        )
    module.classifier = SpanHead(head.in_features, width, 1 + len(types_of(labels))).to(head.weight.device)
    module.config.span_width = width  # in the checkpoint's config.json; training/model.py reads it there
    return module


def class_weights(logits: torch.Tensor) -> torch.Tensor:
    """What a span of each class weighs in the loss, (classes,), for logits (..., classes)."""
    weights = torch.full(logits.shape[-1:], ENTITY_WEIGHT, device=logits.device)
    weights[0] = 1.0
    return weights


def types_of(labels: Sequence[str]) -> list[str]:
    """Entity types in the order of the tag names; class k of the head is types_of(labels)[k - 1]."""
    return list(dict.fromkeys(label[2:] for label in labels if label != "O"))


def entities(example: Example, labels: Sequence[str]) -> list[tuple[str, int, int]]:
    """(type, first word, last word) of every entity, in order."""
    found = spans([labels[tag] for tag in example.tags])
    return [(kind, start, stop - 1) for kind, start, stop in sorted(found, key=lambda one: one[1])]


def first_pieces(word_ids: Sequence[int | None]) -> dict[int, int]:
    """Word -> its first piece, for the words that have one."""
    found: dict[int, int] = {}
    for piece, word in enumerate(word_ids):
        if word is not None:
            found.setdefault(word, piece)
    return found


def widest(examples: Sequence[Example], labels: Sequence[str], tokenizer: Any) -> int:
    """Pieces from the first of an entity's first word to the first of its last, at most; within 1..WIDEST."""
    longest = 1
    for example in examples:
        several = [(first, last) for _, first, last in entities(example, labels) if last > first]
        if several:
            pieces = first_pieces(tokenizer(list(example.words), is_split_into_words=True).word_ids())
            held = [pieces[last] - pieces[first] + 1 for first, last in several if first in pieces and last in pieces]
            longest = max([longest, *held])
    return min(longest, WIDEST)


def span_labels(example: Example, word_ids: Sequence[int | None], labels: Sequence[str], width: int) -> list[int]:
    """The class of every span, (length * width,): 0 none, 1.. a type, IGNORE where an end is no word's first piece."""
    pieces, classes = first_pieces(word_ids), {kind: 1 + i for i, kind in enumerate(types_of(labels))}
    firsts = list(pieces.values())
    table = np.full((len(word_ids), width), IGNORE)
    starts, ends = _ends(firsts, width)
    table[starts, ends - starts] = 0
    for kind, first, last in entities(example, labels):
        if first in pieces and last in pieces and pieces[last] - pieces[first] < width:
            table[pieces[first], pieces[last] - pieces[first]] = classes[kind]
    return table.ravel().tolist()


def decode(logits: np.ndarray, word_ids: Sequence[int | None], words: int, labels: Sequence[str]) -> list[str]:
    """BIO tags of one sentence from its logits (length, width, classes): the surest spans first, none overlapping.

    A span is an entity when a type's logit is above that of none; surer is a greater probability of the type.
    """
    pieces, types = first_pieces(word_ids), types_of(labels)
    word_at = {piece: word for word, piece in pieces.items()}
    starts, ends = _ends(list(pieces.values()), logits.shape[1])
    rows = logits[starts, ends - starts].astype(np.float64)
    rows -= rows.max(axis=1, keepdims=True, initial=-math.inf)
    best = rows.argmax(axis=1)
    probability = 1 / np.exp(rows).sum(axis=1)  # of the best class, whose row entry is now 0
    tags = ["O"] * words
    for chosen in np.argsort(-probability, kind="stable"):
        first, last = word_at[int(starts[chosen])], word_at[int(ends[chosen])]
        if best[chosen] and all(tag == "O" for tag in tags[first : last + 1]):
            kind = types[best[chosen] - 1]
            tags[first : last + 1] = [f"B-{kind}", *[f"I-{kind}"] * (last - first)]
    return tags


def _ends(firsts: Sequence[int], width: int) -> tuple[np.ndarray, np.ndarray]:
    """First and last piece of every run of words within `width` pieces."""
    pairs = [(i, j) for at, i in enumerate(firsts) for j in firsts[at:] if j - i < width]
    table = np.array(pairs, dtype=int).reshape(-1, 2)
    return table[:, 0], table[:, 1]
