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
from explain.inputs import Explainable, encode
from explain.metrics import effective_words
from explain.pool import Pool
from explain.questions import Question
from explain.randomisation import randomised
from explain.stability import Drift
from training import registry
from training.task import Example

CONTROLS = ("random",)
CLEAN, ATTACKED = "clean", "attacked"
COSTLY_EVERY = 4
"""Explainers that take dozens of passes a text (COSTLY) answer for the edits of every fourth text: edits are ten texts
for each."""
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
    noise_pool: Pool

    def ask(self, texts: list[str], target: int | None = None, noise: bool = False) -> list[Question]:
        """What is explained of these texts: the predicted class, or `target`; the same for every explainer."""
        model = self.noise if noise else self.model
        targets = None if target is None else [target] * len(texts)
        return engine.predicted(model, [encode(model, text) for text in texts], targets)

    def answer(self, name: str, asked: list[Question], noise: bool = False) -> list[Attribution]:
        model, pool = (self.noise, self.noise_pool) if noise else (self.model, self.pool)
        return engine.answer(model, asked, self.modules[name], seed=self.cell.spec.seed, pool=pool)


@dataclass(frozen=True)
class Asked:
    """One text and its versions, with what is asked of each: asked once, answered by every explainer."""

    clean: list[Question]
    noise: list[Question]
    attacked: list[Question]
    edits: list[edits.Edit]
    edited: list[Question]


def edited_here(module: ModuleType, place: int) -> bool:
    """Whether an explainer is asked about the edits of the text at this place: a costly one of every fourth text."""
    return place % COSTLY_EVERY == 0 or not getattr(module, "COSTLY", False)


def explain(cell: Cell, attacked: Mapping[str, Outcome]) -> dict[str, pd.DataFrame]:
    """The tables `explain:NAME`, `edits:NAME` and `attributions:NAME` of every explainer.

    `attacked`: outcomes whose adversarial texts the attributions are compared on. All explainers go together, because
    the search for the best word order of a text serves them all, and so do its edits.
    """
    modules = {name: registry.load("explain.methods", name) for name in cell.spec.explainers}

    def make(folder: Path) -> dict[str, Any]:
        classifier = cell.classifier
        model = Explainable(classifier.module, classifier.tokenizer, classifier.max_length)
        noise, strong = randomised(model, cell.spec.seed), marks.lexicon_words(cell)
        bench = Bench(cell, model, noise, modules, strong, Pool(model), Pool(noise))
        rows: Rows = {}
        chosen = [e for e in subset(cell.task.test, cell.spec.sizes.attacked) if e.label is not None]
        examples = chosen[: cell.spec.sizes.explained]
        for place, example in enumerate(examples):
            for table, found in _explain_one(bench, example, attacked.get(example.id), place).items():
                rows.setdefault(table, []).extend(found)
            cell.tick("explain", place + 1, len(examples))
        for table, found in rows.items():
            pd.DataFrame(found).to_parquet(folder / f"{table.replace(':', '-')}.parquet")
        return {"tables": list(rows)}

    folder, result = cell.work.run("explain", explain_key(cell.spec), make)
    return {name: pd.read_parquet(folder / f"{name.replace(':', '-')}.parquet") for name in result["tables"]}


def _ask(bench: Bench, example: Example, outcome: Outcome | None) -> Asked:
    """Its own class, by the model that learnt and the one that did not; that class of the text of a successful attack;
    that class of its edits."""
    clean = bench.ask([example.text])
    target = clean[0].targets[0]
    hit = outcome is not None and outcome.status == "success" and outcome.perturbed is not None
    versions = _unchanged(bench.cell, example.text, target)
    return Asked(
        clean=clean,
        noise=bench.ask([example.text], target, noise=True),
        attacked=bench.ask([outcome.perturbed], target) if hit else [],  # type: ignore[union-attr, list-item]
        edits=versions,
        edited=bench.ask([edit.text for edit in versions], target),
    )


def _explain_one(bench: Bench, example: Example, outcome: Outcome | None, place: int) -> Rows:
    asked = _ask(bench, example, outcome)
    attributions: dict[str, Attribution] = {}
    seconds: dict[str, float] = {}
    for name in bench.modules:
        started = time.perf_counter()
        attributions[name] = bench.answer(name, asked.clean)[0]
        seconds[name] = time.perf_counter() - started
    scores = faithfulness(
        bench.model,
        list(attributions.values()),
        questions=asked.clean * len(attributions),
        seed=bench.cell.spec.seed,
        pool=bench.pool,
    )
    every = {name: attribution.scores for name, attribution in attributions.items()}
    found: Rows = {}
    for (name, attribution), score in zip(attributions.items(), scores, strict=True):
        moved = _moved(bench, name, attribution, asked.edited) if edited_here(bench.modules[name], place) else None
        row = {"id": example.id} | _faithful(attribution, score)
        attack = next(iter(bench.answer(name, asked.attacked)), None)
        noise = bench.answer(name, asked.noise, noise=True)[0]
        row |= _stable(attribution, attack, noise, moved)
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
            for edit, one in zip(asked.edits if moved else [], moved or [], strict=True)
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


def _moved(bench: Bench, name: str, before: Attribution, edited: list[Question]) -> list[Drift]:
    after = bench.answer(name, edited)
    return [stability.drift(before.words, before.scores, one.words, one.scores) for one in after]


def _fooled(bench: Bench, name: str, before: Attribution) -> dict[str, float | int | None]:
    """Where the run attacks harder (--adaptive): tau-b after an attack on the explanation, and what it took."""
    cell, near = bench.cell, edits.neighbours(bench.cell.lexicon()) if bench.cell.spec.adaptive else None
    if near is None:
        return {}
    found = explanation_attack.move(
        before,
        near.of,
        lambda texts: cell.classifier.logits(texts).argmax(axis=1),
        lambda texts: bench.answer(name, bench.ask(texts, before.target)),
        cell.spec.seed,
    )
    if found is None:
        return {"attacked_tau": None, "attacked_words": None, "attacked_asked": None}
    return {"attacked_tau": found.tau, "attacked_words": found.swapped, "attacked_asked": found.asked}


def _stable(
    before: Attribution, after: Attribution | None, noise: Attribution, moved: list[Drift] | None
) -> dict[str, float | int | None]:
    """Agreement with the text's adversarial version, its edits, and the attribution by a model that learnt nothing.

    All for the class predicted before. The worst edit is known only where there are as many as were wanted: of fewer
    edits the worst is less bad. moved: None where the explainer was not asked about the edits.
    """
    attack = None if after is None else stability.drift(before.words, before.scores, after.words, after.scores)
    edited = stability.over_edits(moved or [])
    return {
        "drift_tau": attack.tau if attack else None,
        "drift_overlap": attack.overlap if attack else None,
        "drift_words": attack.words if attack else None,
        "edit_tau_worst": edited.worst if edited.edits == edits.WANTED else None,
        "edit_tau": edited.mean,
        "edit_overlap": edited.overlap,
        "edit_coverage": edited.coverage,
        "edits": None if moved is None else edited.edits,
        "randomisation_tau": stability.rank_agreement(before.scores, noise.scores),
    }
