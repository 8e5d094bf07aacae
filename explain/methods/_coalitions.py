"""The margin of a text of which only some words are kept: what every word-masking method asks for. Not a method."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor

    from explain.engine import Batch


def word_counts(batch: Batch) -> list[int]:
    """Words of each text of the batch, 1 at least."""
    return [int(count) for count in (batch.word_of.max(dim=1).values + 1).tolist()]


def check(samples: int) -> None:
    """Raises ValueError for a number of sets of words for each text that is out of range."""
    if not 16 <= samples <= 65536:
        raise ValueError(f"samples is {samples}: give 16 to 65536")


def by_word(batch: Batch, values: Callable[[int, int], NDArray[np.float64]]) -> Tensor:
    """values(row, its words) -> (words,), asked of every text -> (b, t): on each word's first piece, zero elsewhere."""
    return batch.place([values(row, count).tolist() for row, count in enumerate(word_counts(batch))])


def margins(batch: Batch, row: int, keep: NDArray[np.bool_]) -> NDArray[np.float64]:
    """keep (m, words of text `row`) -> f (m,), every piece of the other words at its baseline.

    Asked of the batch's pool, which runs each set of words once.
    """
    question = batch.questions[row]
    return question.margins(batch.pool.read(question, keep))
