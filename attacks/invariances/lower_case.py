"""Everything in lower case, entities left as they are. A victim that does not read case gives the same answers."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Sequence

from attacks.invariances.tokens import Entities, Token


def change(tokens: Sequence[Token], rng: random.Random, entities: Entities) -> list[Token] | None:
    changed = [dataclasses.replace(token, text=token.text.lower()) if token.free else token for token in tokens]
    return changed if changed != list(tokens) else None
