"""Accuracy under attack as a function of the query budget, from the queries that each success took.

The rule is that of the table's budget columns (bench/report/budget.py): a search ends at its first success, so a
success after q queries is a survivor of every budget below q. Budgets are given per word, at least one query a text, so
a curve reaches as far as the granted budget whatever the lengths of the texts. An `error` is unknown and in no curve.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np

from bench.report.page.script import shorts
from bench.report.page.source import Columns, Tables, numbers
from bench.stats import Array

POINTS, LEAST = 40, 0.25


class Budget:
    """Per recipe, mode and arm: mean over the seeds, and the lowest and highest seed, at each budget of the grid."""

    def __init__(self) -> None:
        self._curves: dict[tuple[str, str], dict[int, list[Array]]] = defaultdict(lambda: defaultdict(list))
        self._granted = 50.0
        self._grid: Array | None = None

    def add(self, arm: int, tables: Tables) -> None:
        if self._grid is None:
            self._granted = float(tables.record.spec.get("budget_per_word") or self._granted)  # type: ignore[arg-type]
            self._grid = grid(self._granted)
        for subject, columns in tables.starting("attack"):
            recipe, _, mode = subject.rpartition(":")
            curve = accuracy(columns, self._grid)
            if curve is not None:
                self._curves[recipe, mode][arm].append(curve)

    def data(self) -> dict[str, Any] | None:
        if not self._curves or self._grid is None:
            return None
        attacks = [
            {
                "recipe": recipe,
                "mode": mode,
                "arms": {str(arm): _summary(np.array(seeds)) for arm, seeds in arms.items()},
            }
            for (recipe, mode), arms in sorted(self._curves.items())
        ]
        return {"budget": self._granted, "grid": shorts(self._grid.tolist()), "attacks": attacks}


def grid(granted: float) -> Array:
    """Budgets in queries per word, evenly spaced by ratio up to the one that was granted."""
    return np.geomspace(min(LEAST, granted / 2), granted, POINTS)


def accuracy(columns: Columns, budgets: Array) -> Array | None:
    """Share of texts still classified correctly at each budget; None where no text has a known outcome."""
    status = list(columns["status"])
    known = len(status) - status.count("error")
    if not known:
        return None
    success = np.array([word == "success" for word in status])
    queries, words = (numbers(columns[name])[success] for name in ("queries", "words"))
    # every budget allows one query
    spent = np.where(queries <= 1, 0.0, queries / np.maximum(words, 1))
    right_before = int(success.sum()) + status.count("failed")
    broken = np.searchsorted(np.sort(spent), budgets, side="right")
    return (right_before - broken) / known


def _summary(seeds: Array) -> dict[str, Sequence[Any]]:
    rows = {"mean": seeds.mean(axis=0), "low": seeds.min(axis=0), "high": seeds.max(axis=0)}
    return {name: shorts(row.tolist()) for name, row in rows.items() if name == "mean" or len(seeds) > 1}
