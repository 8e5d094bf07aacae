"""The explain stage: attributions of the first attacked texts, how faithful they are, and how far they move.

Tables, one of each per explainer: `explain` has a row per text, `edits` a row per edited version of one (see
edits.py), `attributions` the scores themselves, of each text and of its adversarial version, from which pictures are
drawn and other models' attributions compared with.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pandas as pd

from attacks.outcome import Outcome
from bench.explanations import edits, explanation_attack, marks
from bench.keys import explain_key
from bench.stages import Cell
from bench.work import subset
from explain import engine, stability
from explain.attribution import Attribution
from explain.faithfulness import Faithfulness, faithfulness
from explain.inputs import Explainable
from explain.metrics import effective_words
from explain.pool import Pool
from explain.randomisation import randomised
from explain.stability import Drift
from training import registry
from training.task import Example

CONTROLS = ("random",)
CLEAN, ATTACKED = "clean", "attacked"
Rows = dict[str, list[dict[str, Any]]]


@dataclass(frozen=True)
class Bench:
    """What every text is explained with: the model, its randomised twin, the explainers, the lexicon's words."""

    cell: Cell
    model: Explainable
    noise: Explainable
    modules: Mapping[str, ModuleType]
    lexicon: frozenset[str]
    pool: Pool

    def attribute(
        self, name: str, texts: list[str], target: int | None = None, noise: bool = False
    ) -> list[Attribution]:
        targets = None if target is None else [target] * len(texts)
        model = self.noise if noise else self.model
        pool = None if noise else self.pool
        return engine.explain(model, texts, self.modules[name], targets=targets, seed=self.cell.spec.seed, pool=pool)


def explain(cell: Cell, attacked: Mapping[str, Outcome]) -> dict[str, pd.DataFrame]:
    """The tables `explain:NAME`, `edits:NAME` and `attributions:NAME` of every explainer.

    `attacked`: outcomes whose adversarial texts the attributions are compared on. All explainers go together, because
    the search for the best word order of a text serves them all, and so do its edits.
    """
    modules = {name: registry.load("explain.methods", name) for name in cell.spec.explainers}

    def make(folder: Path) -> dict[str, Any]:
        classifier = cell.classifier
        model = Explainable(classifier.module, classifier.tokenizer, classifier.max_length)
        bench = Bench(cell, model, randomised(model, cell.spec.seed), modules, marks.lexicon_words(cell), Pool(model))
        rows: Rows = {}
        chosen = [e for e in subset(cell.task.test, cell.spec.sizes.attacked) if e.label is not None]
        examples = chosen[: cell.spec.sizes.explained]
        for done, example in enumerate(examples, start=1):
            for table, found in _explain_one(bench, example, attacked.get(example.id)).items():
                rows.setdefault(table, []).extend(found)
            cell.tick("explain", done, len(examples))
        for table, found in rows.items():
            pd.DataFrame(found).to_parquet(folder / f"{table.replace(':', '-')}.parquet")
        return {"tables": list(rows)}

    folder, result = cell.work.run("explain", explain_key(cell.spec), make)
    return {name: pd.read_parquet(folder / f"{name.replace(':', '-')}.parquet") for name in result["tables"]}


def _explain_one(bench: Bench, example: Example, outcome: Outcome | None) -> Rows:
    attributions: dict[str, Attribution] = {}
    seconds: dict[str, float] = {}
    for name in bench.modules:
        started = time.perf_counter()
        attributions[name] = bench.attribute(name, [example.text])[0]
        seconds[name] = time.perf_counter() - started
    scores = faithfulness(bench.model, list(attributions.values()), seed=bench.cell.spec.seed, pool=bench.pool)
    every = {name: attribution.scores for name, attribution in attributions.items()}
    target = next(iter(attributions.values())).target
    versions = _unchanged(bench.cell, example.text, target)
    found: Rows = {}
    for (name, attribution), score in zip(attributions.items(), scores, strict=True):
        moved = _moved(bench, name, attribution, versions)
        row = {"id": example.id} | _faithful(attribution, score)
        attack = _attacked(bench, name, attribution, outcome)
        row |= _stable(bench, name, attribution, attack, moved)
        row |= _fooled(bench, name, attribution)
        row |= marks.plausibility(attribution, example, bench.lexicon)
        row["effective_words"] = effective_words(attribution.scores)
        row["method_agreement"] = stability.method_agreement(every, name, CONTROLS)
        row |= {"words": len(attribution.words), "seconds": seconds[name], "target": attribution.target}
        row["other"] = attribution.other
        found[f"explain:{name}"] = [row]
        found[f"edits:{name}"] = [
            {"id": example.id, "kind": edit.kind, "text": edit.text, "tau": one.tau, "overlap": one.overlap}
            | {"coverage": one.coverage}
            for edit, one in zip(versions, moved, strict=True)
        ]
        versions_of = {CLEAN: attribution} | ({} if attack is None else {ATTACKED: attack})
        found[f"attributions:{name}"] = [_stored(example.id, *one) for one in versions_of.items()]
    return found


