"""Small edits of a text that a reader would not mind: typing errors and near synonyms, seeded, no search.

They are made once for a text, the same for every model, and know nothing of it: an attack looks for the edit that
hurts, these ask how a model behaves where nobody is looking.
"""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

import numpy as np

from attacks.lexicon import Lexicon
from attacks.vectors import Vectors

WANTED = 10
"""Edits of a text that are compared, half of each kind where both can be had."""
_CANDIDATES = 3 * WANTED
_SHARE = 0.1  # of the words are edited, rounded up
_SHORTEST = 4  # letters a word needs for a typing error: Pruthi et al. leave shorter ones alone too
_NEAREST, _LEAST_COSINE = 5, 0.75  # neighbours a synonym is drawn from
_KEYS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
_WORD = re.compile(r"(\W*)([A-Za-z'-]+)(\W*)")

Kind = Literal["typo", "synonym"]
Words = tuple[str, ...]


@dataclass(frozen=True)
class Edit:
    """One edited version of a text, and what was done to it."""

    kind: Kind
    text: str


@dataclass(frozen=True)
class WordsEdit:
    """One edited version of a sentence given as words: as many words as it has, each at its place."""

    kind: Kind
    text: str
    words: Words


AnyEdit = TypeVar("AnyEdit", bound=Edit | WordsEdit)


@dataclass(frozen=True)
class Neighbours:
    """Near synonyms out of word vectors: the nearest words with a cosine of 0.75 or more, none of the stop words."""

    vectors: Vectors
    stopwords: frozenset[str]

    @functools.cached_property
    def _rows(self) -> dict[str, int]:
        return self.vectors.index

    def of(self, word: str) -> list[str]:
        """Nearest first, at most 5, in the case of `word`; punctuation around it stays."""
        match = _WORD.fullmatch(word)
        row = None if match is None else self._rows.get(match.group(2).lower())
        if match is None or row is None or match.group(2).lower() in self.stopwords:
            return []
        matrix, near = self.vectors.matrix, self.vectors.neighbours[row][1 : _NEAREST + 1]
        return [
            _around(match, self.vectors.words[other]) for other in near if matrix[row] @ matrix[other] >= _LEAST_COSINE
        ]


@functools.lru_cache(maxsize=2)
def neighbours(lexicon: Lexicon) -> Neighbours | None:
    """The near synonyms of a lexicon, or None where it has no word vectors."""
    return Neighbours(lexicon.vectors, lexicon.stopwords) if "vectors" in lexicon.parts else None


def candidates(text: str, lexicon: Lexicon, seed: int = 0) -> list[Edit]:
    """Distinct edits of `text`, at most 30 of each kind, from (text, seed) alone; none where no word can be edited.

    A lexicon without word vectors gives typing errors only.
    """
    return [Edit(kind, " ".join(words)) for kind, words in _both(text, text.split(), frozenset(), lexicon, seed)]


def of_words(words: Sequence[str], fixed: Collection[int], lexicon: Lexicon, seed: int = 0) -> list[WordsEdit]:
    """The same of a sentence given as words, of which those at the positions `fixed` stay; each word stays one word."""
    found = _both(" ".join(words), words, frozenset(fixed), lexicon, seed)
    return [WordsEdit(kind, " ".join(edited), edited) for kind, edited in found]


def choose(found: Sequence[AnyEdit], keeps: Sequence[bool], wanted: int = WANTED) -> list[AnyEdit]:
    """The first edits that keep the class, half of each kind; where one kind runs out, the other fills up."""
    kept = [edit for edit, keep in zip(found, keeps, strict=True) if keep]
    typos = [edit for edit in kept if edit.kind == "typo"]
    fewer = max(0, wanted // 2 - len(typos))
    synonyms = [edit for edit in kept if edit.kind == "synonym"][: wanted - wanted // 2 + fewer]
    return [*typos[: wanted - len(synonyms)], *synonyms]


def _both(
    text: str, words: Sequence[str], fixed: frozenset[int], lexicon: Lexicon, seed: int
) -> list[tuple[Kind, Words]]:
    found = _several(text, words, fixed, "typo", seed, _typo)
    if near := neighbours(lexicon):
        found += _several(text, words, fixed, "synonym", seed, functools.partial(_synonym, near))
    return found


def _several(
    text: str,
    words: Sequence[str],
    fixed: frozenset[int],
    kind: Kind,
    seed: int,
    change: Callable[[np.random.Generator, str], str | None],
) -> list[tuple[Kind, Words]]:
    # one stream per text and kind, so that neither other texts nor a missing part of the lexicon changes an edit
    rng = np.random.default_rng([seed, *f"{kind}\0{text}".encode()])
    versions: dict[Words, None] = {}
    for _ in range(2 * _CANDIDATES):
        edited, left = list(words), math.ceil(_SHARE * len(words))
        for place in rng.permutation(len(words)).tolist():
            new = change(rng, words[place]) if left and place not in fixed else None
            if new is not None and new != words[place]:
                edited[place], left = new, left - 1
        if edited != list(words) and len(versions) < _CANDIDATES:
            versions[tuple(edited)] = None
    return [(kind, one) for one in versions]


def _typo(rng: np.random.Generator, word: str) -> str | None:
    """One inner letter swapped with the next, dropped, doubled or hit beside: Pruthi et al., "Combating Adversarial
    Misspellings with Robust Word Recognition", 2019, arXiv 1905.11268."""
    match = _WORD.fullmatch(word)
    if match is None or len(match.group(2)) < _SHORTEST:
        return None
    letters = list(match.group(2))
    place = int(rng.integers(1, len(letters) - 2))
    kind = ("swap", "drop", "double", "key")[rng.integers(4)]
    if kind == "swap":
        letters[place], letters[place + 1] = letters[place + 1], letters[place]
    elif kind == "drop":
        del letters[place]
    elif kind == "double":
        letters.insert(place, letters[place])
    else:
        row = next((keys for keys in _KEYS if letters[place].lower() in keys), "")
        at = row.find(letters[place].lower())
        beside = [row[i] for i in (at - 1, at + 1) if 0 <= i < len(row)] if row else [letters[place]]
        letters[place] = beside[rng.integers(len(beside))]
    return f"{match.group(1)}{''.join(letters)}{match.group(3)}"


def _synonym(near: Neighbours, rng: np.random.Generator, word: str) -> str | None:
    others = near.of(word)
    return others[rng.integers(len(others))] if others else None


def _around(match: re.Match[str], other: str) -> str:
    """The other word between the same punctuation and in the same case."""
    before, word, after = match.groups()
    other = other.upper() if word.isupper() and len(word) > 1 else other.capitalize() if word[0].isupper() else other
    return f"{before}{other}{after}"
