"""Names swapped for others. Untagged texts: first names of persons. Tagged ones: every entity, by one of its type.

A name that occurs twice in a text gets the same other name both times. In untagged texts only the first names below are
known, written with a capital; those that are words as well (Grace, Mark, Will) are none of them. The other entities
come from the caller, since what a type holds is a matter of the task; they may have more words or fewer.
"""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Sequence

from attacks.entities import bio, spans
from attacks.invariances.tokens import Entities, Token

FEMALE = (
    "Alice", "Amanda", "Amy", "Andrea", "Angela", "Anna", "Anne", "Barbara", "Caroline", "Catherine", "Christina",
    "Clara", "Deborah", "Diane", "Emily", "Emma", "Helen", "Jane", "Jennifer", "Jessica", "Julia", "Karen", "Kate",
    "Laura", "Linda", "Lisa", "Maria", "Mary", "Michelle", "Nancy", "Nicole", "Patricia", "Rachel", "Rebecca", "Sandra",
    "Sarah", "Sharon", "Susan", "Teresa", "Victoria",
)  # fmt: skip
MALE = (
    "Adam", "Alan", "Andrew", "Anthony", "Ben", "Brian", "Charles", "Christopher", "Daniel", "David", "Edward", "Eric",
    "George", "Henry", "James", "Jason", "John", "Joseph", "Kevin", "Martin", "Matthew", "Michael", "Nicholas", "Paul",
    "Peter", "Philip", "Richard", "Robert", "Ronald", "Ryan", "Samuel", "Scott", "Simon", "Stephen", "Steven", "Thomas",
    "Timothy", "Tom", "Walter", "William",
)  # fmt: skip


def change(tokens: Sequence[Token], rng: random.Random, entities: Entities) -> list[Token] | None:
    are_tagged = entities or not all(token.free for token in tokens)
    return _entities(tokens, rng, entities) if are_tagged else _persons(tokens, rng)


def _persons(tokens: Sequence[Token], rng: random.Random) -> list[Token] | None:
    others: dict[str, str] = {}
    changed = list(tokens)
    for place, token in enumerate(tokens):
        # "Diane's" is one token
        cut = next((i for i, letter in enumerate(token.text) if letter in "'’"), len(token.text))
        name = token.text[:cut]
        same = next((names for names in (FEMALE, MALE) if name in names), None)
        if same:
            if name not in others:
                others[name] = rng.choice([other for other in same if other != name])
            changed[place] = dataclasses.replace(token, text=others[name] + token.text[cut:])
    return changed if others else None


def _entities(tokens: Sequence[Token], rng: random.Random, entities: Entities) -> list[Token] | None:
    others: dict[tuple[str, tuple[str, ...]], tuple[str, ...]] = {}
    changed: list[Token] = []
    place = 0
    for kind, start, end in spans([token.tag for token in tokens]):
        words = tuple(token.text for token in tokens[start:end])
        if (kind, words) not in others:
            choices = [other for other in entities.get(kind, ()) if other != words]
            others[kind, words] = rng.choice(choices) if choices else words
        new = others[kind, words]
        gaps = [tokens[start].gap, *[" "] * len(new)]
        changed += tokens[place:start]
        changed += [Token(*parts) for parts in zip(new, gaps, bio(kind, len(new)), strict=False)]
        place = end
    changed += tokens[place:]
    return changed if any(other != key[1] for key, other in others.items()) else None
