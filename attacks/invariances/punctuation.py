"""The full stop at the end taken away, or added where the text ends with a word.

Other endings are left alone: an exclamation or a question mark, an ellipsis and a closing quote say something.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from attacks.invariances.tokens import Entities, Token

STOP = "."


def change(tokens: Sequence[Token], rng: random.Random, entities: Entities) -> list[Token] | None:
    if not tokens or not tokens[-1].text[-1:]:
        return None
    last = tokens[-1]
    if last.text == STOP and last.free and len(tokens) > 1 and tokens[-2].text[-1:].isalnum():
        return list(tokens[:-1])
    if last.text[-1].isalnum():
        spaced = any(token.gap and token.text in (STOP, ",") for token in tokens)
        return [*tokens, Token(STOP, " " if spaced else "")]
    return None
