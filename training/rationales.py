"""Human rationales, in the forms in which data have them: the words of a text that justify its label."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from training.errors import UserError

ADVICE = "give one 0 or 1 per word (words are split at white space), or a list of passages of the text"


def marks(where: str, text: str, value: Any) -> tuple[int, ...]:
    """One mark per white-space word of `text`, 1 where it justifies the label; () where there is no rationale.

    `value`: marks as a list or as a string ("0 1 1"); several annotators' lists of marks, of which a word needs more
    than half; or a list of passages, each marked wherever its words stand in the text. Nothing is guessed: where one
    passage does not stand in the text, there is no rationale. Raises UserError (file, line, what was found, what to do)
    for another form, or another number of marks than words.
    """
    if isinstance(value, str):
        value = [int(mark) if mark in ("0", "1") else mark for mark in value.split()]
    if value is None or value == []:
        return ()
    if not isinstance(value, Sequence):
        raise UserError(f"{where}: the rationale is {value!r:.60}; {ADVICE}")
    words = text.split()
    if all(isinstance(one, str) for one in value):
        return passages(words, value)
    several = all(isinstance(one, Sequence) and not isinstance(one, str) for one in value)
    every = [list(one) for one in (value if several else [value])]
    for one in every:
        if any(isinstance(mark, bool) or mark not in (0, 1) for mark in one):
            raise UserError(f"{where}: the rationale is {one!r:.60}; {ADVICE}")
        if len(one) != len(words):
            raise UserError(f"{where}: the rationale has {len(one)} marks for {len(words)} words; {ADVICE}")
    return majority(every)


def majority(every: Sequence[Sequence[int]]) -> tuple[int, ...]:
    """Marks that more than half of the annotators gave; () without an annotator."""
    return tuple(int(2 * sum(column) > len(every)) for column in zip(*every, strict=True))


def passages(words: Sequence[str], wanted: Sequence[str]) -> tuple[int, ...]:
    """Marks on every place where the words of a passage stand one after the other; () if one stands nowhere."""
    found = [0] * len(words)
    for passage in wanted:
        parts = passage.split()
        places = [i for i in range(len(words) - len(parts) + 1) if list(words[i : i + len(parts)]) == parts]
        if not parts or not places:
            return ()
        for place in places:
            found[place : place + len(parts)] = [1] * len(parts)
    return tuple(found)
