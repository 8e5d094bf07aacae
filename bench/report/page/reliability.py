"""Reliability diagrams: what the victim was sure of, and how often it was right, in the bins of the board's ECE."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np

from bench.extraction import ECE_BINS, equal_mass
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
            mode: {str(arm): bins(*np.concatenate(seeds, axis=1)) for arm, seeds in arms.items()}
            for mode, arms in self._seen.items()
        }
        return {"modes": found} if found else None


def bins(confidence: Array, correct: Array, count: int = ECE_BINS) -> list[list[Any]]:
    """[mean confidence, accuracy, examples] of equal-mass bins, from the least sure to the surest."""
    known = ~(np.isnan(confidence) | np.isnan(correct))
    confidence, correct = confidence[known], correct[known]
    if not len(confidence):
        return []
    sure, right, sizes = (part.tolist() for part in equal_mass(confidence, correct, count))
    return [list(row) for row in zip(shorts(sure), shorts(right), sizes, strict=True)]
