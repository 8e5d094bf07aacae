"""Contractions written out (don't -> do not); a text without any gets its long forms contracted (do not -> don't).

Both spellings of tagged data are known: one word (don't), which becomes two, and two (do n't), which stay two. Left
alone because they can be read in two ways: 's after anything but the words of IS, 's before a participle (it's been),
'd, and long forms at the end of a clause, which are not contracted (that is what it is).
"""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable, Sequence

from attacks.invariances.tokens import Entities, Token

AUXILIARIES = (
    "do", "does", "did", "is", "are", "was", "were", "has", "have", "had", "could", "would", "should", "must", "need",
)  # fmt: skip
IRREGULAR = {"can't": ("can", "not"), "won't": ("will", "not"), "shan't": ("shall", "not"), "let's": ("let", "us")}
HALVES = {"ca": "can", "wo": "will", "sha": "shall"}
IS = ("it", "he", "she", "that", "there", "what", "who", "here", "where", "how")
ENDINGS = {"'m": ("am", ("i",)), "'re": ("are", ("you", "we", "they")),
           "'ve": ("have", ("i", "you", "we", "they")), "'ll": ("will", ("i", "you", "he", "she", "it", "we", "they")),
           "'s": ("is", IS)}  # fmt: skip
LONG = (
    {pair: short for short, pair in IRREGULAR.items() if short != "let's"}
    | {(verb, "not"): f"{verb}n't" for verb in AUXILIARIES}
    | {(who, verb): who + end for end, (verb, subjects) in ENDINGS.items() if verb != "have" for who in subjects}
)
SHORT = IRREGULAR | {f"{verb}n't": (verb, "not") for verb in AUXILIARIES}
PARTICIPLES = ("been", "got", "had", "gone", "done", "become", "made", "come", "taken", "seen", "given")


Rule = Callable[[Sequence[Token], int], tuple[int, list[Token]]]
"""(tokens, place) -> how many tokens from there are replaced, 0 for none, and by what."""


def change(tokens: Sequence[Token], rng: random.Random, entities: Entities) -> list[Token] | None:
    return _rewritten(tokens, _expanded) or _rewritten(tokens, _contracted)


def _rewritten(tokens: Sequence[Token], rule: Rule) -> list[Token] | None:
    changed: list[Token] = []
    place, total = 0, 0
    while place < len(tokens):
        used, new = rule(tokens, place)
        changed += new if used else [tokens[place]]
        place, total = place + max(used, 1), total + used
    return changed if total else None


def _expanded(tokens: Sequence[Token], place: int) -> tuple[int, list[Token]]:
    whole = _plain(tokens, place)
    if whole in SHORT:
        return 1, _pair(tokens[place], *SHORT[whole])
    stem, mark, ending = whole.rpartition("'")
    if stem and _verb(stem, mark + ending, _plain(tokens, place + 1)):
        return 1, _pair(tokens[place], stem, ENDINGS[mark + ending][0])
    half = _plain(tokens, place + 1)
    if half == "n't" and (whole in AUXILIARIES or whole in HALVES):
        return 2, _pair(tokens[place], HALVES.get(whole, whole), "not")
    if _verb(whole, half, _plain(tokens, place + 2)):
        return 2, _pair(tokens[place], whole, ENDINGS[half][0])
    return 0, []


def _contracted(tokens: Sequence[Token], place: int) -> tuple[int, list[Token]]:
    first, second, third = (_plain(tokens, place + step) for step in range(3))
    if first == "cannot":
        return 1, [dataclasses.replace(tokens[place], text=_cased("can't", tokens[place].text))]
    short = LONG.get((first, second))
    if short and (second == "not" or third[:1].isalpha()):
        return 2, [dataclasses.replace(tokens[place], text=_cased(short, tokens[place].text))]
    return 0, []


def _verb(subject: str, ending: str, following: str) -> bool:
    """Whether `subject` + `ending` has one long form only."""
    known = ENDINGS.get(ending)
    open_ending = ending == "'s" and (following in PARTICIPLES or following.endswith("ed"))
    return known is not None and subject in known[1] and not open_ending


def _plain(tokens: Sequence[Token], place: int) -> str:
    """The token in lower case with a straight apostrophe; nothing for one of an entity or beyond the end."""
    if place >= len(tokens) or not tokens[place].free:
        return ""
    return tokens[place].text.lower().replace("’", "'")


def _pair(old: Token, first: str, second: str) -> list[Token]:
    return [dataclasses.replace(old, text=_cased(first, old.text)), Token(_cased(second, old.text, later=True))]


def _cased(word: str, model: str, *, later: bool = False) -> str:
    """`word` in capitals where `model` is, else with the capital of `model`, which a `later` word does not get."""
    if model.isupper() and len(model) > 1:
        return word.upper()
    return word[:1].upper() + word[1:] if model[:1].isupper() and not later else word
