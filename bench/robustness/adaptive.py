"""The adaptive pass: what survived every recipe is attacked again, harder, so that a published number can only fall.

Twice the query budget and RESTARTS other seeds for every ranked recipe, texts with one label at the calibrated
temperature. After a success a text is left alone, and the successes must fool the checkpoint when it is opened afresh.
Carlini et al. 2019, "On evaluating adversarial robustness", arXiv 1902.06705, asks for attacks that are run until more
effort changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from attacks.outcome import Outcome
from attacks.tagged import TaggedOutcome
from bench.keys import adaptive_key
from bench.robustness import attacking, tagging_attacks
from bench.stages import Cell
from bench.work import Journal

BUDGET, RESTARTS = 2, 2
APART = 1_000_003  # between the seeds of two restarts, far from the seeds that arms are trained with


def adapt(cell: Cell, first: Mapping[str, Sequence[Outcome] | Sequence[TaggedOutcome]]) -> pd.DataFrame:
    """One row per further attack: id, recipe, restart (1 up), status, queries. Continues where it was killed.

    `first`: the outcomes of every ranked recipe, calibrated where texts have one label. Texts that one of them fooled,
    that were wrong before, or that have no verdict are not attacked again; a text without a row has kept its verdict.
    For tagging also `tp`, `fp`, `fn`: strict entity counts after this attack, None for an error.
    """
    verdicts: dict[str, set[str]] = {}
    for outcomes in first.values():
        for outcome in outcomes:
            verdicts.setdefault(outcome.id, set()).add(outcome.status)
    tagging = cell.task.kind == "tagging"
    samples: Sequence[Any] = (tagging_attacks if tagging else attacking).attacked_samples(cell)
    left = [sample for sample in samples if verdicts.get(sample.id) == {"failed"}]
    rounds = [(recipe, restart) for restart in range(1, RESTARTS + 1) for recipe in first]
    at = 1.0 if tagging else attacking.temperature(cell)
    attack: Any = tagging_attacks.attack_sentences if tagging else attacking.attack_texts
    check: Any = tagging_attacks.still_fool if tagging else attacking.still_fool

    def make(folder: Path) -> dict[str, Any]:
        standing = left
        for recipe, restart in rounds:
            outcomes = attack(
                cell, recipe, standing, at, folder / f"{recipe}-{restart}.jsonl", f"{recipe}:adaptive",
                seed=cell.spec.seed + APART * restart, budget=BUDGET * cell.spec.budget_per_word,
            )  # fmt: skip
            check(cell, outcomes)
            fallen = {outcome.id for outcome in outcomes if outcome.status == "success"}
            standing = [sample for sample in standing if sample.id not in fallen]
        return {}

    folder = cell.work.run("adaptive", adaptive_key(cell.spec), make, resumable=True)[0]
    order = {sample.id: position for position, sample in enumerate(left)}
    read = TaggedOutcome.from_dict if tagging else Outcome.from_dict
    rows: list[tuple[str, int, Any]] = []
    for recipe, restart in rounds:
        again: list[Any] = list(Journal(folder / f"{recipe}-{restart}.jsonl", read).finished.values())
        rows += [(recipe, restart, one) for one in sorted(again, key=lambda outcome: order[outcome.id])]
    return _table(rows, tagging)


def _table(rows: Sequence[tuple[str, int, Any]], tagging: bool) -> pd.DataFrame:
    made = pd.DataFrame(
        {
            "id": [outcome.id for *_, outcome in rows],
            "recipe": [recipe for recipe, *_ in rows],
            "restart": [restart for _, restart, _ in rows],
            "status": [outcome.status for *_, outcome in rows],
            "queries": [outcome.queries for *_, outcome in rows],
        }
    )
    for place, name in enumerate(("tp", "fp", "fn") if tagging else ()):
        made[name] = [(outcome.counts or (None, None, None))[place] for *_, outcome in rows]
    return made
