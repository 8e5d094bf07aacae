"""`temper tune`: the same number of trainings for every arm, scored on validation only, and recorded.

Each arm has an optuna study of its own over the learning rate. The first trials of every study are the grid. An arm
whose best rate is an end of the grid is tried one rung of LADDER further out, until its best lies inside or REACH rungs
were added; the rule is the same for all, since a budget that stops at the edge favours the arms whose best lies inside.
Where several rates were scored and all alike (an arm that learns nothing scores 0 at each), none of them is the best
and nothing says in which direction to go on: such an arm keeps to the grid.
`--trials` fixes the number instead: what it asks for beyond the grid is proposed by optuna's TPE sampler (Bergstra et
al., NIPS 2011), seeded, between the grid's ends. The attack and the test split are never looked at.
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
from training.errors import UserError

GRID = (1e-4, 3e-4, 1e-3, 3e-3)
LADDER = tuple(float(f"{digit}e{power}") for power in range(-8, 1) for digit in (1, 3))
REACH = 3
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
        return trial, _short(trial.suggest_float("learning_rate", min(self.grid), max(self.grid), log=True))

    @property
    def scores(self) -> dict[float, float | None]:
        """Rate -> validation score, None of a training that failed."""
        return {_short(t.params["learning_rate"]): t.value for t in self.trials.trials}

    @property
    def level(self) -> bool:
        """Whether several rates were scored and all alike, so that none stands out."""
        known = [score for score in self.scores.values() if score is not None]
        return len(known) > 1 and len(set(known)) == 1

    def ask_outwards(self) -> tuple[optuna.Trial, float] | None:
        """The next rate beyond the end of what was tried that is the best so far; None where the best lies inside, or
        where no rate stands out."""
        scores = self.scores
        known = {rate: score for rate, score in scores.items() if score is not None}
        if self.level:
            return None
        best = min(known, key=lambda rate: (-known[rate], rate), default=0.0)
        higher, lower = ([rung for rung in LADDER if rung > best], [rung for rung in LADDER if rung < best])
        outer = higher[:1] if best == max(scores) else lower[-1:] if best == min(scores) else []
        if not outer:
            return None
        rate = outer[0]
        self.trials.enqueue_trial({"learning_rate": rate})
        trial = self.trials.ask()
        return trial, _short(trial.suggest_float("learning_rate", min(*scores, rate), max(*scores, rate), log=True))


Asked = tuple[Study, tuple[optuna.Trial, float]]


def _short(rate: float) -> float:
    """Two digits: a rate is never known better, and stages are cached by it."""
    return float(f"{rate:.1e}")


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
    """Trains every arm at each rate of the grid, then outwards (or `trials` times), with seed 0; rewrites their rows.

    A training that fails counts as a trial and leaves a row without a score. Raises UserError before anything is
    trained.
    """
    if wrong := [rate for rate in grid if not 0 < rate <= 1]:
        raise UserError(f"--rate is {wrong[0]:g}; a learning rate lies above 0 and at 1 or below.")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    budget = trials or len(grid)
    studies = [Study.begin(mitigation, grid[:budget]) for mitigation in dict.fromkeys(mitigations)]
    rows: list[dict[str, str]] = []
    with progress.bar(f"{len(studies)} arms x {budget} trainings", len(studies) * budget) as tick:

        def train(asked: list[Asked]) -> None:
            def heard(_: str, stage: str, __: int, ___: int) -> None:
                if stage == "end":
                    tick()

            jobs = [_job(study.mitigation, rate, model, task, epochs) for study, (_, rate) in asked]
            found = pool.run_phase(jobs, train_only, workers or pool.default_workers(), heard)
            rows.extend(
                _tell(one, job, model, found[job.spec.id], console) for one, job in zip(asked, jobs, strict=True)
            )

        # the grid is known beforehand and trained at once; each further proposal needs the scores before it
        known = min(len(grid), budget)
        for count in [known] + [1] * (budget - known):
            train([(study, study.ask()) for study in studies for _ in range(count)])
        for _ in range(REACH if trials is None else 0):
            train([(study, further) for study in studies if (further := study.ask_outwards())])
    _record(rows)
    for row in rows:
        score = row["validation_score"] or "failed"
        console.print(f"{row['mitigation']:<30} {row['learning_rate']:>8}  {score}", highlight=False)
    for study in studies:
        if study.level:
            console.print(f"{study.mitigation}: no rate stands out, each scored the same", highlight=False)


def _tell(asked: Asked, job: Job, model: str, found: object, console: Console) -> dict[str, str]:
    """Tells the study how its training ended; returns the row of the record."""
    study, (trial, rate) = asked
    if isinstance(found, tuple) and math.isfinite(found[0]):
        score = f"{found[0]:.4f}"
        study.trials.tell(trial, float(score))  # what is recorded decides
        return _row(job, model, study.mitigation, rate, score, str(found[1]))
    study.trials.tell(trial, state=optuna.trial.TrialState.FAIL)
    console.print(f"{study.mitigation} at {rate:g} failed: {found}", highlight=False, markup=False)
    return _row(job, model, study.mitigation, rate, "", "")


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


def _row(job: Job, model: str, mitigation: str, rate: float, score: str, steps: str) -> dict[str, str]:
    return {
        "task": job.spec.task,
        "model": model,
        "mitigation": mitigation,
        "learning_rate": f"{rate:g}",
        "validation_score": score,
        "steps": steps,
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
