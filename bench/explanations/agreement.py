"""Do two models give the same reasons? Attributions of one cell beside those of another: a second seed, the baseline.

Nothing is explained again: the words' scores that the explain stages wrote are compared, text by text, where both
models predict the same class against the same rival (else the scores answer different questions).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
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

    Columns id, seed_tau, seed_overlap, baseline_tau, baseline_overlap. Raises FileNotFoundError when this cell's own
    explain stage is not done.
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
                pairs = [_pair(scores, found.get(text)) for text, scores in texts.items()]
                rows[f"{name}_tau"] = [None if pair is None else rank_agreement(*pair) for pair in pairs]
                rows[f"{name}_overlap"] = [None if pair is None else top_overlap(*pair) for pair in pairs]
            tables[f"agreement:{explainer}"] = rows
        return tables

    _, tables = cell.work.run("agreement", key, make)
    return {name: pd.DataFrame(table) for name, table in tables.items()}


Scores = tuple[tuple[int, int], list[float]]


def _attributions(folder: Path) -> dict[str, dict[str, Scores]]:
    """Explainer -> text id -> ((target, rival), scores) of a finished explain stage."""
    found: dict[str, dict[str, Scores]] = {}
    for path in sorted(folder.glob("attributions-*.parquet")):
        explainer = path.stem.removeprefix("attributions-")
        about = pd.read_parquet(folder / f"explain-{explainer}.parquet")
        asked = {str(i): (int(t), int(o)) for i, t, o in zip(about["id"], about["target"], about["other"], strict=True)}
        stored = pd.read_parquet(path)
        clean = stored[stored["version"] == "clean"]
        found[explainer] = {
            str(text): (asked[str(text)], json.loads(scores))
            for text, scores in zip(clean["id"], clean["scores"], strict=True)
        }
    return found


def _pair(one: Scores, two: Scores | None) -> tuple[list[float], list[float]] | None:
    return (one[1], two[1]) if two is not None and one[0] == two[0] and len(one[1]) == len(two[1]) else None
