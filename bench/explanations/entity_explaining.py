"""The explain stage of a tagging task: each entity predicted in the first test sentences, and which words carried it.

The metrics are those of texts, asked of the margin at the entity (explain.entities): words are masked in the order of
its attribution, its own and the context's alike, and the margin is watched. `explain` has a row per sentence, the mean
over its entities, because entities of one sentence are no independent examples; `masked_keeps_class` is 1 where every
entity keeps its tags with all words masked, `completeness_error` the largest. A sentence without a predicted entity
is unknown. `entity_attributions` has the scores, a row per entity. Plausibility (marks.on_entity) is over the entities
that are in the data as they were predicted.

How far attributions move is asked as of texts (explaining.py): of edits of the context that leave every predicted
entity as it is, of the sentence of a successful attack, of a model that learnt nothing. The margin asked about is that
of the sentence as it was, at the same words. An attack makes some entity wrong: `unchanged_tau` is over the entities
that are predicted as before, `drift_tau` over all whose own words the attack left alone (`attacked_entities` has them,
a row per entity). Words that were replaced one by one keep their places; where an attack changed their number they are
aligned by difflib.
"""

from __future__ import annotations

import functools
import json
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd

from attacks.entities import spans
from attacks.tagged import TaggedOutcome
from bench.explanations import edits, marks
from bench.explanations.entity_versions import Asked, Drifts, Version, drifts, predicted, versions
from bench.explanations.explaining import CONTROLS, edited_here
from bench.keys import explain_key
from bench.stages import Cell
from bench.work import subset
from explain import entities, stability
from explain.attribution import Attribution
from explain.engine import answer
from explain.entities import Explained
from explain.faithfulness import Faithfulness, faithfulness
from explain.inputs import Explainable, encode_words
from explain.metrics import effective_words
from explain.pool import Pool
from explain.questions import Question
from explain.randomisation import randomised
from training import registry
from training.task import Example

Rows = dict[str, list[dict[str, Any]]]


@dataclass(frozen=True)
class Bench:
    """What every sentence is explained with: the model, its randomised twin, the explainers."""

    model: Explainable
    pool: Pool
    noise_pool: Pool
    modules: Mapping[str, ModuleType]
    labels: tuple[str, ...]
    seed: int


@dataclass(frozen=True)
class Around:
    """One sentence's changed versions: its edits, of which every entity is left, and that of a successful attack."""

    edits: list[edits.WordsEdit]
    edited: list[Version]
    attacked: Version | None


def why_not(cell: Cell) -> str | None:
    """Why this model's entities cannot be explained; None where they can."""
    if cell.classifier.span_width is None:
        return None
    return (
        "a span head scores pairs of words, so it has no margin at a word to explain; the token head (--head token) has"
    )


def explain(cell: Cell, attacked: Mapping[str, TaggedOutcome]) -> dict[str, pd.DataFrame]:
    """The tables `explain:NAME`, `edits:NAME`, `entity_attributions:NAME` and `attacked_entities:NAME` of every
    explainer. `attacked`: outcomes whose adversarial sentences the attributions are compared on."""
    modules = {name: registry.load("explain.methods", name) for name in cell.spec.explainers}

    def make(folder: Path) -> dict[str, Any]:
        classifier, seed = cell.classifier, cell.spec.seed
        model = Explainable(classifier.module, classifier.tokenizer, classifier.max_length)
        bench = Bench(model, Pool(model), Pool(randomised(model, seed)), modules, classifier.labels, seed)
        rows: Rows = {}
        examples = subset(cell.task.test, cell.spec.sizes.explained)
        for place, example in enumerate(examples):
            asked = ask(model, example, classifier.labels)
            around = _around(bench, cell, example, asked, attacked.get(example.id))
            for name, found in _explain_one(bench, example, asked, around, place).items():
                rows.setdefault(name, []).extend(found)
            cell.tick("explain", place + 1, len(examples))
        for name, found in rows.items():
            pd.DataFrame(found).to_parquet(folder / f"{name.replace(':', '-')}.parquet")
        return {"tables": list(rows)}

    folder, result = cell.work.run("explain", explain_key(cell.spec), make)
    return {name: pd.read_parquet(folder / f"{name.replace(':', '-')}.parquet") for name in result["tables"]}