def _stored(text: str, version: str, attribution: Attribution) -> dict[str, str]:
    """As JSON lists: a parquet column of lists comes back as something else."""
    scores = [round(score, 6) for score in attribution.scores]
    return {"id": text, "version": version, "words": json.dumps(attribution.words), "scores": json.dumps(scores)}


def _faithful(attribution: Attribution, score: Faithfulness) -> dict[str, Any]:
    return {
        "dnaopc": score.dnaopc,
        "faithfulness_correlation": score.correlation,
        "comprehensiveness": score.comprehensiveness,
        "sufficiency": score.sufficiency,
        "masked_keeps_class": score.masked_keeps_class,
        "completeness_error": attribution.completeness_error,
    }


def _unchanged(cell: Cell, text: str, target: int) -> list[edits.Edit]:
    """The text's edits that this model puts into the same class as the text."""
    found = edits.candidates(text, cell.lexicon())
    if not found:
        return []
    predicted = cell.classifier.logits([edit.text for edit in found]).argmax(axis=1)
    return edits.choose(found, [int(one) == target for one in predicted])


def _moved(bench: Bench, name: str, before: Attribution, versions: list[edits.Edit]) -> list[Drift]:
    if not versions:
        return []
    after = bench.attribute(name, [edit.text for edit in versions], before.target)
    return [stability.drift(before.words, before.scores, one.words, one.scores) for one in after]


def _attacked(bench: Bench, name: str, before: Attribution, outcome: Outcome | None) -> Attribution | None:
    """The attribution of a successful attack's text, for the class predicted before it."""
    if outcome is None or outcome.status != "success" or outcome.perturbed is None:
        return None
    return bench.attribute(name, [outcome.perturbed], before.target)[0]


def _fooled(bench: Bench, name: str, before: Attribution) -> dict[str, float | int | None]:
    """Where the run attacks harder (--adaptive): tau-b after an attack on the explanation, and what it took."""
    cell, near = bench.cell, edits.neighbours(bench.cell.lexicon()) if bench.cell.spec.adaptive else None
    if near is None:
        return {}
    found = explanation_attack.move(
        before,
        near.of,
        lambda texts: cell.classifier.logits(texts).argmax(axis=1),
        lambda texts: bench.attribute(name, texts, before.target),
        cell.spec.seed,
    )
    if found is None:
        return {"attacked_tau": None, "attacked_words": None, "attacked_asked": None}
    return {"attacked_tau": found.tau, "attacked_words": found.swapped, "attacked_asked": found.asked}


def _stable(
    bench: Bench, name: str, before: Attribution, after: Attribution | None, moved: list[Drift]
) -> dict[str, float | int | None]:
    """Agreement with the text's adversarial version, its edits, and the attribution by a model that learnt nothing.

    All for the class predicted before. The worst edit is known only where there are as many as were wanted: of fewer
    edits the worst is less bad.
    """
    attack = None if after is None else stability.drift(before.words, before.scores, after.words, after.scores)
    edited = stability.over_edits(moved)
    noise = bench.attribute(name, [before.text], before.target, noise=True)[0]
    return {
        "drift_tau": attack.tau if attack else None,
        "drift_overlap": attack.overlap if attack else None,
        "drift_words": attack.words if attack else None,
        "edit_tau_worst": edited.worst if edited.edits == edits.WANTED else None,
        "edit_tau": edited.mean,
        "edit_overlap": edited.overlap,
        "edit_coverage": edited.coverage,
        "edits": edited.edits,
        "randomisation_tau": stability.rank_agreement(before.scores, noise.scores),
    }
