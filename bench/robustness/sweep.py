"""The temperature sweep: one recipe again at other temperatures on some of the attacked texts, to catch masking.

A black-box attack climbs the victim's probabilities, and what it sees of them depends on a number that changes no
decision. At the calibrated temperature times 1/20, 1/4, 4 and 20 the same victim is attacked again; a text counts as
survived only if it survives at all of them, at the calibrated one and raw. With two classes the order of candidates is
the same at every temperature at which their probabilities differ; where they do not, ties are broken by position, which
fools an honest victim now and then by luck, and so the loss is held against the baseline's (masking.py).

A tagger's probabilities are a softmax over the tags of each word (over the types of each span), and its goal's score is
made of products of them: they saturate like those of a text's class. Its decisions depend on no temperature. It is
swept around temperature 1, at which it was attacked.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from attacks import goals
from attacks.outcome import Outcome
from attacks.tagged import TaggedOutcome
from bench.keys import sweep_key
from bench.robustness import attacking, tagging_attacks
from bench.spec import Spec
from bench.stages import Cell
from bench.work import Journal

FACTORS = (0.05, 0.25, 4.0, 20.0)
SHARE, FEWEST = 0.25, 8
CHEAP = ("deepwordbug", "ner_deepwordbug")


def recipe_of(spec: Spec) -> str | None:
    """The recipe that is swept: a cheap one where it is asked for, else the first ranked one; None without any."""
    ranked = [recipe for recipe in spec.recipes if attacking.ranked(recipe)]
    return next((recipe for recipe in CHEAP if recipe in ranked), next(iter(ranked), None))


def sweep(cell: Cell, recipe: str, calibrated: Sequence[Outcome], raw: Sequence[Outcome]) -> pd.DataFrame:
    """One row per temperature and text of the first quarter (at least 8).

    Columns: factor and temperature; id, status, queries; p_before, the probability of the gold label before the attack,
    to nine digits, so that it shows whether the victim answers two texts alike. `calibrated` and `raw`: the outcomes of
    the attacks at factor 1 and at temperature 1, which are not made again. Continues where it was killed.
    """
    samples = _swept(attacking.attacked_samples(cell))
    fitted = attacking.temperature(cell)

    def make(folder: Path) -> dict[str, Any]:
        for factor in FACTORS:
            path, stage = folder / f"{factor:g}.jsonl", f"{recipe}:sweep"
            attacking.attack_texts(cell, recipe, samples, fitted * factor, path, stage)
        return {}

    folder = cell.work.run(f"sweep-{recipe}", sweep_key(cell.spec, recipe), make, resumable=True)[0]
    parts = {1.0: calibrated, 1.0 / fitted: raw} if fitted != 1.0 else {1.0: calibrated}
    for factor in FACTORS:
        parts[factor] = list(Journal(folder / f"{factor:g}.jsonl", Outcome.from_dict).finished.values())
    rows = _rows(parts, samples)
    known = [None if o.status == "error" else round(o.probabilities_before[o.label], 9) for _, o in rows]
    return _table(rows, fitted, known)


def sweep_tags(cell: Cell, recipe: str, attacked: Sequence[TaggedOutcome]) -> pd.DataFrame:
    """As `sweep`, for a tagger, around temperature 1; `attacked`: the outcomes there, which are not made again.

    p_before is the score of the attack's goal (`attacks.goals`) before the attack; further columns `tp`, `fp`, `fn`:
    strict entity counts under attack, None for an error.
    """
    samples = _swept(tagging_attacks.attacked_samples(cell))

    def make(folder: Path) -> dict[str, Any]:
        before: dict[str, dict[str, float]] = {}
        for factor in (1.0, *FACTORS):
            said = tagging_attacks.victim(cell.classifier, factor)([sample.words for sample in samples])
            before[f"{factor:g}"] = {
                sample.id: round(goals.score(cell.spec.goal, sample.tags, one), 9)
                for sample, one in zip(samples, said, strict=True)
            }
        for factor in FACTORS:
            path, stage = folder / f"{factor:g}.jsonl", f"{recipe}:sweep"
            tagging_attacks.attack_sentences(cell, recipe, samples, factor, path, stage)
        return {"before": before}

    folder, result = cell.work.run(f"sweep-{recipe}", sweep_key(cell.spec, recipe), make, resumable=True)
    parts: dict[float, Sequence[TaggedOutcome]] = {1.0: attacked}
    for factor in FACTORS:
        parts[factor] = list(Journal(folder / f"{factor:g}.jsonl", TaggedOutcome.from_dict).finished.values())
    rows = _rows(parts, samples)
    known = [None if o.status == "error" else result["before"][f"{factor:g}"][o.id] for factor, o in rows]
    made = _table(rows, 1.0, known)
    for place, name in enumerate(("tp", "fp", "fn")):
        made[name] = [(outcome.counts or (None, None, None))[place] for _, outcome in rows]
    return made


def _swept(samples: Sequence[Any]) -> Sequence[Any]:
    return samples[: max(FEWEST, math.ceil(SHARE * len(samples)))]


def _rows(parts: Mapping[float, Sequence[Any]], samples: Sequence[Any]) -> list[tuple[float, Any]]:
    by_id = {factor: {outcome.id: outcome for outcome in outcomes} for factor, outcomes in parts.items()}
    return [(factor, known[s.id]) for factor, known in by_id.items() for s in samples if s.id in known]


def _table(rows: Sequence[tuple[float, Any]], fitted: float, before: Sequence[float | None]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "factor": [float(f"{factor:.6g}") for factor, _ in rows],
            "temperature": [float(f"{fitted * factor:.6g}") for factor, _ in rows],
            "id": [outcome.id for _, outcome in rows],
            "status": [outcome.status for _, outcome in rows],
            "queries": [outcome.queries for _, outcome in rows],
            "p_before": list(before),
        }
    )
