"""Synthetic Records in the real schema: arms with known rates on the same examples, correlated as real ones are."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.special import ndtri

from bench.columns import Stack
from bench.metrics import Values
from bench.record import Record, StageResult
from bench.store import Store, columns_of

RECIPES = {"deepwordbug": 0.5, "textfooler": 0.3}


def generator(*names: object) -> np.random.Generator:
    return np.random.default_rng(int(hashlib.sha256(repr(names).encode()).hexdigest()[:12], 16))


def outcomes(name: str, rate: float, n: int, mitigation: str, seed: int, noise: object = 0) -> np.ndarray:
    """n zeros and ones with mean about `rate`; half of the spread belongs to the example, shared by all arms."""
    difficulty = generator(name).normal(size=n)
    own = generator(name, mitigation, seed, noise).normal(size=n)
    return (np.sqrt(0.5) * difficulty + np.sqrt(0.5) * own < ndtri(rate)).astype(int)


def make_tables(
    mitigation: str, seed: int, *, accuracy: float, aua: Mapping[str, float], raw_bonus: float, n: int, attacked: int,
    noise: object,
) -> dict[str, pd.DataFrame]:  # fmt: skip
    """The tables of one run, as bench/run.py writes them."""
    tables = {}
    for split in ("clean", "ood:amazon"):
        correct = outcomes(split, accuracy, n, mitigation, seed, noise).astype(bool)
        confidence = generator(split, mitigation, seed).uniform(0.5, 1, n).round(6)
        tables[split] = pd.DataFrame(
            {
                "id": [f"{split}-{i}" for i in range(n)],
                "label": np.arange(n) % 2,
                "prediction": np.where(correct, np.arange(n) % 2, 1 - np.arange(n) % 2),
                "correct": correct,
                "p_label": np.where(correct, confidence, 1 - confidence),
                "confidence": confidence,
                "confidence_calibrated": confidence,
            }
        )
    for recipe, rate in aua.items():
        for mode, bonus in (("calibrated", 0.0), ("raw", raw_bonus)):
            survived = outcomes(recipe, min(rate + bonus, 0.999), attacked, mitigation, seed, noise).astype(bool)
            tables[f"attack:{recipe}:{mode}"] = attack_table(survived)
        tables[f"transfer:{recipe}"] = pd.DataFrame(
            {"id": [f"text-{i}" for i in range(seed, 20 + seed)], "correct": [i % 3 > 0 for i in range(20)]}
        )
    tables["explain:integrated_gradients"] = explain_table(mitigation, seed)
    tables["throughput"] = throughput_table(1.0 if mitigation == "baseline" else 1.5)
    tables["telemetry"] = pd.DataFrame({"step": [1, 2], "loss": [0.7, 0.6], "seconds": [0.1, 0.1]})
    return tables


def attack_table(survived: np.ndarray, statuses: list[str] | None = None) -> pd.DataFrame:
    n = len(survived)
    status = statuses or ["failed" if one else "success" for one in survived]
    return pd.DataFrame(
        {
            "id": [f"text-{i}" for i in range(n)],
            "status": status,
            "text": [f"text {i}" for i in range(n)],
            "perturbed": [f"texxt {i}" if s == "success" else None for i, s in enumerate(status)],
            "label": 0,
            "p_before": 0.9,
            "p_after": 0.4,
            "queries": [None if s == "error" else 30 for s in status],
            "words": 10,
            "words_changed": [2 if s == "success" else None for s in status],
            "seconds": 0.01 * (1 + np.arange(n)),
            "error": ["boom" if s == "error" else None for s in status],
        }
    )


def explain_table(mitigation: str, seed: int, n: int = 20) -> pd.DataFrame:
    values = generator("explain", mitigation, seed).normal(0.2, 0.05, n)
    return pd.DataFrame(
        {
            "id": [f"text-{i}" for i in range(n)],
            "dnaopc": values,
            "comprehensiveness": values + 0.1,
            "sufficiency": values - 0.1,
            "masked_keeps_class": [i % 2 == 0 for i in range(n)],
            "completeness_error": [0.2 if i == 0 else 0.01 for i in range(n)],
            "drift_tau": [None if i % 2 else 0.5 + 0.01 * i for i in range(n)],
            "drift_words": 8,
            "words": 10,
            "seconds": 0.1,
            "target": 1,
        }
    )


def throughput_table(ratio: float, rounds: int = 5) -> pd.DataFrame:
    return pd.DataFrame(
        [
            (i, arm, 0.1 * (ratio if arm == "this" else 1.0) * (1 + 0.01 * i), 16, 400, 1_000_000)
            for i in range(rounds)
            for arm in ("baseline", "this")
        ],
        columns=["round", "arm", "seconds", "samples", "tokens", "peak_memory_bytes"],
    )


def make_record(mitigation: str = "baseline", seed: int = 0, **changes: Any) -> Record:
    """A Record without tables; `changes` replaces its fields, `spec`, `fingerprints` and `summary` entry by entry."""
    task, tier = changes.pop("task", "movie_reviews"), changes.pop("tier", "quick")
    recipes = changes.pop("recipes", list(RECIPES))
    spec = {
        "task": task, "task_fingerprint": "d" * 64, "model": "bert-tiny", "model_fingerprint": "m" * 64,
        "mitigation": mitigation, "mitigations": [{"name": mitigation, "version": 1, "config": {}}], "seed": seed,
        "tier": tier, "settings": {"epochs": 2, "learning_rate": 5e-5}, "learning_rate_source": "grid on validation",
        "sizes": {"test": 200, "attacked": 50}, "recipes": recipes, "explainers": ["integrated_gradients"],
        "budget_per_word": 50, "lexicon_fingerprint": "l" * 16,
    } | changes.pop("spec", {})  # fmt: skip
    prints = {"data": "d" * 64, "model": "m" * 64, "stages": f"{mitigation}{seed}"}
    prints |= {f"recipe:{r}": {"name": r, "version": 1, "textattack": "0.3.11"} for r in recipes}
    summary = {
        "temperature": 1.5, "trainable_parameters": 50, "parameters": 100, "learning_rate": 5e-5,
        "learning_rate_source": "grid on validation", "train_seconds": 12.5 + seed, "epochs": 2, "steps": 100,
    } | changes.pop("summary", {})  # fmt: skip
    fields: dict[str, Any] = {
        "spec_id": f"{task}--bert-tiny--{mitigation}--s{seed}--{tier}--00000000",
        "status": "ok",
        "created": "2026-01-01T00:00:00+00:00",
        "environment": {"device": "cpu", "packages": {"textattack": "0.3.11"}},
        "stages": {"train": StageResult(status="ok", seconds=12.5), "evaluate": StageResult(status="ok", seconds=1.0)},
        "tables": {},
    }
    fields |= {"spec": spec, "fingerprints": prints | changes.pop("fingerprints", {}), "summary": summary}
    return Record(**(fields | changes))


@pytest.fixture
def filled(tmp_path: Path) -> Callable[..., Store]:
    """filled("name", {"baseline": {...}, "fgm": {"accuracy": 0.9}}, seeds=3) -> a Store with those runs.

    Per arm: accuracy (0.8), aua (RECIPES), raw_bonus (0), noise (0: the same numbers every time), and `record`: changes
    passed to make_record.
    """

    def fill(
        folder: str, arms: Mapping[str, Mapping[str, Any]], seeds: int = 3, n: int = 200, attacked: int = 50
    ) -> Store:
        store = Store(tmp_path / folder, write=True)
        for mitigation, wanted in arms.items():
            choice = {"accuracy": 0.8, "aua": RECIPES, "raw_bonus": 0.0, "noise": 0} | dict(wanted)
            changes = choice.pop("record", {})
            for seed in range(seeds):
                tables = make_tables(mitigation, seed, n=n, attacked=attacked, **choice)  # type: ignore[arg-type]
                store.write(make_record(mitigation, seed, **changes), tables)
        return store

    return fill


def found_in(read: Callable, explainer: str, ids: tuple[str, ...], *tables: Any) -> list[dict[str, Values]]:
    """What is read of each of some records' tables, which are about the same texts."""
    cells = [columns_of(table) for table in tables]
    stack = Stack({name: [columns[name] for columns in cells] for name in cells[0]}, ids)
    made = [(name, list(rows.values())) for name, rows in read(explainer, stack)]
    return [{name: rows[n] for name, rows in made if rows[n] is not None} for n in range(len(tables))]
