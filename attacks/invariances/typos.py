"""One typing error: two neighbouring letters inside one word of four letters or more change places."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Sequence

from attacks.invariances.tokens import Entities, Token

SHORTEST = 4


def change(tokens: Sequence[Token], rng: random.Random, entities: Entities) -> list[Token] | None:
    """The first letter stays, as in most typing errors; places where both letters are equal are no choice."""
    places = [
        (i, j)
        for i, token in enumerate(tokens)
        if token.free and token.text.isalpha() and len(token.text) >= SHORTEST
        for j in range(1, len(token.text) - 1)
        if token.text[j] != token.text[j + 1]
    ]
    if not places:
        return None
    i, j = rng.choice(places)
    word = tokens[i].text
    changed = list(tokens)
    changed[i] = dataclasses.replace(tokens[i], text=word[:j] + word[j + 1] + word[j] + word[j + 2 :])
    return changed
