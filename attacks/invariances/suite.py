"""Natural shift: changes of a text that must not change what it is classified as, or which entities it has.

After the invariance tests of Ribeiro, Wu, Guestrin and Singh 2020, "Beyond accuracy: behavioral testing of NLP models
with CheckList", arXiv 2005.04118. Nobody searches here: every text is changed once by each invariance, by rules and a
draw that depends on its id alone, so every victim sees the same texts, and there is no budget. A victim's failure rate
is, of the texts that it got right and that an invariance applies to, the share whose answer changes.

Deviations: the rules are ours and small (the files beside this one), where the paper has templates, a parser and
named-entity models; tagged sentences are changed too, outside their entities, with the tags re-aligned to the words.
"""

from __future__ import annotations

import hashlib
import importlib
import random
from collections.abc import Mapping, Sequence
from typing import Any

from attacks.invariances.tokens import Entities, Token, join, split, tagged

VERSION = 1
NAMES = ("typos", "contractions", "names", "numbers", "punctuation", "lower_case", "upper_first")
NONE: Mapping[str, Sequence[tuple[str, ...]]] = {}


def change_text(name: str, text: str, text_id: str) -> str | None:
    """The text under one of NAMES; None where it does not apply. Raises ValueError for an unknown name."""
    changed = _changed(name, split(text), text_id, NONE)
    return None if changed is None or join(changed) == text else join(changed)


def change_sentence(
    name: str, words: Sequence[str], tags: Sequence[str], text_id: str, entities: Entities
) -> tuple[list[str], list[str]] | None:
    """The words and BIO tags under one of NAMES, tags re-aligned; None where it does not apply.

    `entities`: type -> the words of entities that `names` may swap in, in a fixed order. Raises ValueError for an
    unknown name, and where words and tags differ in number.
    """
    changed = _changed(name, tagged(words, tags), text_id, entities)
    if changed is None or not changed:
        return None
    return [token.text for token in changed], [token.tag for token in changed]


def _changed(name: str, tokens: list[Token], text_id: str, entities: Entities) -> list[Token] | None:
    if name not in NAMES:
        raise ValueError(f"no invariance is called {name!r}; known: {', '.join(NAMES)}")
    module: Any = importlib.import_module(f"attacks.invariances.{name}")
    digest = hashlib.sha256(f"invariance:{name}:{text_id}".encode()).digest()
    found: list[Token] | None = module.change(tokens, random.Random(int.from_bytes(digest[:8], "big")), entities)
    return found