def ask(model: Explainable, example: Example, labels: tuple[str, ...]) -> Asked:
    """The predicted entities of a sentence, each with the margin to explain; none where the model sees no word."""
    try:
        encoded = encode_words(model, example.words)
    except ValueError:  # a sentence of no visible character has no entity
        return []
    logits = entities.tag_logits(model, [encoded])[0]
    return [(entity, entities.question(encoded, logits, entity)) for entity in predicted(logits, labels)]


def _around(bench: Bench, cell: Cell, example: Example, asked: Asked, outcome: TaggedOutcome | None) -> Around:
    if not asked:
        return Around([], [], None)
    gold = spans([bench.labels[tag] for tag in example.tags])
    # the entities of the data, so that edits are the same for every model
    fixed = {place for _, first, stop in gold for place in range(first, stop)}
    candidates = edits.of_words(example.words, fixed, cell.lexicon())
    changed = versions(bench.model, asked, [edit.words for edit in candidates], bench.labels)
    alike = [all(one.kept) and None not in one.questions for one in changed]
    chosen = edits.choose(candidates, alike)
    made = dict(zip(candidates, changed, strict=True))
    hit = outcome.perturbed if outcome is not None and outcome.status == "success" else None
    found = versions(bench.model, asked, [hit], bench.labels) if hit else []
    return Around(chosen, [made[edit] for edit in chosen], found[0] if found else None)


def _explain_one(bench: Bench, example: Example, asked: Asked, around: Around, place: int) -> Rows:
    made: dict[str, list[Explained]] = {}
    seconds: dict[str, float] = {}
    for name, module in bench.modules.items():
        started = time.perf_counter()
        made[name] = entities.explain_entities(bench.model, asked, module, seed=bench.seed, pool=bench.pool)
        seconds[name] = time.perf_counter() - started
    flat = [one.attribution for found in made.values() for one in found]
    questions = [question for _, question in asked] * len(made)
    scored = faithfulness(bench.model, flat, questions=questions, seed=bench.seed, pool=bench.pool)
    rows: Rows = {}
    for number, (name, found) in enumerate(made.items()):
        own = scored[number * len(asked) : (number + 1) * len(asked)]
        agreed = [
            stability.method_agreement({other: made[other][k].attribution.scores for other in made}, name, CONTROLS)
            for k in range(len(asked))
        ]
        row = {"id": example.id, "seconds": seconds[name] if asked else None} | _row(found, own, agreed)
        row |= _plausible(found, spans([bench.labels[tag] for tag in example.tags]))
        ours = functools.partial(_answer, bench, name)
        moved = drifts(found, around.edited, ours) if edited_here(bench.modules[name], place) else None
        attacked = next(iter(drifts(found, [around.attacked] if around.attacked else [], ours)), [])
        row |= _attacked(attacked, around.attacked) | _edited(moved, len(found))
        row["randomisation_tau"] = _randomised(bench, name, found, asked)
        rows[f"explain:{name}"] = [row]
        rows[f"edits:{name}"] = [
            {"id": example.id, "kind": edit.kind, "text": edit.text, "tau": _mean([one.tau for one, _ in by_entity])}
            | {"overlap": _mean([one.overlap for one, _ in by_entity])}
            | {"coverage": _mean([one.coverage for one, _ in by_entity])}
            for edit, by_entity in zip(around.edits if moved else [], moved or [], strict=True)
        ]
        rows[f"entity_attributions:{name}"] = [_stored(example.id, one) for one in found]
        rows[f"attacked_entities:{name}"] = _stored_attack(example.id, found, attacked, around.attacked)
    return rows


def _answer(bench: Bench, name: str, asked: list[Question]) -> list[Attribution]:
    return answer(bench.model, asked, bench.modules[name], seed=bench.seed, pool=bench.pool)


