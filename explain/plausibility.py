"""Whether attributions point at the words a human marks: pure functions, no torch.

This says whether an explanation looks right to people. It says nothing about the model: a faithful explanation
of a model that reads the wrong words is implausible, as it should be.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from explain.stability import top_places

Floats = NDArray[np.float64]


def average_precision(marks: Sequence[int], scores: Sequence[float]) -> float | None:
    """AP in (0, 1]: mean over marked words of the precision at that word's rank, highest score first.

    marks: 1 on rationale words, else 0. This is the area under the precision-recall curve that DeYoung et al.,
    "ERASER", 2020, arXiv 1911.03429, give for soft scores. Tied words: the mean over every order of them, so
    that the reading order is worth nothing. None where no word is marked, or every word is.
    """
    marked, values = _checked(marks, scores)
    total = int(marked.sum())
    if not 0 < total < marked.size:
        return None
    found, seen, hits = 0.0, 0, 0.0
    for value in np.unique(values)[::-1]:
        group = marked[values == value]
        size, inside = group.size, int(group.sum())
        # the j-th place of the group holds a marked word with probability inside / size, and then the places
        # before it in the group hold the other inside - 1 evenly
        before = np.arange(size) * ((inside - 1) / (size - 1) if size > 1 else 0.0)
        found += inside / size * float(((hits + before + 1) / (seen + np.arange(size) + 1)).sum())
        seen, hits = seen + size, hits + inside
    return found / total


def corrected_average_precision(marks: Sequence[int], scores: Sequence[float]) -> float | None:
    """AP* = (AP - c) / (1 - c), c the mean AP of all orders: 1 where every marked word comes first, 0 at chance.

    c grows with the share of marked words, so AP alone cannot be averaged over texts. None as for AP.
    """
    found, chance = average_precision(marks, scores), average_precision(marks, [0.0] * len(marks))
    return None if found is None or chance is None else (found - chance) / (1 - chance)


def token_f1(marks: Sequence[int], scores: Sequence[float]) -> float | None:
    """F1 in [0, 1] of the k words of highest score against the k marked ones.

    ERASER (see average_precision) takes k from the mean length of the data's rationales; ours is the text's own
    number of marked words, so precision, recall and F1 are one number and chance is k / n. Tied words share the
    places they compete for. None where no word is marked, or every word is.
    """
    marked, values = _checked(marks, scores)
    total = int(marked.sum())
    if not 0 < total < marked.size:
        return None
    return float((top_places(values, total) * marked).sum()) / total


def _checked(marks: Sequence[int], scores: Sequence[float]) -> tuple[NDArray[np.int64], Floats]:
    marked, values = np.asarray(marks, dtype=np.int64), np.asarray(scores, dtype=np.float64)
    if marked.shape != values.shape or marked.ndim != 1:
        raise ValueError(f"{marked.size} marks for {values.size} scores: give one mark per word")
    if not np.isin(marked, (0, 1)).all() or not np.isfinite(values).all():
        raise ValueError("marks are 0 or 1, scores finite numbers")
    return marked, values
