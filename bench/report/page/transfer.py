"""Whose adversarial texts fool whom: rows are victims, columns the mitigations that the texts were made against.

Of tagged sentences a cell holds 2 tp and 2 tp + fp + fn in place of the right and all texts: their quotient is entity
F1.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any

from bench.judging import BASELINE
from bench.report.page.source import Tables


class Transfer:
    """Accuracy (or strict entity F1) of each victim on each donor's texts of another seed, over all ids and seeds."""

    def __init__(self) -> None:
        self._entities = False
        # (recipe, arm) -> how often each (donor, outcome) was found
        self._seen: dict[tuple[str, int], Counter[tuple[Any, Any]]] = defaultdict(Counter)

    def add(self, arm: int, tables: Tables) -> None:
        for recipe, columns in tables.starting("transfer"):
            tagged = "tp" in columns
            found = _counts(columns) if tagged else columns["correct"]
            self._entities |= tagged
            donors = columns.get("donor") or [BASELINE] * len(found)
            self._seen[recipe, arm].update(zip(donors, found, strict=True))

    def data(self) -> dict[str, Any] | None:
        cells: dict[tuple[str, int], dict[str, list[int]]] = {}
        for key, seen in sorted(self._seen.items()):
            for (donor, one), times in seen.items():
                if one is not None:
                    right, every = one if isinstance(one, tuple) else (int(bool(one)), 1)
                    cell = cells.setdefault(key, {}).setdefault(str(donor), [0, 0])
                    cell[0] += right * times
                    cell[1] += every * times
        if not cells:
            return None
        names = {donor for found in cells.values() for donor in found}
        donors = sorted(names, key=lambda donor: (donor != BASELINE, donor))
        recipes: dict[str, dict[str, list[list[int] | None]]] = {}
        for (recipe, arm), found in cells.items():
            recipes.setdefault(recipe, {})[str(arm)] = [found.get(donor) for donor in donors]
        return {"donors": donors, "recipes": recipes, "entities": self._entities}


def _counts(columns: Any) -> list[tuple[int, int]]:
    """(2 tp, 2 tp + fp + fn) of each tagged sentence."""
    counts = zip(columns["tp"], columns["fp"], columns["fn"], strict=True)
    return [(2 * int(tp), 2 * int(tp) + int(fp) + int(fn)) for tp, fp, fn in counts]
