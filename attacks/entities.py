"""Entities in BIO tags: where they are, how many are found, and where they stand once words were added or removed.

Strict, as in IOB2: B- begins an entity, I- of its type goes on, a stray I- is none. A span is (type, first word, word
after the last).
"""

from __future__ import annotations

from collections.abc import Sequence

Tags = Sequence[str]
Span = tuple[str, int, int]
OUTSIDE = "O"


def spans(tags: Tags) -> list[Span]:
    """The entities of one sentence, from left to right."""
    found: list[Span] = []
    kind, start = "", 0
    for position, tag in enumerate([*tags, OUTSIDE]):
        prefix, _, name = tag.partition("-")
        if kind and (prefix != "I" or name != kind):
            found.append((kind, start, position))
            kind = ""
        if prefix == "B":
            kind, start = name, position
    return found


def bio(kind: str, count: int) -> tuple[str, ...]:
    """The tags of an entity of `count` >= 1 words."""
    return (f"B-{kind}", *[f"I-{kind}"] * (count - 1))


def span_counts(gold: Tags, predicted: Tags) -> tuple[int, int, int]:
    """(true positives, false positives, false negatives) of one sentence, strict: first word, last word and type.

    Raises ValueError when the two differ in length.
    """
    if len(gold) != len(predicted):
        raise ValueError(f"{len(gold)} gold tags but {len(predicted)} predicted ones")
    right, given = set(spans(gold)), set(spans(predicted))
    hits = len(right & given)
    return hits, len(given) - hits, len(right) - hits


def f1(counts: tuple[int, int, int]) -> float:
    """2 tp / (2 tp + fp + fn) in [0, 1]; 1 where there was nothing to find and nothing was found."""
    hits, invented, missed = counts
    total = 2 * hits + invented + missed
    return 2 * hits / total if total else 1.0


def realign(words: Sequence[str], tags: Tags, pieces: Sequence[Sequence[str]]) -> list[str]:
    """The tags of the sentence in which `pieces[i]` (no word, one or several) stands in place of `words[i]`.

    One tag for each word of the pieces put together. The rules, exact for every edit of this form:
    - a word outside of entities makes words outside;
    - where the word itself is among its pieces, the others were put in before and after it: they belong to the entity
      exactly when they are inside it, that is when words of it survive on both sides;
    - where it is not among them, the pieces replace it and all belong to its entity;
    - the first word that is left of an entity begins it; an entity of which no word is left is no entity any more.
    A stray I- is no entity; what stands in its place keeps that tag. Raises ValueError when the lengths differ.
    """
    if not len(words) == len(tags) == len(pieces):
        raise ValueError(f"{len(words)} words, {len(tags)} tags and {len(pieces)} pieces; each word needs one of each")
    made = [[tag] * len(piece) for tag, piece in zip(tags, pieces, strict=True)]
    for kind, start, stop in spans(tags):
        alive = [i for i in range(start, stop) if pieces[i]]
        begun = False
        for i in alive:
            first, last = 0, len(pieces[i]) - 1
            if words[i] in pieces[i]:
                at = list(pieces[i]).index(words[i])
                first, last = (at if i == alive[0] else first), (at if i == alive[-1] else last)
            for j in range(len(pieces[i])):
                inside = first <= j <= last
                made[i][j] = (f"I-{kind}" if begun else f"B-{kind}") if inside else OUTSIDE
                begun = begun or inside
    return [tag for some in made for tag in some]
