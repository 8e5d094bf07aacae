"""Accuracy under attack as a function of the query budget, from the queries that each success took.

The rule is that of the table's budget columns (bench/report/budget.py): a search ends at its first success, so a
success after q queries is a survivor of every budget below q. Budgets are given per word, at least one query a text, so
a curve reaches as far as the granted budget whatever the lengths of the texts. An `error` is unknown and in no curve.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np

from bench.report.page.script import shorts
from bench.report.page.source import Tables, numbers
from bench.stats import Array

POINTS, LEAST = 40, 0.25
WAITING = 100_000  # texts of attacks whose curves are found together
Key = tuple[str, str, int]  # recipe, mode, arm


class Budget:
    """Per recipe, mode and arm: mean over the seeds, and the lowest and highest seed, at each budget of the grid."""

    def __init__(self) -> None:
        self._curves: dict[Key, list[Array]] = defaultdict(list)
        self._keys: list[Key] = []
        self._letters: list[str] = []
        self._spent: list[Array] = []
        self._waiting = 0
        self._granted = 50.0
        self._grid: Array | None = None

    def add(self, arm: int, tables: Tables) -> None:
        if self._grid is None:
            self._granted = float(tables.record.spec.get("budget_per_word") or self._granted)  # type: ignore[arg-type]
            self._grid = grid(self._granted)
        queries: list[Any] = []
        words: list[Any] = []
        for subject, columns, letters in tables.attacks:
            recipe, _, mode = subject.rpartition(":")
            if letters.count("e") < len(letters):
                self._keys.append((recipe, mode, arm))
                self._letters.append(letters)
                queries += columns["queries"]
                words += columns["words"]
        self._spent.append(numbers([queries, words]))
        self._waiting += len(queries)
        if self._waiting >= WAITING:
            self._settle(self._grid)

    def _settle(self, budgets: Array) -> None:
        if self._keys:
            found = accuracy(self._letters, np.concatenate(self._spent, axis=1), budgets)
            for key, curve in zip(self._keys, found, strict=True):
                self._curves[key].append(curve)
        self._keys, self._letters, self._spent, self._waiting = [], [], [], 0

    def data(self) -> dict[str, Any] | None:
        if self._grid is not None:
            self._settle(self._grid)
        if not self._curves or self._grid is None:
            return None
        attacks: dict[tuple[str, str], dict[str, Any]] = {}
        keys = sorted(self._curves)
        for (recipe, mode, arm), line in zip(keys, _summaries([self._curves[key] for key in keys]), strict=True):
            attacks.setdefault((recipe, mode), {})[str(arm)] = line
        listed = [{"recipe": recipe, "mode": mode, "arms": arms} for (recipe, mode), arms in attacks.items()]
        return {"budget": self._granted, "grid": shorts(self._grid.tolist()), "attacks": listed}


def grid(granted: float) -> Array:
    """Budgets in queries per word, evenly spaced by ratio up to the one that was granted."""
    return np.geomspace(min(LEAST, granted / 2), granted, POINTS)


def accuracy(attacks: Sequence[str], spent: Array, budgets: Array) -> Array:
    """(attacks, budgets): the share of an attack's texts still classified correctly at each of the rising budgets.

    `attacks`: the letters of the texts of each (source.LETTERS), not all of them errors; `spent`: (2, texts of all
    attacks) queries and words, NaN where unknown.
    """
    known = np.array([len(letters) - letters.count("e") for letters in attacks])
    right_before = np.array([letters.count("s") + letters.count("f") for letters in attacks])
    success = np.frombuffer("".join(attacks).encode("ascii"), dtype=np.uint8) == ord("s")
    attack = np.repeat(np.arange(len(attacks)), [len(letters) for letters in attacks])
    queries, words = spent[:, success]
    # every budget allows one query
    cost = np.where(queries <= 1, 0.0, queries / np.maximum(words, 1))
    # the place of the first budget that is enough; past the last one where none is, or the cost is unknown
    first, places = np.searchsorted(budgets, cost), len(budgets) + 1
    fell = np.bincount(attack[success] * places + first, minlength=len(attacks) * places).reshape(-1, places)
    broken = fell[:, :-1].cumsum(axis=1)
    return (right_before[:, None] - broken) / known[:, None]


def _summaries(curves: Sequence[Sequence[Array]]) -> list[dict[str, Sequence[Any]]]:
    """Of each arm's curves, one a seed."""
    counts = np.array([len(seeds) for seeds in curves])
    starts, rows = np.cumsum(counts) - counts, np.concatenate(list(itertools.chain(*curves))).reshape(-1, POINTS)
    mean = np.add.reduceat(rows, starts) / counts[:, None]
    found = np.array([mean, np.minimum.reduceat(rows, starts), np.maximum.reduceat(rows, starts)])
    # shares of few texts are few numbers: each is rounded once
    values, places = np.unique(found, return_inverse=True)
    lines = np.array(shorts(values.tolist()), dtype=object)[places.reshape(found.shape)].tolist()
    return [
        {"mean": middle, "low": low, "high": high} if count > 1 else {"mean": middle}
        for count, middle, low, high in zip(counts.tolist(), *lines, strict=True)
    ]
