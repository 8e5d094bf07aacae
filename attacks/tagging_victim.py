"""A fine-tuned tagger as the attacker sees it: sentences of words in, a tag and tag probabilities for each word out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np

from attacks import lanes
from attacks.entities import OUTSIDE
from attacks.memory import Memory
from attacks.victim import BadPredictionError, Counts

REMEMBERED = 50_000  # sentences, of some 30 words and 7 tags: about 100 MB when full
Words = tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Prediction:
    """What the victim says of one sentence.

    `tags`: its decision, one BIO tag a word, which alone decides whether a goal is reached. `probabilities`: (words,
    labels) float32, rows sum to 1, columns as `labels`: they guide the search. They may disagree with the tags, as a
    span head's tags are decoded for the whole sentence.
    """

    tags: tuple[str, ...]
    probabilities: np.ndarray
    labels: tuple[str, ...]


def token_prediction(logits: np.ndarray, labels: Sequence[str], temperature: float = 1.0) -> Prediction:
    """A token head's: (words, labels) logits, a row of NaN for a word the model does not see, which is O.

    `temperature` (> 0) divides the logits before the softmax; the tags do not depend on it.
    """
    seen = np.isfinite(logits).all(axis=1)
    rows = np.where(seen[:, None], logits, 0.0).astype(np.float64) / temperature
    powers = np.exp(rows - rows.max(axis=1, keepdims=True))
    certain = np.array([label == OUTSIDE for label in labels], dtype=np.float64)
    probabilities = np.where(seen[:, None], powers / powers.sum(axis=1, keepdims=True), certain)
    tags = tuple(labels[row.argmax()] if one else OUTSIDE for row, one in zip(logits, seen, strict=True))
    return Prediction(tags, probabilities.astype(np.float32), tuple(labels))


def span_prediction(
    tags: Sequence[str], ends: np.ndarray, logits: np.ndarray, types: Sequence[str], labels: Sequence[str]
) -> Prediction:
    """A span head's: `tags` as it decodes them, `ends` (spans, 2) first and last word, `logits` (spans, 1 + types).

    Its scores are of spans, so a word gets: for B-T the greatest probability of type T among spans that begin with it,
    for I-T among spans that hold it but begin earlier, for O the chance that the surest span over it is none. The row
    is then divided by its sum. A word without a span is O.
    """
    column = {label: i for i, label in enumerate(labels)}
    scores = np.zeros((len(tags), len(labels)))
    powers = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True, initial=-np.inf))
    sure = powers / powers.sum(axis=1, keepdims=True)
    highest = np.zeros(len(tags))
    for (first, last), row in zip(ends, sure, strict=True):
        highest[first : last + 1] = np.maximum(highest[first : last + 1], 1 - row[0])
        for kind, probability in zip(types, row[1:], strict=True):
            for name, some in ((f"B-{kind}", slice(first, first + 1)), (f"I-{kind}", slice(first + 1, last + 1))):
                if name in column:
                    scores[some, column[name]] = np.maximum(scores[some, column[name]], probability)
    scores[:, column[OUTSIDE]] = 1 - highest
    totals = scores.sum(axis=1, keepdims=True)
    return Prediction(tuple(tags), (scores / np.maximum(totals, 1e-12)).astype(np.float32), tuple(labels))


@dataclass
class TaggingVictim:
    """Any `predict(sentences) -> one Prediction each` in the shape of TextAttack's ModelWrapper.

    As in `attacks.victim.Victim`, predictions are remembered by sentence and lanes ask together, so what `predict` says
    of a sentence must not depend on the others of its call. A sentence without words never reaches the model.
    """

    predict: Callable[[Sequence[Words]], Sequence[Prediction]]
    labels: tuple[str, ...]
    counts: Counts = field(default_factory=Counts)
    _memory: Memory[Words, Prediction] = field(default_factory=lambda: Memory(REMEMBERED), repr=False)

    def __post_init__(self) -> None:
        if OUTSIDE not in self.labels:
            raise ValueError(f"the labels are {list(self.labels)}; they must hold {OUTSIDE}")

    @property
    def model(self) -> TaggingVictim:
        """TextAttack looks at the class of a wrapper's `model`, nothing else."""
        return self

    def __call__(self, sentences: Sequence[Words]) -> list[Prediction]:
        """One Prediction for each sentence. Raises BadPredictionError when the model's answer is not usable."""
        self.counts.requested += len(sentences)
        return list(lanes.ask(cast(Any, self._serve), cast(Any, sentences))) if sentences else []

    def _serve(self, sentences: Sequence[Words]) -> list[Prediction]:
        empty = Prediction((), np.zeros((0, len(self.labels)), dtype=np.float32), self.labels)
        found = iter(self._memory.answers([words for words in sentences if words], self._forward))
        return [next(found) if words else empty for words in sentences]

    def _forward(self, sentences: Sequence[Words]) -> Sequence[Prediction]:
        self.counts.forwarded += len(sentences)
        found = self.predict(list(sentences))
        if len(found) != len(sentences):
            raise BadPredictionError(f"the victim answered {len(found)} predictions for {len(sentences)} sentences")
        for words, said in zip(sentences, found, strict=True):
            self._check(words, said)
        return found

    def _check(self, words: Words, said: Any) -> None:
        shape, due = said.probabilities.shape, (len(words), len(self.labels))
        if len(said.tags) != len(words) or shape != due or said.labels != self.labels:
            raise BadPredictionError(
                f"the victim answered {len(said.tags)} tags and probabilities of shape {shape}; allowed: one tag for "
                f"each of the {len(words)} words, and {due}"
            )
        if not np.isfinite(said.probabilities).all():
            raise BadPredictionError(f"the victim's probabilities are not finite for {' '.join(words)[:80]!r}")
