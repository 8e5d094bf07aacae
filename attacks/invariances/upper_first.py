"""The first letter of the text as a capital, unless it begins with an entity or has one."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Sequence

from attacks.invariances.tokens import Entities, Token


def change(tokens: Sequence[Token], rng: random.Random, entities: Entities) -> list[Token] | None:
    if not tokens or not tokens[0].free or not tokens[0].text[:1].islower():
        return None
    first = dataclasses.replace(tokens[0], text=tokens[0].text[:1].upper() + tokens[0].text[1:])
    return [first, *tokens[1:]]
