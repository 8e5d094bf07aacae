"""A text as tokens with the white space before each, and a tag where the text is tagged: what an invariance changes."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

# words with their inner apostrophes and hyphens, clitics that stand alone ("do n't", "it 's"), numbers, single marks
_TOKEN = re.compile(r"['’](?:s|re|ve|ll|m|d)\b|\d+(?:[.,]\d+)*\w*|\w+(?:['’-]\w+)*|[^\w\s]", re.IGNORECASE)
OUTSIDE = "O"

Entities = Mapping[str, Sequence[tuple[str, ...]]]
"""Type -> the words of each entity of that type that others may be swapped for; empty where texts have no tags."""


@dataclass(frozen=True)
class Token:
    """`gap`: the white space before it; `tag`: its BIO tag, O in an untagged text."""

    text: str
    gap: str = " "
    tag: str = OUTSIDE

    @property
    def free(self) -> bool:
        """Outside every entity: only these change, except where entities change as a whole."""
        return self.tag == OUTSIDE


def split(text: str) -> list[Token]:
    """The tokens of an untagged text; `join` gives the text back, but for white space at its end."""
    tokens, end = [], 0
    for match in _TOKEN.finditer(text):
        tokens.append(Token(match.group(), text[end : match.start()]))
        end = match.end()
    return tokens


def join(tokens: Sequence[Token]) -> str:
    return "".join(token.gap + token.text for token in tokens)


def tagged(words: Sequence[str], tags: Sequence[str]) -> list[Token]:
    """The tokens of a tagged sentence. Raises ValueError when words and tags differ in number."""
    if len(words) != len(tags):
        raise ValueError(f"{len(words)} words but {len(tags)} tags; each word needs one tag")
    return [Token(word, " ", tag) for word, tag in zip(words, tags, strict=True)]
