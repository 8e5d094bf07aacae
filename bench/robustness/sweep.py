"""The temperature sweep: one recipe again at other temperatures on some of the attacked texts, to catch masking.

A black-box attack climbs the victim's probabilities, and what it sees of them depends on a number that changes no
decision. At the calibrated temperature times 1/20, 1/4, 4 and 20 the same victim is attacked again; a text counts as
survived only if it survives at all of them, at the calibrated one and raw. With two classes the order of candidates is
the same at every temperature at which their probabilities differ; where they do not, ties are broken by position, which
fools an honest victim now and then by luck, and so the loss is held against the baseline's (masking.py).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from attacks.outcome import Outcome
from bench.keys import sweep_key
from bench.robustness import attacking
from bench.spec import Spec
from bench.stages import Cell
from bench.work import read_lines

FACTORS = (0.05, 0.25, 4.0, 20.0)
SHARE, FEWEST = 0.25, 8
CHEAP = "deepwordbug"


def recipe_of(spec: Spec) -> str | None:
    """The recipe that is swept: the cheap one where it is asked for, else the first ranked one; None without any."""
    ranked = [recipe for recipe in spec.recipes if attacking.ranked(recipe)]
    return CHEAP if CHEAP in ranked else next(iter(ranked), None)


def sweep(cell: Cell, recipe: str, calibrated: Sequence[Outcome], raw: Sequence[Outcome]) -> pd.DataFrame:
    """One row per temperature and text of the first quarter (at least 8).

    Columns: factor and temperature; id, status, queries; p_before, the probability of the gold label before the attack,
    to nine digits, so that it shows whether the victim answers two texts alike. `calibrated` and `raw`: the outcomes of
    the attacks at factor 1 and at temperature 1, which are not made again. Continues where it was killed.
    """
    samples = attacking.attacked_samples(cell)
    samples = samples[: max(FEWEST, math.ceil(SHARE * len(samples)))]
    fitted = attacking.temperature(cell)

    def make(folder: Path) -> dict[str, Any]:
        for factor in FACTORS:
            path, stage = folder / f"{factor:g}.jsonl", f"{recipe}:sweep"
            attacking.attack_texts(cell, recipe, samples, fitted * factor, path, stage)
        return {}

    folder = cell.work.run(f"sweep-{recipe}", sweep_key(cell.spec, recipe), make, resumable=True)[0]
    parts = {1.0: calibrated, 1.0 / fitted: raw} if fitted != 1.0 else {1.0: calibrated}
    for factor in FACTORS:
        parts[factor] = [Outcome.from_dict(row) for row in read_lines(folder / f"{factor:g}.jsonl")]
    by_id = {factor: {outcome.id: outcome for outcome in outcomes} for factor, outcomes in parts.items()}
    rows = [(factor, known[s.id]) for factor, known in by_id.items() for s in samples if s.id in known]
    return pd.DataFrame(
        {
            "factor": [float(f"{factor:.6g}") for factor, _ in rows],
            "temperature": [float(f"{fitted * factor:.6g}") for factor, _ in rows],
            "id": [outcome.id for _, outcome in rows],
            "status": [outcome.status for _, outcome in rows],
            "queries": [outcome.queries for _, outcome in rows],
            "p_before": [round(o.probabilities_before[o.label], 9) if o.status != "error" else None for _, o in rows],
        }
    )
