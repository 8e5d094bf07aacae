"""Whose adversarial texts fool whom: rows are victims, columns the mitigations that the texts were made against.

Of tagged sentences a cell holds 2 tp and 2 tp + fp + fn in place of the right and all texts: their quotient is entity
F1.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from bench.judging import BASELINE
from bench.report.page.source import Tables


class Transfer:
    """Accuracy (or strict entity F1) of each victim on each donor's texts of another seed, over all ids and seeds."""

    def __init__(self) -> None:
        # (recipe, donor, arm) -> [correct, all]
        self._entities = False
        self._counts: dict[tuple[str, str, int], list[int]] = defaultdict(lambda: [0, 0])

    def add(self, arm: int, tables: Tables) -> None:
        for recipe, columns in tables.starting("transfer"):
            right = _counted(columns)
            self._entities |= "tp" in columns
            for donor, one in zip(columns.get("donor") or [BASELINE] * len(right), right, strict=True):
                if one is not None:
                    cell = self._counts[recipe, str(donor), arm]
                    cell[0] += one[0]
                    cell[1] += one[1]

    def data(self) -> dict[str, Any] | None:
        if not self._counts:
            return None
        donors = sorted({donor for _, donor, _ in self._counts}, key=lambda donor: (donor != BASELINE, donor))
        recipes: dict[str, dict[str, list[list[int] | None]]] = {}
        for recipe, donor, arm in sorted(self._counts):
            row = recipes.setdefault(recipe, {}).setdefault(str(arm), [None] * len(donors))
            row[donors.index(donor)] = self._counts[recipe, donor, arm]
        return {"donors": donors, "recipes": recipes, "entities": self._entities}


def _counted(columns: Any) -> list[tuple[int, int] | None]:
    """(right, all) of each text, of a tagged sentence (2 tp, 2 tp + fp + fn); None for an unknown one."""
    if "tp" in columns:
        counts = zip(columns["tp"], columns["fp"], columns["fn"], strict=True)
        return [(2 * int(tp), 2 * int(tp) + int(fp) + int(fn)) for tp, fp, fn in counts]
    return [None if correct is None else (int(bool(correct)), 1) for correct in columns["correct"]]
