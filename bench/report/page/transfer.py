"""Whose adversarial texts fool whom: rows are victims, columns the mitigations that the texts were made against."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from bench.leaderboard import BASELINE
from bench.report.page.source import Tables


class Transfer:
    """Accuracy of each victim on each donor's texts of another seed, over all ids and seeds."""

    def __init__(self) -> None:
        # (recipe, donor, arm) -> [correct, all]
        self._counts: dict[tuple[str, str, int], list[int]] = defaultdict(lambda: [0, 0])

    def add(self, arm: int, tables: Tables) -> None:
        for recipe, columns in tables.starting("transfer"):
            donors = columns.get("donor") or [BASELINE] * len(columns["correct"])
            for donor, correct in zip(donors, columns["correct"], strict=True):
                if correct is not None:
                    cell = self._counts[recipe, str(donor), arm]
                    cell[0] += bool(correct)
                    cell[1] += 1

    def data(self) -> dict[str, Any] | None:
        if not self._counts:
            return None
        donors = sorted({donor for _, donor, _ in self._counts}, key=lambda donor: (donor != BASELINE, donor))
        recipes: dict[str, dict[str, list[list[int] | None]]] = {}
        for recipe, donor, arm in sorted(self._counts):
            row = recipes.setdefault(recipe, {}).setdefault(str(arm), [None] * len(donors))
            row[donors.index(donor)] = self._counts[recipe, donor, arm]
        return {"donors": donors, "recipes": recipes}