def _edited(moved: list[Drifts] | None, count: int) -> dict[str, float | int | None]:
    """The mean over entities of what explaining.py says of a text; each of the edits has every entity. None: the
    explainer was not asked."""
    each = [stability.over_edits([by_entity[k][0] for by_entity in moved or []]) for k in range(count)]
    full = [one.worst if one.edits == edits.WANTED else None for one in each]
    return {
        "edit_tau_worst": _mean(full),
        "edit_tau": _mean([one.mean for one in each]),
        "edit_overlap": _mean([one.overlap for one in each]),
        "edit_coverage": _mean([one.coverage for one in each]),
        "edits": len(moved) if moved is not None and count else None,
    }


def _attacked(moved: Drifts, version: Version | None) -> dict[str, float | None]:
    kept = [] if version is None else [k for q, k in zip(version.questions, version.kept, strict=True) if q is not None]
    return {
        "drift_tau": _mean([one.tau for one, _ in moved]),
        "drift_overlap": _mean([one.overlap for one, _ in moved]),
        "drift_words": _mean([float(one.words) for one, _ in moved]),
        "unchanged_tau": _mean([one.tau for (one, _), alike in zip(moved, kept, strict=True) if alike]),
    }


def _randomised(bench: Bench, name: str, found: list[Explained], asked: Asked) -> float | None:
    """tau-b with the attribution of the same margin by a model that learnt nothing."""
    noise, module = bench.noise_pool, bench.modules[name]
    made = answer(noise.model, [question for _, question in asked], module, seed=bench.seed, pool=noise)
    pairs = zip(found, made, strict=True)
    return _mean([stability.rank_agreement(one.attribution.scores, then.scores) for one, then in pairs])


def _row(found: list[Explained], scored: list[Faithfulness], agreed: list[float | None]) -> dict[str, float | None]:
    errors = [one.attribution.completeness_error for one in found]
    return {
        "entities": len(found),
        "dnaopc": _mean([one.dnaopc for one in scored]),
        "faithfulness_correlation": _mean([one.correlation for one in scored]),
        "comprehensiveness": _mean([one.comprehensiveness for one in scored]),
        "sufficiency": _mean([one.sufficiency for one in scored]),
        "masked_keeps_class": float(all(one.masked_keeps_class for one in scored)) if scored else None,
        "completeness_error": max((error for error in errors if error is not None), default=None),
        "self_share": _mean([one.self_share for one in found]),
        "effective_words": _mean([effective_words(one.attribution.scores) for one in found]),
        "method_agreement": _mean(agreed),
    }


def _plausible(found: list[Explained], gold: Collection[tuple[str, int, int]]) -> dict[str, float | None]:
    right = [e for e in found if (e.entity.kind, e.entity.first, e.entity.last + 1) in gold]
    each = [marks.on_entity(one.attribution.scores, one.entity.first, one.entity.last) for one in right]
    return {name: _mean([one[name] for one in each]) for name in ("own_words_ap", "own_words_f1")}


def _mean(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def _stored(sentence: str, one: Explained) -> dict[str, Any]:
    """Words and scores as JSON lists: a parquet column of lists comes back as something else."""
    made = one.attribution
    return {
        "id": sentence,
        "first": one.entity.first,
        "last": one.entity.last,
        "kind": one.entity.kind,
        "margin": made.margin,
        "self_share": one.self_share,
        "words": json.dumps(made.words),
        "scores": json.dumps([round(score, 6) for score in made.scores]),
    }


def _stored_attack(
    sentence: str, found: list[Explained], moved: Drifts, version: Version | None
) -> list[dict[str, Any]]:
    """The entities of an attacked sentence whose own words were left alone; `kept`: predicted as before."""
    if version is None:
        return []
    there = [
        (one.entity, kept)
        for one, asked, kept in zip(found, version.questions, version.kept, strict=True)
        if asked is not None
    ]
    return [
        {"id": sentence, "first": entity.first, "last": entity.last, "kind": entity.kind, "kept": kept}
        | {"tau": drift.tau, "overlap": drift.overlap, "coverage": drift.coverage, "words": json.dumps(after.words)}
        | {"scores": json.dumps([round(score, 6) for score in after.scores])}
        for (entity, kept), (drift, after) in zip(there, moved, strict=True)
    ]
