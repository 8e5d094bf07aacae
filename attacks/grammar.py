"""What an attack does to the grammar of a text, as far as parts of speech can say.

Morris, Lifland, Lanchantin, Ji and Qi 2020, "Reevaluating adversarial examples in natural language", arXiv 2004.14174,
count the errors that LanguageTool finds; that needs Java and a download (`attacks.original_models.LanguageTool`). What
is always at hand is the tagger of the lexicon, and this: a word that takes another's place without taking its Penn tag
is another part of speech, number, tense or comparison than its neighbours were written for. It is no count of errors:
"bored" for "dull" may read well, and a word with the right tag may be the wrong one.

Measured on 2,014 held-out film reviews with one word put into another inflection (loves -> love, film -> films): 96 %
of these words change their tag. With one word exchanged for any other of its tag: 6 %. Counting the trigrams of tags
that the training texts never have (after Atwell 1987, "How to detect grammatical errors in a text without parsing it",
EACL), a measure of the text and not of the word, marks 9 % and 1 %: too blind.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from typing import Protocol

_TOKEN = re.compile(r"\w+(?:['’-]\w+)*|[^\w\s]")
ARTICLES = ("a", "an")


class PennTagger(Protocol):
    """`attacks.pos.Tagger` or what answers like it."""

    def tag(self, words: Sequence[str]) -> list[str]: ...


def retagged(tagger: PennTagger, before: str, after: str) -> tuple[int, int]:
    """(words replaced, how many of them broke with their place) between two texts.

    A word broke when its Penn tag, in its text, is not that of the word it replaced, or when "a" or "an" before it no
    longer goes with its first letter (by letter, so "an hour" never counts as right). Where one word became several or
    several one, nothing takes a word's place: such words are not counted, nor are those inserted or deleted.
    """
    old, new = _TOKEN.findall(before), _TOKEN.findall(after)
    pairs = [(i, j) for i, j in _aligned(old, new) if old[i] != new[j]]
    if not pairs:
        return 0, 0
    tags = tagger.tag(old), tagger.tag(new)
    broken = [(i, j) for i, j in pairs if tags[0][i] != tags[1][j] or (_fits(old, i) and not _fits(new, j))]
    return len(pairs), len(broken)


def _aligned(old: list[str], new: list[str]) -> list[tuple[int, int]]:
    """The places that stand for each other: all of them in texts of one length, else those of equal or equally long
    stretches."""
    if len(old) == len(new):
        return [(i, i) for i in range(len(old))]
    blocks = difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes()
    return [
        pair
        for _, i, i_end, j, j_end in blocks
        if i_end - i == j_end - j
        for pair in zip(range(i, i_end), range(j, j_end), strict=True)
    ]


def _fits(words: list[str], place: int) -> bool:
    """Whether "a" or "an", if one of them stands before the word, goes with its first letter."""
    article = words[place - 1].lower() if place else ""
    return article not in ARTICLES or (article == "an") == (words[place][0].lower() in "aeiou")
