"""`temper tune`: the same grid of learning rates for every arm, scored on validation only, and recorded."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from bench import pool, stages
from bench.plan import Request, plan
from bench.run import Job
from bench.run_checks import HOUSE
from bench.stages import Tick

GRID = (1e-4, 3e-4, 1e-3, 3e-3)
RECORD = HOUSE / "training" / "learning_rates.csv"


def tune(
    mitigations: Sequence[str], model: str, task: str, grid: Sequence[float], epochs: int, console: Console
) -> None:
    """Trains every (mitigation, rate) with seed 0 and rewrites their rows of `learning_rates.csv`. Raises UserError."""
    jobs: list[tuple[str, float, Job]] = []
    for rate in grid:
        for mitigation in mitigations:
            request = Request(
                tier="quick",
                tasks=[task],
                mitigations=[mitigation],
                seeds=1,
                model=model,
                results=Path("results/tuning"),
                settings={"learning_rate": rate, "epochs": epochs},
            )
            jobs.append((mitigation, rate, plan(request)[-1]))
    console.print(f"{len(jobs)} trainings", highlight=False)
    found = pool.run_phase([job for *_, job in jobs], train_only, pool.default_workers(), lambda *_: None)
    rows = [
        {
            "task": job.spec.task,
            "model": model,
            "mitigation": mitigation,
            "learning_rate": f"{rate:g}",
            "validation_score": f"{found[job.spec.id][0]:.4f}",
            "steps": str(found[job.spec.id][1]),
            "seed": str(job.spec.seed),
        }
        for mitigation, rate, job in jobs
        if isinstance(found[job.spec.id], tuple)
    ]
    for mitigation, rate, job in jobs:
        if isinstance(found[job.spec.id], BaseException):
            console.print(f"{mitigation} at {rate:g} failed: {found[job.spec.id]}", highlight=False)
    _record(rows)
    for row in rows:
        console.print(f"{row['mitigation']:<20} {row['learning_rate']:>8}  {row['validation_score']}", highlight=False)


def train_only(job: Job, tick: Tick) -> tuple[float, int]:
    summary, _ = stages.train(job.open(tick))
    return summary["validation_score"], summary["steps"]


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
        writer.writerows([*kept, *rows])
