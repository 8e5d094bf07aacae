"""The explain stage: attributions of the first attacked texts, their faithfulness, and how far an attack moves them."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import pandas as pd

from attacks.outcome import Outcome, Sample
from bench.attacking import attacked_samples
from bench.keys import explain_key
from bench.stages import Cell
from explain import engine
from explain.attribution import Attribution
from explain.faithfulness import faithfulness
from explain.inputs import Explainable
from explain.metrics import drift
from training import registry


def explain(cell: Cell, attacked: Mapping[str, Outcome]) -> dict[str, pd.DataFrame]:
    """Explainer -> one row per text. `attacked`: outcomes whose adversarial texts the attributions are compared on.

    All explainers go together, because the search for the best word order of a text serves them all.
    """
    modules = {name: registry.load("explain.methods", name) for name in cell.spec.explainers}

    def make(folder: Path) -> dict[str, Any]:
        classifier = cell.classifier
        model = Explainable(classifier.module, classifier.tokenizer, classifier.max_length)
        tables: dict[str, dict[str, list[Any]]] = {name: {} for name in modules}
        samples = attacked_samples(cell)[: cell.spec.sizes.explained]
        for done, sample in enumerate(samples, start=1):
            rows = _explain_one(model, modules, sample, attacked.get(sample.id), cell.spec.seed)
            for name, row in rows.items():
                for column, value in row.items():
                    tables[name].setdefault(column, []).append(value)
            cell.tick("explain", done, len(samples))
        return tables

    _, tables = cell.work.run("explain", explain_key(cell.spec), make)
    return {name: pd.DataFrame(table) for name, table in tables.items()}


def _explain_one(
    model: Explainable, modules: Mapping[str, ModuleType], sample: Sample, outcome: Outcome | None, seed: int
) -> dict[str, dict[str, Any]]:
    attributions: dict[str, Attribution] = {}
    seconds: dict[str, float] = {}
    for name, module in modules.items():
        started = time.perf_counter()
        attributions[name] = engine.explain(model, [sample.text], module, seed=seed)[0]
        seconds[name] = time.perf_counter() - started
    scores = faithfulness(model, list(attributions.values()), seed=seed)
    rows = {}
    for (name, attribution), score in zip(attributions.items(), scores, strict=True):
        tau, shared = _drift(model, modules[name], attribution, outcome, seed)
        rows[name] = {
            "id": sample.id,
            "dnaopc": score.dnaopc,
            "comprehensiveness": score.comprehensiveness,
            "sufficiency": score.sufficiency,
            "masked_keeps_class": score.masked_keeps_class,
            "completeness_error": attribution.completeness_error,
            "drift_tau": tau,
            "drift_words": shared,
            "words": len(attribution.words),
            "seconds": seconds[name],
            "target": attribution.target,
        }
    return rows


def _drift(
    model: Explainable, module: ModuleType, before: Attribution, outcome: Outcome | None, seed: int
) -> tuple[float | None, int | None]:
    """tau-b over the unedited words, for the class predicted before the attack; (None, None) without a pair."""
    if outcome is None or outcome.status != "success" or outcome.perturbed is None:
        return None, None
    after = engine.explain(model, [outcome.perturbed], module, targets=[before.target], seed=seed)[0]
    found = drift(before.words, before.scores, after.words, after.scores)
    return found.tau, found.words
