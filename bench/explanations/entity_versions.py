"""A sentence that was changed, seen from the entities of the sentence as it was: are they there, how far did their
attributions move?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from explain import entities, stability
from explain.attribution import Attribution
from explain.entities import Entity, Explained
from explain.inputs import Encoded, Explainable, encode_words
from explain.questions import Question
from explain.stability import Drift
from training import ner_metrics

Asked = list[tuple[Entity, Question]]
Drifts = list[tuple[Drift, Attribution]]


@dataclass(frozen=True)
class Version:
    """A changed sentence, seen from the entities of the sentence as it was.

    questions: by entity, the same margin at the same words; None where one of them was changed or is not seen. kept: by
    entity, whether it is predicted as before. pairs: positions, in both as the model sees them, of the words that both
    share.
    """

    words: tuple[str, ...]
    questions: tuple[Question | None, ...]
    kept: tuple[bool, ...]
    pairs: list[tuple[int, int]]


def predicted(logits: np.ndarray, labels: tuple[str, ...]) -> list[Entity]:
    """The entities of (words, tags) logits, from left to right; positions are those of the words the model sees."""
    found = ner_metrics.spans([labels[tag] for tag in logits.argmax(axis=1)])
    return [Entity(first, stop - 1, kind) for kind, first, stop in sorted(found, key=lambda span: span[1])]


def versions(
    model: Explainable, asked: Asked, sentences: Sequence[tuple[str, ...]], labels: tuple[str, ...]
) -> list[Version]:
    """Changed sentences, in order, seen from the entities `asked` about the sentence as it was, one at least. In a
    sentence of which the model sees no word, no entity is there."""
    original = asked[0][1].encoded
    encoded: dict[int, Encoded] = {}
    for index, words in enumerate(sentences):
        try:
            encoded[index] = encode_words(model, words)
        except ValueError:
            continue
    logits = dict(zip(encoded, entities.tag_logits(model, list(encoded.values())), strict=True))
    found = []
    for index, words in enumerate(sentences):
        if index in encoded:
            found.append(_version(original, asked, words, encoded[index], predicted(logits[index], labels)))
        else:
            found.append(Version(words, (None,) * len(asked), (False,) * len(asked), []))
    return found


def _version(original: Encoded, asked: Asked, words: tuple[str, ...], encoded: Encoded, told: list[Entity]) -> Version:
    pairs = _pairs(original, words, encoded)
    there = dict(pairs)
    questions: list[Question | None] = []
    kept: list[bool] = []
    for entity, question in asked:
        own = [there.get(place) for place in range(entity.first, entity.last + 1)]
        first = own[0]
        if first is None or own != list(range(first, first + len(own))):
            questions.append(None)
            kept.append(False)
            continue
        places = entities.first_pieces(encoded)[first : first + len(own)]
        questions.append(Question(encoded, question.targets, question.others, tuple(places)))
        kept.append(Entity(first, first + len(own) - 1, entity.kind) in told)
    return Version(words, tuple(questions), tuple(kept), pairs)


def _pairs(original: Encoded, words: tuple[str, ...], encoded: Encoded) -> list[tuple[int, int]]:
    """Positions in both of the words that both share: by place in the sentence where it has as many words as before."""
    if len(words) != len(original.words) + original.dropped:
        return stability.unedited(original.words, encoded.words)
    rank = {place: k for k, place in enumerate(encoded.kept)}
    both = [(k, rank[place]) for k, place in enumerate(original.kept) if place in rank]
    return [(a, b) for a, b in both if original.words[a] == encoded.words[b]]


def drifts(
    found: Sequence[Explained], changed: Sequence[Version], answer: Callable[[list[Question]], list[Attribution]]
) -> list[Drifts]:
    """By changed sentence: each entity's agreement with itself there, and its attribution there; without the entities
    that are not there to be asked about. `found`: the entities of the sentence as it was."""
    there = [[(k, asked) for k, asked in enumerate(one.questions) if asked is not None] for one in changed]
    answers = iter(answer([asked for some in there for _, asked in some]))
    moved = []
    for version, some in zip(changed, there, strict=True):
        pairs = [(found[k].attribution, next(answers)) for k, _ in some]
        moved.append(
            [
                (stability.drift(one.words, one.scores, then.words, then.scores, version.pairs), then)
                for one, then in pairs
            ]
        )
    return moved
