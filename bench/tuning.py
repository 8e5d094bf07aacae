"""`temper tune`: the same number of trainings for every arm, scored on validation only, and recorded.

Each arm has an optuna study of its own over the learning rate. The first trials of every study are the grid; what is
asked for beyond it is proposed by optuna's TPE sampler (Bergstra et al., NIPS 2011), seeded, between the grid's ends.
The attack and the test split are never looked at.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import optuna
from rich.console import Console

from bench import pool, progress, stages
from bench.plan import Request, plan
from bench.run import Job
from bench.run_checks import HOUSE
from bench.stages import Tick

GRID = (1e-4, 3e-4, 1e-3, 3e-3)
RECORD = HOUSE / "training" / "learning_rates.csv"


@dataclass
class Study:
    """One arm's trials so far."""

    mitigation: str
    grid: Sequence[float]
    trials: optuna.Study

    @classmethod
    def begin(cls, mitigation: str, grid: Sequence[float]) -> Study:
        study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=0))
        for rate in grid:
            study.enqueue_trial({"learning_rate": rate})
        return cls(mitigation, grid, study)

    def ask(self) -> tuple[optuna.Trial, float]:
        trial = self.trials.ask()
        rate = trial.suggest_float("learning_rate", min(self.grid), max(self.grid), log=True)
        # two digits: a rate is never known better, and stages are cached by it
        return trial, float(f"{rate:.1e}")


def tune(
    mitigations: Sequence[str],
    model: str,
    task: str,
    grid: Sequence[float],
    epochs: int,
    console: Console,
    trials: int | None = None,
    workers: int | None = None,
) -> None:
    """Trains every arm `trials` times (default: the grid) with seed 0 and rewrites their rows of `learning_rates.csv`.

    A training that fails counts as a trial and leaves no row. Raises UserError before anything is trained.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    budget = trials or len(grid)
    studies = [Study.begin(mitigation, grid[:budget]) for mitigation in dict.fromkeys(mitigations)]
    known = min(len(grid), budget)
    rows: list[dict[str, str]] = []
    with progress.bar(f"{len(studies)} arms x {budget} trainings", len(studies) * budget) as tick:
        # the grid is known beforehand and trained at once; each further proposal needs the scores before it
        for count in [known] + [1] * (budget - known):
            asked = [(study, *study.ask()) for study in studies for _ in range(count)]
            jobs = [_job(study.mitigation, rate, model, task, epochs) for study, _, rate in asked]

            def heard(_: str, stage: str, __: int, ___: int) -> None:
                if stage == "end":
                    tick()

            found = pool.run_phase(jobs, train_only, workers or pool.default_workers(), heard)
            for (study, trial, rate), job in zip(asked, jobs, strict=True):
                value = found[job.spec.id]
                if isinstance(value, BaseException) or not math.isfinite(value[0]):
                    study.trials.tell(trial, state=optuna.trial.TrialState.FAIL)
                    console.print(f"{study.mitigation} at {rate:g} failed: {value}", highlight=False, markup=False)
                    continue
                study.trials.tell(trial, value[0])
                rows.append(_row(job, model, study.mitigation, rate, *value))
    _record(rows)
    for row in rows:
        console.print(f"{row['mitigation']:<30} {row['learning_rate']:>8}  {row['validation_score']}", highlight=False)


def _job(mitigation: str, rate: float, model: str, task: str, epochs: int) -> Job:
    request = Request(
        tier="quick",
        tasks=[task],
        mitigations=[mitigation],
        seeds=1,
        model=model,
        results=Path("results/tuning"),
        settings={"learning_rate": rate, "epochs": epochs},
    )
    return plan(request)[-1]


def train_only(job: Job, tick: Tick) -> tuple[float, int]:
    """(validation score, steps taken)."""
    summary, _ = stages.train(job.open(tick))
    return summary["validation_score"], summary["steps"]


def _row(job: Job, model: str, mitigation: str, rate: float, score: float, steps: int) -> dict[str, str]:
    return {
        "task": job.spec.task,
        "model": model,
        "mitigation": mitigation,
        "learning_rate": f"{rate:g}",
        "validation_score": f"{score:.4f}",
        "steps": str(steps),
        "seed": str(job.spec.seed),
    }


def _record(rows: list[dict[str, str]]) -> None:
    arm = ("task", "model", "mitigation")
    made = {tuple(row[name] for name in arm) for row in rows}
    with RECORD.open(encoding="utf8", newline="") as stream:
        reader = csv.DictReader(stream)
        fields = list(reader.fieldnames or [])
        kept = [row for row in reader if tuple(row[name] for name in arm) not in made]
    with RECORD.open("w", encoding="utf8", newline="") as stream:
        writer = csv.DictWriter(stream, fields, lineterminator="\n")
        writer.writeheader()
        every = [*kept, *rows]
        writer.writerows(sorted(every, key=lambda row: (*(row[name] for name in arm), float(row["learning_rate"]))))
