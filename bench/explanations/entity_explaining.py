"""The explain stage of a tagging task: each entity predicted in the first test sentences, and which words carried it.

The metrics are those of texts, asked of the margin at the entity (explain.entities): words are masked in the order of
its attribution, its own and the context's alike, and the margin is watched. `explain` has a row per sentence, the mean
over its entities, because entities of one sentence are no independent examples; `masked_keeps_class` is 1 where every
entity keeps its tags with all words masked, `completeness_error` the largest. A sentence without a predicted entity
is unknown. `entity_attributions` has the scores, a row per entity. Edits and attacks are not compared: they may move
words.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd

from bench.explanations.explaining import CONTROLS
from bench.keys import explain_key
from bench.stages import Cell
from bench.work import subset
from explain import entities, stability
from explain.entities import Entity, Explained
from explain.faithfulness import Faithfulness, faithfulness
from explain.inputs import Encoded, Explainable, encode_words
from explain.metrics import effective_words
from explain.pool import Pool
from explain.questions import Question
from training import ner_metrics, registry
from training.task import Example

Rows = dict[str, list[dict[str, Any]]]
Asked = list[tuple[Entity, Question]]


def why_not(cell: Cell) -> str | None:
    """Why this model's entities cannot be explained; None where they can."""
    if cell.classifier.span_width is None:
        return None
    return (
        "a span head scores pairs of words, so it has no margin at a word to explain; the token head (--head token) has"
    )


def explain(cell: Cell) -> dict[str, pd.DataFrame]:
    """The tables `explain:NAME` and `entity_attributions:NAME` of every explainer."""
    modules = {name: registry.load("explain.methods", name) for name in cell.spec.explainers}

    def make(folder: Path) -> dict[str, Any]:
        classifier = cell.classifier
        model = Explainable(classifier.module, classifier.tokenizer, classifier.max_length)
        rows: Rows = {}
        examples = subset(cell.task.test, cell.spec.sizes.explained)
        for done, example in enumerate(examples, start=1):
            asked = ask(model, example, classifier.labels)
            for name, found in _explain_one(model, modules, example, asked, cell.spec.seed).items():
                rows.setdefault(name, []).extend(found)
            cell.tick("explain", done, len(examples))
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
    return [(entity, entities.question(encoded, logits, entity)) for entity in _predicted(encoded, logits, labels)]


def _predicted(encoded: Encoded, logits: np.ndarray, labels: tuple[str, ...]) -> list[Entity]:
    found = ner_metrics.spans([labels[tag] for tag in logits.argmax(axis=1)])
    return [Entity(first, stop - 1, kind) for kind, first, stop in sorted(found, key=lambda span: span[1])]


def _explain_one(model: Explainable, modules: dict[str, ModuleType], example: Example, asked: Asked, seed: int) -> Rows:
    pool = Pool(model)
    made: dict[str, list[Explained]] = {}
    seconds: dict[str, float] = {}
    for name, module in modules.items():
        started = time.perf_counter()
        made[name] = entities.explain_entities(model, asked, module, seed=seed, pool=pool)
        seconds[name] = time.perf_counter() - started
    flat = [one.attribution for found in made.values() for one in found]
    scored = faithfulness(model, flat, questions=[question for _, question in asked] * len(made), seed=seed, pool=pool)
    rows: Rows = {}
    for place, (name, found) in enumerate(made.items()):
        own = scored[place * len(asked) : (place + 1) * len(asked)]
        agreed = [
            stability.method_agreement({other: made[other][k].attribution.scores for other in made}, name, CONTROLS)
            for k in range(len(asked))
        ]
        spent = seconds[name] if asked else None
        rows[f"explain:{name}"] = [{"id": example.id, "seconds": spent} | _row(found, own, agreed)]
        rows[f"entity_attributions:{name}"] = [_stored(example.id, one) for one in found]
    return rows


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
