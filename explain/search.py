"""Finds the order of words with the largest faithfulness gap D (see metrics.faithfulness_gap).

With g(S) = f(only S kept) - f(S masked), D(p) = (1/n) sum over k of g(first k words of p): the best order is
the best chain through the lattice of word sets. Up to `exact_words` words every set is asked once and dynamic
programming gives the true maximum. Above that, a beam search that extends each state only by the `branching`
words of largest g({w}), then sweeps that swap neighbours where it helps: about
2n (1 + width * branching + sweeps) forwards at most, in place of n^2 * width for the plain beam.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Masks = NDArray[np.bool_]


@dataclass(frozen=True)
class Search:
    """How hard to look for the best order.

    exact_words: texts of at most this many words are solved exactly, 1 to 16 (2^n forwards).
    width: states the beam keeps, 1 to 64. branching: words each state is extended by, 1 or more (n is the
    plain beam). sweeps: rounds of neighbour swaps on the beam's best order, 0 to 100. The defaults are the
    project's: on 300 random set functions of 10 words they found 99.7 % of the exact maximum on average, 87 %
    at worst. Where the search falls short, dNAOPC reads a little high, for every explainer alike.
    """

    exact_words: int = 6
    width: int = 2
    branching: int = 3
    sweeps: int = 3

    def __post_init__(self) -> None:
        limits = {"exact_words": (1, 16), "width": (1, 64), "branching": (1, 10_000), "sweeps": (0, 100)}
        for name, (low, high) in limits.items():
            if not low <= getattr(self, name) <= high:
                raise ValueError(f"{name} is {getattr(self, name)}: give {low} to {high}")


def prefix_masks(order: Sequence[int]) -> Masks:
    """(n + 1, n) bool: row k is True at the first k words of `order`."""
    place = np.empty(len(order), dtype=np.int64)
    place[list(order)] = np.arange(len(order))
    return place[None, :] < np.arange(len(order) + 1)[:, None]


def best_gap(margins: Callable[[Masks], Floats], words: int, search: Search) -> tuple[float, float]:
    """The largest D found for a text of `words` words, in logits, and the largest |f| seen on the way."""
    sizes = [0.0]

    def gains(keep: Masks) -> Floats:
        values = margins(np.concatenate([keep, ~keep]))
        sizes.append(float(np.abs(values).max()))
        return values[: len(keep)] - values[len(keep) :]

    if words < 2:
        return 0.0, 0.0
    if words <= search.exact_words:
        return _exact(gains, words) / words, max(sizes)
    order = _beam(gains, words, search)
    return _swap(gains, order, search.sweeps) / words, max(sizes)


def _exact(gains: Callable[[Masks], Floats], words: int) -> float:
    codes = np.arange(2**words)
    keep = (codes[:, None] >> np.arange(words)[None, :]) & 1 == 1
    gain = gains(keep[1:-1])
    best = np.zeros(2**words)
    for code in range(1, 2**words):
        own = gain[code - 1] if code < 2**words - 1 else 0.0
        best[code] = own + max(best[code ^ (1 << word)] for word in range(words) if code >> word & 1)
    return float(best[-1])


def _beam(gains: Callable[[Masks], Floats], words: int, search: Search) -> list[int]:
    promise = gains(np.eye(words, dtype=np.bool_))
    ranked = np.argsort(-promise, kind="stable").tolist()
    beam: list[tuple[float, list[int]]] = [(0.0, [])]
    for _ in range(words - 1):
        options: dict[frozenset[int], tuple[float, list[int]]] = {}
        for total, order in beam:
            for word in [w for w in ranked if w not in order][: search.branching]:
                # states with equal sets have equal futures: only the better past is kept
                key = frozenset([*order, word])
                if key not in options or options[key][0] < total:
                    options[key] = (total, [*order, word])
        keep = np.zeros((len(options), words), dtype=np.bool_)
        for row, (_, order) in enumerate(options.values()):
            keep[row, order] = True
        scored = zip(options.values(), gains(keep), strict=True)
        extended = [(total + float(gain), order) for (total, order), gain in scored]
        beam = sorted(extended, key=lambda state: -state[0])[: search.width]
    best = beam[0][1]
    return [*best, *(w for w in range(words) if w not in best)]


def _swap(gains: Callable[[Masks], Floats], order: list[int], sweeps: int) -> float:
    """n * D of the order after neighbour swaps: swapping places k and k+1 changes the first k+1 words only."""
    order = list(order)
    keep = prefix_masks(order)
    current = gains(keep[1:-1])
    for _ in range(sweeps):
        trial = keep[1:-1].copy()
        rows = np.arange(len(order) - 1)
        trial[rows, order[:-1]] = False
        trial[rows, order[1:]] = True
        better = gains(trial) - current
        used: set[int] = set()
        for place in np.argsort(-better, kind="stable").tolist():
            if better[place] <= 0:
                break
            if not used & {place - 1, place, place + 1}:
                used.add(place)
                order[place], order[place + 1] = order[place + 1], order[place]
        if not used:
            break
        keep = prefix_masks(order)
        current = gains(keep[1:-1])
    return float(current.sum())
