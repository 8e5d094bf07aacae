"""The attack stages of a cell: every recipe at both temperatures, and what its successes did to the texts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from attacks import engine as attack_engine
from attacks import grammar, originals
from attacks.lexicon import Lexicon
from attacks.outcome import Outcome, Sample
from bench import stages
from bench.keys import attack_key, stage_key
from bench.stages import Cell
from bench.work import Journal, subset
from training import registry

CHECKER = "language_tool"


def attacked_samples(cell: Cell, times: int = 1) -> list[Sample]:
    """The texts every arm is attacked on: the first of the test split's fixed order, `times` as many as asked."""
    chosen = subset(cell.task.test, times * cell.spec.sizes.attacked)
    return [Sample(example.id, example.text, example.label) for example in chosen if example.label is not None]


def ranked(recipe: str) -> bool:
    """Whether a recipe counts in the worst case and in transfer; one with RANKED = False is shown beside them."""
    return bool(getattr(registry.load("attacks.recipes", recipe), "RANKED", True))


def temperature(cell: Cell) -> float:
    """The temperature fitted on validation; the evaluate stage must be done."""
    return float(stages.evaluate(cell)[0]["temperature"])


def attack(cell: Cell, recipe: str, mode: str) -> tuple[list[Outcome], dict[str, Any]]:
    """Attacks the fixed sample, `mode` "calibrated" or "raw"; continues where a killed run stopped."""
    spec = cell.spec
    samples = attacked_samples(cell, getattr(registry.load("attacks.recipes", recipe), "TIMES", 1))

    def make(folder: Path) -> dict[str, Any]:
        at = temperature(cell) if mode == "calibrated" else 1.0
        outcomes = attack_texts(cell, recipe, samples, at, folder / "outcomes.jsonl", f"{recipe}:{mode}")
        if ranked(recipe):  # what the others call a success need not fool the victim as a text
            still_fool(cell, outcomes)
        module = registry.load("attacks.recipes", recipe)
        found = attack_engine.fingerprint(module, cell.lexicon(), spec.budget_per_word, spec.regime)
        return {**found, **({} if ranked(recipe) else {"ranked": False})}

    name = f"attack-{recipe}-{mode}"
    folder, fingerprint = cell.work.run(name, attack_key(spec, recipe, mode), make, resumable=True)
    by_id = Journal(folder / "outcomes.jsonl", Outcome.from_dict).finished
    return [by_id[sample.id] for sample in samples], fingerprint


def attack_texts(
    cell: Cell, recipe: str, samples: Sequence[Sample], at: float, path: Path, stage: str, *, seed: int | None = None,
    budget: int | None = None,
) -> list[Outcome]:  # fmt: skip
    """One Outcome per sample at the temperature `at`, each written to `path` at once; those in there are kept."""
    journal = Journal(path, Outcome.from_dict, lambda done: cell.tick(stage, done, len(samples)))
    return attack_engine.attack(
        cell.victim.with_temperature(at),
        samples,
        registry.load("attacks.recipes", recipe),
        lexicon=cell.lexicon(),
        budget_per_word=budget or cell.spec.budget_per_word,
        seed=cell.spec.seed if seed is None else seed,
        finished=journal.finished,
        on_outcome=journal.append,
        regime=cell.spec.regime,
    )


def still_fool(cell: Cell, outcomes: list[Outcome]) -> None:
    """Raises RuntimeError unless every stored adversarial text fools a checkpoint that is opened afresh."""
    fooled = [o for o in outcomes if o.status == "success" and o.perturbed is not None]
    if not fooled:
        return
    predicted = cell.open_checkpoint().logits([str(o.perturbed) for o in fooled]).argmax(axis=1)
    weak = sum(int(p == o.label) for p, o in zip(predicted, fooled, strict=True))
    if weak:
        raise RuntimeError(f"{weak} of {len(fooled)} stored adversarial texts do not fool the reloaded checkpoint")


def quality(cell: Cell, recipe: str, mode: str, outcomes: list[Outcome]) -> dict[str, dict[str, float | None]]:
    """Sample id -> what the success did to the text, as far as the lexicon can say.

    `similarity`: cosine of the two texts in the lexicon's sentence encoder, -1 to 1. `perplexity_before` and
    `perplexity_after`: of the lexicon's n-gram model, > 0. `replaced` and `retagged`: words that took another's place,
    and those of them whose part of speech is not that place's (`attacks.grammar`), by the lexicon's tagger.
    `errors_before` and `errors_after`: what LanguageTool finds, where it is on this machine. A column whose part the
    lexicon lacks is not there.
    """

    def make(_: Path) -> dict[str, Any]:
        return judge_texts(cell.lexicon(), [o for o in outcomes if o.status == "success"])

    checker = originals.fingerprints({CHECKER} & set(cell.lexicon().parts))
    key = stage_key(quality=attack_key(cell.spec, recipe, mode), checker=checker)
    return cell.work.run(f"quality-{recipe}-{mode}", key, make)[1]


def judge_texts(lexicon: Lexicon, successes: Sequence[Outcome]) -> dict[str, dict[str, float | None]]:
    """Sample id -> what one success did to its text, see `quality`."""
    found: dict[str, dict[str, float | None]] = {o.id: {} for o in successes}
    for o in successes:
        if "encoder" in lexicon.parts:
            before, after = (lexicon.encoder.encode([text])[0] for text in (o.text, str(o.perturbed)))
            found[o.id]["similarity"] = round(float(np.dot(before, after)), 6)
        if "ngrams" in lexicon.parts:
            for column, text in (("perplexity_before", o.text), ("perplexity_after", str(o.perturbed))):
                value = lexicon.ngrams.perplexity(text)
                found[o.id][column] = round(value, 4) if value is not None and math.isfinite(value) else None
        if "pos" in lexicon.parts:
            counts = grammar.retagged(lexicon.tagger, o.text, str(o.perturbed))
            found[o.id] |= dict(zip(("replaced", "retagged"), counts, strict=True))
        if CHECKER in lexicon.parts:
            for column, text in (("errors_before", o.text), ("errors_after", str(o.perturbed))):
                found[o.id][column] = originals.opened(CHECKER).count(text)
    return found


def outcome_table(outcomes: list[Outcome], judged: dict[str, dict[str, float | None]] | None = None) -> pd.DataFrame:
    """One row per attacked text; probabilities are those of the gold label. `judged`: further columns by id."""

    def of_label(probabilities: tuple[float, ...] | None, label: int) -> float | None:
        return None if not probabilities else round(probabilities[label], 6)

    judged = judged or {}
    extra = sorted({column for row in judged.values() for column in row})
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
            **{column: judged.get(o.id, {}).get(column) for column in extra},
        }
        for o in outcomes
    ]
    return pd.DataFrame(rows)
