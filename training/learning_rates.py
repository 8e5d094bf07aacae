"""Which learning rate an arm gets, and why: a recorded grid, the method's paper, or the baseline's.

Equal learning rates for all arms would make the table invalid, and free choice would be unfair. Each (model,
mitigation) pair in `learning_rates.csv` had the same budget: the same grid, one seed, scored on validation
(`temper tune` writes it).
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from importlib import resources
from types import ModuleType

UNTUNED = 5e-5
UNTUNED_SOURCE = "default for encoders nobody tuned here (5e-5)"


def _grid() -> dict[tuple[str, str], float]:
    """The best grid point of every tuned (model, mitigation) pair; ties go to the smaller rate."""
    best: dict[tuple[str, str], tuple[float, float]] = {}
    text = resources.files("training").joinpath("learning_rates.csv").read_text(encoding="utf8")
    for row in csv.DictReader(text.splitlines()):
        pair = (row["model"], row["mitigation"])
        candidate = (float(row["validation_score"]), -float(row["learning_rate"]))
        best[pair] = max(best.get(pair, candidate), candidate)
    return {pair: -rate for pair, (_, rate) in best.items()}


def learning_rate(model: str, stack: Sequence[tuple[str, ModuleType]]) -> tuple[float, str]:
    """(learning rate, where it comes from) for a stack of (name, plug-in) on `model`.

    A stack is looked up as a whole, then by its first member that changes which parameters learn (LEARNING_RATE).
    """
    grid = _grid()
    name = "+".join(part for part, _ in stack)
    if (model, name) in grid:
        return grid[model, name], "grid on validation"
    for part, plugin in stack:
        if hasattr(plugin, "LEARNING_RATE"):
            if (model, part) in grid:
                return grid[model, part], f"grid on validation, of '{part}'"
            return plugin.LEARNING_RATE, plugin.LEARNING_RATE_SOURCE
    if (model, "baseline") in grid:
        return grid[model, "baseline"], "grid on validation, of 'baseline'"
    return UNTUNED, UNTUNED_SOURCE
