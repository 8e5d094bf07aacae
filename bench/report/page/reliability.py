"""Reliability diagrams: what the victim was sure of, and how often it was right, in the bins of the board's ECE."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np

from bench.extraction import ECE_BINS, equal_masses
from bench.report.page.script import shorts
from bench.report.page.source import Tables, numbers
from bench.stats import Array

COLUMNS = {"calibrated": "confidence_calibrated", "raw": "confidence"}


class Reliability:
    """Per arm and mode the bins over the examples of all its seeds together."""

    def __init__(self) -> None:
        self._seen: dict[str, dict[int, list[Array]]] = defaultdict(lambda: defaultdict(list))

    def add(self, arm: int, tables: Tables) -> None:
        columns = tables.get("clean")
        modes = {mode: name for mode, name in COLUMNS.items() if name in columns and "correct" in columns}
        if modes:
            found = numbers([columns[name] for name in (*modes.values(), "correct")])
            for place, mode in enumerate(modes):
                self._seen[mode][arm].append(found[[place, -1]])

    def data(self) -> dict[str, Any] | None:
        found = {
            mode: dict(
                zip(map(str, arms), _bins_of([np.concatenate(one, axis=1) for one in arms.values()]), strict=True)
            )
            for mode, arms in self._seen.items()
        }
        return {"modes": found} if found else None


def bins(confidence: Array, correct: Array, count: int = ECE_BINS) -> list[list[Any]]:
    """[mean confidence, accuracy, examples] of equal-mass bins, from the least sure to the surest."""
    return _bins_of([np.array([confidence, correct])], count)[0]


def _bins_of(arms: Sequence[Array], count: int = ECE_BINS) -> list[list[list[Any]]]:
    """`bins` of each arm's (2, examples) confidence and correctness; those of as many known examples at once."""
    found: list[list[list[Any]]] = [[] for _ in arms]
    alike: dict[int, dict[int, Array]] = defaultdict(dict)
    for place, table in enumerate(arms):
        unknown = np.isnan(table).any(axis=0)
        known = table[:, ~unknown] if unknown.any() else table
        alike[known.shape[1]][place] = known
    alike.pop(0, None)
    for some in alike.values():
        confidence, correct = np.array(list(some.values())).transpose(1, 0, 2)
        sure, right, sizes = equal_masses(confidence, correct, count)
        flat = zip(shorts(sure.ravel().tolist()), shorts(right.ravel().tolist()), strict=True)
        for place in some:
            found[place] = [[*next(flat), size] for size in sizes.tolist()]
    return found
