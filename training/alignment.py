"""Word tags to sub-word labels and back.

A word's tag stands on its first piece only; its other pieces, the special tokens and the padding are IGNORE
and enter neither loss nor score. So a word counts once, however the tokenizer cuts it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

# torch.nn.CrossEntropyLoss's own default for ignore_index
IGNORE = -100


@dataclass(frozen=True)
class Aligned:
    """One sentence as pieces. `input_ids`, `labels` and `word_ids` have the same length, special tokens
    included."""

    input_ids: tuple[int, ...]
    labels: tuple[int, ...]  # tag index on each word's first piece, else IGNORE
    word_ids: tuple[int | None, ...]  # the word a piece belongs to; None for special tokens
    words: int  # how many words the sentence has

    @property
    def truncated(self) -> int:
        """Words without a labelled piece: cut off by `max_length`, or of no visible character. They read as
        O."""
        return self.words - sum(label != IGNORE for label in self.labels)


def align(words: Sequence[str], tags: Sequence[int], tokenizer: Any, max_length: int) -> Aligned:
    """Encodes pre-split words with a fast tokenizer, cut at `max_length` pieces (special tokens included).

    Raises ValueError when words and tags differ in number or the tokenizer cannot say which word a piece is
    of.
    """
    if len(words) != len(tags):
        raise ValueError(f"{len(words)} words but {len(tags)} tags; each word needs one tag")
    if not getattr(tokenizer, "is_fast", False):
        raise ValueError("alignment needs a fast tokenizer (tokenizer.json): only those know a piece's word")
    coded = tokenizer(list(words), is_split_into_words=True, truncation=True, max_length=max_length)
    word_ids = tuple(coded.word_ids())
    labels, seen = [], set()
    for word in word_ids:
        labels.append(IGNORE if word is None or word in seen else tags[word])
        seen.add(word)
    return Aligned(tuple(coded["input_ids"]), tuple(labels), word_ids, len(words))


def words_from_predictions(aligned: Aligned, predicted: Sequence[int], missing: int = 0) -> list[int]:
    """One tag per word from one tag per piece: the first piece's. Words without a piece get `missing` (the
    index of O)."""
    if len(predicted) != len(aligned.word_ids):
        raise ValueError(f"{len(predicted)} predictions for {len(aligned.word_ids)} pieces; give one per piece")
    tags = [missing] * aligned.words
    seen: set[int] = set()
    for word, tag in zip(aligned.word_ids, predicted, strict=True):
        if word is not None and word not in seen:
            tags[word] = tag
            seen.add(word)
    return tags


def words_of_offsets(
    text: str, offsets: Sequence[tuple[int, int]], ids: Sequence[int], special: set[int]
) -> tuple[int | None, ...]:
    """The white-space word each piece of `text` starts in, from a fast tokenizer's offsets; None for special tokens."""
    word_at, word = [], -1
    for position, character in enumerate(text):
        if not character.isspace() and (position == 0 or text[position - 1].isspace()):
            word += 1
        word_at.append(word)
    return tuple(
        None if i in special and start == end else max(0, word_at[min(start, len(text) - 1)])
        for i, (start, end) in zip(ids, offsets, strict=True)
    )
