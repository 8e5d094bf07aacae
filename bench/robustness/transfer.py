"""The transfer stage: the adversarial texts of every arm, scored on every arm's model. It costs forward passes only.

Of texts with one label it is seen whether the model is right, of tagged sentences what entities it finds (strict).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from attacks.entities import span_counts
from attacks.outcome import Outcome
from attacks.tagged import TaggedOutcome
from bench.keys import attack_key, attack_mode, stage_key, train_key
from bench.spec import BASELINE, Spec
from bench.stages import Cell
from bench.work import read_lines


def donors(specs: Sequence[Spec]) -> dict[str, tuple[Spec, ...]]:
    """spec id -> of every arm on the same task, model and labels its Spec of the next seed, the baseline's first.

    The donor's seed differs from the scored one's for every arm, the own one included, so that no model is scored on
    texts made against itself. Arms without another seed donate nothing.
    """
    seeds: dict[tuple[Any, ...], dict[str, dict[int, Spec]]] = {}
    for spec in specs:
        seeds.setdefault(_group(spec), {}).setdefault(spec.mitigation, {})[spec.seed] = spec
    chosen = {}
    for spec in specs:
        found = []
        for _, by_seed in sorted(seeds[_group(spec)].items(), key=lambda arm: (arm[0] != BASELINE, arm[0])):
            others = sorted(by_seed.keys() - {spec.seed}, key=lambda seed: (seed < spec.seed, seed))
            found += [by_seed[others[0]]] if others else []
        chosen[spec.id] = tuple(found)
    return chosen


def transfer(cell: Cell, donors: Sequence[Spec], recipe: str) -> pd.DataFrame:
    """Scores this victim on the texts that fooled the donors under calibrated attack; columns donor, id, correct.

    For tagging, columns donor, id and `tp`, `fp`, `fn`: strict entity counts of the sentences that fooled the donors.
    `donor` is the mitigation the texts were made against. A donor that is not attacked yet, or could not be, has no
    rows. Raises FileNotFoundError when that is the baseline: the column that every board shows rests on it.
    """
    mode = attack_mode(recipe)
    keys = {donor.mitigation: attack_key(donor, recipe, mode) for donor in donors}
    folders = {name: cell.work.done(f"attack-{recipe}-{mode}", key) for name, key in keys.items()}
    if missing := [donor for donor in donors if donor.mitigation == BASELINE and folders[BASELINE] is None]:
        raise FileNotFoundError(f"the baseline of seed {missing[0].seed} has not been attacked with {recipe}")
    there = {name: folder for name, folder in folders.items() if folder is not None}

    def make(_: Path) -> dict[str, Any]:
        score = _tagged if cell.task.kind == "tagging" else _classified
        return score(cell, [(name, row) for name, folder in there.items() for row in _fooled(folder)])

    key = stage_key(train=train_key(cell.spec), donors={name: keys[name] for name in there})
    return pd.DataFrame(cell.work.run(f"transfer-{recipe}", key, make)[1])


def _group(spec: Spec) -> tuple[Any, ...]:
    return (spec.task, spec.model, spec.settings["labelled"])


def _fooled(folder: Path) -> list[dict[str, Any]]:
    return [row for row in read_lines(folder / "outcomes.jsonl") if row["status"] == "success"]


def _classified(cell: Cell, fooled: Sequence[tuple[str, dict[str, Any]]]) -> dict[str, Any]:
    rows = [(name, Outcome.from_dict(row)) for name, row in fooled]
    texts = sorted({str(outcome.perturbed) for _, outcome in rows})
    predicted = dict(zip(texts, cell.classifier.logits(texts).argmax(axis=1) if texts else (), strict=True))
    return {
        "donor": [name for name, _ in rows],
        "id": [outcome.id for _, outcome in rows],
        "correct": [bool(predicted[str(outcome.perturbed)] == outcome.label) for _, outcome in rows],
    }


def _tagged(cell: Cell, fooled: Sequence[tuple[str, dict[str, Any]]]) -> dict[str, Any]:
    rows = [(name, TaggedOutcome.from_dict(row)) for name, row in fooled]
    sentences = sorted({outcome.perturbed or () for _, outcome in rows})
    predicted = dict(zip(sentences, cell.classifier.tags(sentences) if sentences else (), strict=True))
    counts = [span_counts(o.perturbed_gold or (), predicted[o.perturbed or ()]) for _, o in rows]
    found = {"donor": [name for name, _ in rows], "id": [outcome.id for _, outcome in rows]}
    return {**found, **{name: [one[i] for one in counts] for i, name in enumerate(("tp", "fp", "fn"))}}
