"""Do two models give the same reasons? Attributions of one cell beside those of another: a second seed, the baseline.

Nothing is explained again: the words' scores that the explain stages wrote are compared, text by text, where both
models predict the same class against the same rival (else the scores answer different questions).

A tagger is asked about entities: those of a sentence are compared that both models predict alike, the same words as the
same type, one by one; the sentence has their mean, because entities of one sentence are no independent examples. That
the rival tags are the same too is not asked: they are not stored, and may differ from word to word.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from bench.keys import code_hash, explain_key, stage_key
from bench.spec import BASELINE, Spec
from bench.stages import Cell
from explain.stability import rank_agreement, top_overlap

SEED, REFERENCE = "seed", "baseline"


def peers(specs: list[Spec]) -> dict[str, dict[str, Spec]]:
    """Spec id -> the cells its attributions are compared with: `seed`, the same arm's next seed, and `baseline`, the
    baseline of the same seed; without those that are not there, or are the cell itself."""
    arms: dict[str, dict[int, Spec]] = {}
    for spec in specs:
        arms.setdefault(_arm(spec), {})[spec.seed] = spec
    chosen: dict[str, dict[str, Spec]] = {}
    for spec in specs:
        seeds = arms[_arm(spec)]
        later = sorted(seeds, key=lambda seed: (seed <= spec.seed, seed))
        found = {SEED: seeds[later[0]]} if later[0] != spec.seed else {}
        same = (spec.task, spec.model, spec.settings["labelled"], spec.seed)
        rivals = [
            s for s in specs
            if s.mitigation == BASELINE and (s.task, s.model, s.settings["labelled"], s.seed) == same
        ]  # fmt: skip
        if rivals and rivals[0].id != spec.id:
            found[REFERENCE] = rivals[0]
        chosen[spec.id] = found
    return chosen


def _arm(spec: Spec) -> str:
    return json.dumps({key: value for key, value in spec.model_dump(mode="json").items() if key != "seed"})


def compare(cell: Cell, others: Mapping[str, Spec]) -> dict[str, pd.DataFrame]:
    """`agreement:EXPLAINER` -> one row per text of this cell's explain stage; unknown where a peer has no attribution.

    Columns id, seed_tau, seed_overlap, baseline_tau, baseline_overlap; unknown too where the models have no class or
    entity in common. Raises FileNotFoundError when this cell's own explain stage is not done.
    """
    stages = {name: cell.work.done("explain", explain_key(spec)) for name, spec in others.items()}
    there = {name: folder for name, folder in stages.items() if folder is not None}
    key = stage_key(
        own=explain_key(cell.spec),
        others={name: explain_key(others[name]) for name in there},
        code=code_hash("bench/explanations/agreement.py", "explain/stability.py"),
    )

    def make(_: Path) -> dict[str, Any]:
        home = cell.work.done("explain", explain_key(cell.spec))
        if home is None:
            raise FileNotFoundError("the explain stage of this cell is not finished")
        own = _attributions(home)
        theirs = {name: _attributions(folder) for name, folder in there.items()}
        tables: dict[str, dict[str, list[Any]]] = {}
        for explainer, texts in own.items():
            rows: dict[str, list[Any]] = {"id": list(texts)}
            for name in (SEED, REFERENCE):
                found = theirs.get(name, {}).get(explainer, {})
                pairs = [_pairs(answers, found.get(text, {})) for text, answers in texts.items()]
                rows[f"{name}_tau"] = [_mean([rank_agreement(*pair) for pair in some]) for some in pairs]
                rows[f"{name}_overlap"] = [_mean([top_overlap(*pair) for pair in some]) for some in pairs]
            tables[f"agreement:{explainer}"] = rows
        return tables

    _, tables = cell.work.run("agreement", key, make)
    return {name: pd.DataFrame(table) for name, table in tables.items()}


# what was asked of a text -> a score per word; the same question has the same words
Answers = dict[tuple[Any, ...], list[float]]


def _attributions(folder: Path) -> dict[str, dict[str, Answers]]:
    """Explainer -> text id -> answers of a finished explain stage; a text of which nothing was asked has none."""
    found: dict[str, dict[str, Answers]] = {}
    for path in sorted(folder.glob("explain-*.parquet")):
        explainer = path.stem.removeprefix("explain-")
        about = pd.read_parquet(path)
        texts = found[explainer] = {str(text): {} for text in about["id"]}
        classes, entities = (folder / f"{kind}-{explainer}.parquet" for kind in ("attributions", "entity_attributions"))
        for text, question, scores in _entities(entities) if entities.is_file() else _classes(classes, about):
            texts[text][question] = scores
    return found


Stored = Iterator[tuple[str, tuple[Any, ...], list[float]]]


def _classes(path: Path, about: pd.DataFrame) -> Stored:
    asked = {str(i): (int(t), int(o)) for i, t, o in zip(about["id"], about["target"], about["other"], strict=True)}
    stored = pd.read_parquet(path)
    for text, version, column in zip(stored["id"], stored["version"], stored["scores"], strict=True):
        if version == "clean":
            scores = json.loads(column)
            yield str(text), (*asked[str(text)], len(scores)), scores


def _entities(path: Path) -> Stored:
    stored = pd.read_parquet(path)
    if stored.empty:  # no sentence has an entity: the table has no columns either
        return
    columns = (stored[name] for name in ("id", "first", "last", "kind", "words", "scores"))
    for text, first, last, kind, words, scores in zip(*columns, strict=True):
        # places are counted among the words that the model sees, so these are a part of the question
        yield str(text), (int(first), int(last), str(kind), str(words)), json.loads(scores)


def _pairs(one: Answers, two: Answers) -> list[tuple[list[float], list[float]]]:
    return [(scores, two[question]) for question, scores in one.items() if question in two]


def _mean(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None
