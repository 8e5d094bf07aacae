"""Which learning rate an arm gets, and why: a recorded grid, the method's paper, or the baseline's.

Equal learning rates for all arms would make the table invalid, and free choice would be unfair. Each (task,
model, mitigation) in `learning_rates.csv` had the same budget: the same grid, further out where the best lay at its
end, one seed, scored on validation (`temper tune` writes it). A row without a score is a training that failed.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from importlib import resources
from types import ModuleType

# of the tasks in learning_rates.csv
KINDS = {"movie_reviews": "classification", "ner_finance": "tagging"}
UNTUNED = 5e-5
UNTUNED_SOURCE = "default for encoders nobody tuned here (5e-5)"


def _grid() -> dict[tuple[str, str, str], float]:
    """The best grid point of every tuned (task, model, mitigation); ties go to the smaller rate."""
    best: dict[tuple[str, str, str], tuple[float, float]] = {}
    text = resources.files("training").joinpath("learning_rates.csv").read_text(encoding="utf8")
    for row in csv.DictReader(text.splitlines()):
        if not row["validation_score"]:
            continue
        arm = (row["task"], row["model"], row["mitigation"])
        candidate = (float(row["validation_score"]), -float(row["learning_rate"]))
        best[arm] = max(best.get(arm, candidate), candidate)
    return {arm: -rate for arm, (_, rate) in best.items()}


def learning_rate(task: str, kind: str, model: str, stack: Sequence[tuple[str, ModuleType]]) -> tuple[float, str]:
    """(learning rate, where it comes from) for a stack of (name, plug-in) on `model` and `task`, which is of `kind`.

    The grid is asked for the whole stack, then for its first member that changes which parameters learn
    (LEARNING_RATE), whose paper comes next, then for the baseline; on this task first, then on one of its kind (a
    tagger's best rates are no classifier's), else on another one.
    """
    grid = _grid()
    tasks = sorted({known for known, _, _ in grid}, key=lambda known: (known != task, KINDS.get(known) != kind, known))

    def tuned(name: str) -> tuple[float, str] | None:
        for known in tasks:
            if (known, model, name) in grid:
                return grid[known, model, name], f"grid of '{name}' on {known} (validation)"
        return None

    if found := tuned("+".join(part for part, _ in stack)):
        return found
    for part, plugin in stack:
        if hasattr(plugin, "LEARNING_RATE"):
            return tuned(part) or (plugin.LEARNING_RATE, plugin.LEARNING_RATE_SOURCE)
    return tuned("baseline") or (UNTUNED, UNTUNED_SOURCE)
