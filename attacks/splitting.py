"""TextAttack's word splitting, remembered while an attack runs.

To make a candidate, TextAttack splits every word of the text again to see whether it is one word, some 45 regular
expressions for one replaced word: a fifth of the CPU time of `textfooler` on MiniLM-L6. Splitting is a pure function
of the string, so its answer for a short string may be kept.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator

REMEMBERED = 65_536  # strings
LONGEST = 48  # characters; whole texts come once


@contextlib.contextmanager
def remembered() -> Iterator[None]:
    """Inside, `textattack.shared.attacked_text` splits each short string once; the answers are those of before."""
    from textattack.shared import attacked_text

    split = attacked_text.words_from_text

    @functools.lru_cache(REMEMBERED)
    def known(text: str) -> tuple[str, ...]:
        return tuple(split(text))

    def quick(text: str) -> list[str]:
        return list(known(text)) if len(text) <= LONGEST else split(text)

    attacked_text.words_from_text = quick
    try:
        yield
    finally:
        attacked_text.words_from_text = split
