"""Every whole number becomes another one near it, with as many digits.

At most a fifth away, years (1900 to 2099) at most nine years. Left alone: 0 and 1, and nothing becomes 1, since the
words around would have to change their number too; verdicts, which carry the label (3 stars, 4/10, 2 out of 5, 90 %);
numbers with a comma or point inside, parts of hyphenated words, and what a capital follows (60 Minutes).
"""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Sequence

from attacks.invariances.tokens import Entities, Token

VERDICTS = frozenset(["/", "%", "out", "star", "stars", "point", "points", "percent", "thumbs", "-"])
LONGEST = 9  # digits


def change(tokens: Sequence[Token], rng: random.Random, entities: Entities) -> list[Token] | None:
    changed = list(tokens)
    for place, token in enumerate(tokens):
        choices = _near(token.text) if token.free and not _kept(tokens, place) else []
        if choices:
            changed[place] = dataclasses.replace(token, text=str(rng.choice(choices)))
    return changed if changed != list(tokens) else None


def _near(text: str) -> list[int]:
    if not (text.isascii() and text.isdigit() and len(text) <= LONGEST) or text[0] == "0":
        return []
    value = int(text)
    reach = 9 if 1900 <= value <= 2099 else max(1, value // 5)
    if value < 2:
        return []
    low, high = max(2, value - reach, 10 ** (len(text) - 1)), min(value + reach, 10 ** len(text) - 1)
    # a long number has millions of neighbours; a hundred evenly spaced ones are choice enough
    step = max(1, (high - low) // 100)
    return [other for other in range(low, high + 1, step) if other != value]


def _kept(tokens: Sequence[Token], place: int) -> bool:
    """Whether a number is a verdict, part of a word or of a name."""
    words = [token.text for token in tokens]
    before, after = words[max(0, place - 2) : place], "".join(words[place + 1 : place + 2])
    return (
        before[-1:] in (["/"], ["-"])
        or [word.lower() for word in before] == ["out", "of"]
        or after.lower() in VERDICTS
        or after[:1].isupper()
    )
