"""The attack stages of a cell: every recipe at both temperatures, and the transfer of another cell's texts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from attacks import engine as attack_engine
from attacks.outcome import Outcome, Sample
from bench import stages
from bench.keys import attack_key, stage_key, train_key
from bench.spec import Spec
from bench.stages import Cell
from bench.work import append_line, read_lines, subset
from training import registry


def attacked_samples(cell: Cell) -> list[Sample]:
    """The texts every arm is attacked on: the first of the test split's fixed order."""
    chosen = subset(cell.task.test, cell.spec.sizes.attacked)
    return [Sample(example.id, example.text, example.label) for example in chosen if example.label is not None]


def attack(cell: Cell, recipe: str, mode: str) -> tuple[list[Outcome], dict[str, Any]]:
    """Attacks the fixed sample, `mode` "calibrated" or "raw"; continues where a killed run stopped."""
    module = registry.load("attacks.recipes", recipe)
    samples, stage = attacked_samples(cell), f"{recipe}:{mode}"

    def make(folder: Path) -> dict[str, Any]:
        path = folder / "outcomes.jsonl"
        finished = {row["id"]: Outcome.from_dict(row) for row in read_lines(path)}
        temperature = stages.evaluate(cell)[0]["temperature"] if mode == "calibrated" else 1.0
        done = len(finished)

        def record(outcome: Outcome) -> None:
            nonlocal done
            done += 1
            append_line(path, outcome.to_dict())
            cell.tick(stage, done, len(samples))

        attack_engine.attack(
            cell.victim.with_temperature(temperature),
            samples,
            module,
            lexicon=cell.lexicon(),
            budget_per_word=cell.spec.budget_per_word,
            seed=cell.spec.seed,
            finished=finished,
            on_outcome=record,
        )
        _still_fool(cell, [Outcome.from_dict(row) for row in read_lines(path)])
        return attack_engine.fingerprint(module, cell.lexicon(), cell.spec.budget_per_word)

    name = f"attack-{recipe}-{mode}"
    folder, fingerprint = cell.work.run(name, attack_key(cell.spec, recipe, mode), make, resumable=True)
    by_id = {row["id"]: Outcome.from_dict(row) for row in read_lines(folder / "outcomes.jsonl")}
    return [by_id[sample.id] for sample in samples], fingerprint


def _still_fool(cell: Cell, outcomes: list[Outcome]) -> None:
    """Raises RuntimeError unless every stored adversarial text fools a checkpoint that is opened afresh."""
    fooled = [o for o in outcomes if o.status == "success" and o.perturbed is not None]
    if not fooled:
        return
    predicted = cell.open_checkpoint().logits([str(o.perturbed) for o in fooled]).argmax(axis=1)
    weak = sum(int(p == o.label) for p, o in zip(predicted, fooled, strict=True))
    if weak:
        raise RuntimeError(f"{weak} of {len(fooled)} stored adversarial texts do not fool the reloaded checkpoint")


def outcome_table(outcomes: list[Outcome]) -> pd.DataFrame:
    """One row per attacked text; probabilities are those of the gold label."""

    def of_label(probabilities: tuple[float, ...] | None, label: int) -> float | None:
        return None if not probabilities else round(probabilities[label], 6)

    rows = [
        {
            "id": o.id,
            "status": o.status,
            "text": o.text,
            "perturbed": o.perturbed,
            "label": o.label,
            "p_before": of_label(o.probabilities_before, o.label),
            "p_after": of_label(o.probabilities_after, o.label),
            "queries": o.queries,
            "words": o.words,
            "words_changed": o.words_changed,
            "seconds": o.seconds,
            "error": o.error,
        }
        for o in outcomes
    ]
    return pd.DataFrame(rows)


def transfer(cell: Cell, donor: Spec, recipe: str) -> pd.DataFrame:
    """Scores this victim on the texts that fooled the baseline of another seed; columns id, correct."""
    key = stage_key(train=train_key(cell.spec), donor=attack_key(donor, recipe, "calibrated"))

    def make(folder: Path) -> dict[str, Any]:
        donor_folder = cell.work.done(f"attack-{recipe}-calibrated", attack_key(donor, recipe, "calibrated"))
        if donor_folder is None:
            raise FileNotFoundError(f"the baseline of seed {donor.seed} has not been attacked with {recipe}")
        outcomes = [Outcome.from_dict(row) for row in read_lines(donor_folder / "outcomes.jsonl")]
        fooled = [o for o in outcomes if o.status == "success" and o.perturbed is not None]
        logits = cell.classifier.logits([str(o.perturbed) for o in fooled]) if fooled else np.empty((0, 2))
        correct = [bool(row.argmax() == o.label) for row, o in zip(logits, fooled, strict=True)]
        return {"id": [o.id for o in fooled], "correct": correct}

    return pd.DataFrame(cell.work.run(f"transfer-{recipe}", key, make)[1])
