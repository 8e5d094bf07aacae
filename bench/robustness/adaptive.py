"""The adaptive pass: what survived every recipe is attacked again, harder, so that a published number can only fall.

Twice the query budget and RESTARTS other seeds for every ranked recipe, at the calibrated temperature. After a success
a text is left alone. Carlini et al. 2019, "On evaluating adversarial robustness", arXiv 1902.06705, asks for attacks
that are run until more effort changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from attacks.outcome import Outcome, Sample
from bench.keys import adaptive_key
from bench.robustness import attacking
from bench.stages import Cell
from bench.work import read_lines

BUDGET, RESTARTS = 2, 2
APART = 1_000_003  # between the seeds of two restarts, far from the seeds that arms are trained with


def adapt(cell: Cell, calibrated: Mapping[str, Sequence[Outcome]]) -> pd.DataFrame:
    """One row per further attack: id, recipe, restart (1 up), status, queries. Continues where it was killed.

    `calibrated`: the outcomes of every ranked recipe. Texts that one of them fooled, that were wrong before, or that
    have no verdict are not attacked again; a text without a row has kept its verdict.
    """
    verdicts: dict[str, set[str]] = {}
    for outcomes in calibrated.values():
        for outcome in outcomes:
            verdicts.setdefault(outcome.id, set()).add(outcome.status)
    left = [sample for sample in attacking.attacked_samples(cell) if verdicts.get(sample.id) == {"failed"}]
    rounds = [(recipe, restart) for restart in range(1, RESTARTS + 1) for recipe in calibrated]
    fitted = attacking.temperature(cell)

    def make(folder: Path) -> dict[str, Any]:
        standing: list[Sample] = left
        for recipe, restart in rounds:
            outcomes = attacking.attack_texts(
                cell, recipe, standing, fitted, folder / f"{recipe}-{restart}.jsonl", f"{recipe}:adaptive",
                seed=cell.spec.seed + APART * restart, budget=BUDGET * cell.spec.budget_per_word,
            )  # fmt: skip
            fallen = {outcome.id for outcome in outcomes if outcome.status == "success"}
            standing = [sample for sample in standing if sample.id not in fallen]
        return {}

    folder = cell.work.run("adaptive", adaptive_key(cell.spec), make, resumable=True)[0]
    order = {sample.id: position for position, sample in enumerate(left)}
    rows = []
    for recipe, restart in rounds:
        outcomes = [Outcome.from_dict(row) for row in read_lines(folder / f"{recipe}-{restart}.jsonl")]
        rows += [(recipe, restart, one) for one in sorted(outcomes, key=lambda outcome: order[outcome.id])]
    return pd.DataFrame(
        {
            "id": [outcome.id for *_, outcome in rows],
            "recipe": [recipe for recipe, *_ in rows],
            "restart": [restart for _, restart, _ in rows],
            "status": [outcome.status for *_, outcome in rows],
            "queries": [outcome.queries for *_, outcome in rows],
        }
    )
