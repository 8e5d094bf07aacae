"""Spec -> Record: what each phase of a cell does, inside one process.

A cell is walked in three phases, because two of its columns need other cells: `core` (train, evaluate, attack,
explain) may run side by side; `measure` (step times beside the baseline's) runs alone on the machine; `finish` needs
the attacked baseline of another seed, and writes the Record.
"""

from __future__ import annotations

import datetime
import functools
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from attacks.outcome import Outcome
from bench import environment, keys, sources, stages
from bench.explanations import agreement, entity_explaining, explaining
from bench.metrics import MODES, TAGS
from bench.record import Record, StageResult
from bench.robustness import adaptive, attacking, invariance, sweep, tagging_attacks
from bench.robustness import transfer as transfers
from bench.spec import Spec
from bench.stages import Cell, Tick
from bench.store import Store
from bench.work import Work
from training import health
from training.model import device
from training.resources import Resources
from training.task import Task


@dataclass(frozen=True)
class Job:
    """A Spec with what a worker process needs; `donors`: cells of other seeds, see robustness/transfer.py."""

    spec: Spec
    task_locator: str
    model_folder: Path
    results: Path
    cache: Path | None
    donors: tuple[Spec, ...] = ()
    peers: tuple[
        tuple[str, Spec], ...
    ] = ()  # whose attributions are compared with this cell's, see explanations/agreement.py

    def open(self, tick: Tick) -> Cell:
        return Cell(
            self.spec,
            task_of(self.task_locator, self.cache),
            self.model_folder,
            Work(self.results / "work"),
            functools.partial(sources.open_lexicon, Resources(self.cache)),
            lambda name: sources.open_model(name, Resources(self.cache))[1],
            lambda locator: task_of(locator, self.cache),
            Resources(self.cache).path,
            tick,
        )


@functools.lru_cache(maxsize=4)
def task_of(locator: str, cache: Path | None) -> Task:
    return sources.open_task(locator, Resources(cache))


@dataclass
class Walk:
    """Runs stages one by one and turns whatever happens into a StageResult.

    A stage that failed in an earlier phase (`before`) is not tried again: what diverged once diverges twice.
    """

    work: Work
    before: Mapping[str, StageResult] = field(default_factory=dict)
    results: dict[str, StageResult] = field(default_factory=dict)

    def __call__(self, name: str, stage: Callable[[], Any]) -> Any:
        if name in self.before and self.before[name].status == "failed":
            self.results[name] = self.before[name]
            return None
        started = time.perf_counter()
        try:
            value = stage()
        # a crash, a NaN or an out-of-memory is a row of the board, not the end of the run
        except Exception as error:  # noqa: BLE001
            reason = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no message'}"
            self.results[name] = StageResult(status="failed", reason=reason, seconds=time.perf_counter() - started)
            return None
        # what the stage took when it was computed, not what reading it back takes
        self.results[name] = StageResult(status="ok", reason=None, seconds=self.work.seconds)
        return value

    def skip(self, name: str, reason: str) -> None:
        self.results[name] = StageResult(status="not_applicable", reason=reason, seconds=None)


def core(job: Job, tick: Tick) -> dict[str, StageResult]:
    """Trains, evaluates, attacks and explains; every finished stage is in the Work folder."""
    return _collect(job, tick, {}, with_others=False)[0]


def measure(job: Job, tick: Tick) -> dict[str, StageResult]:
    """Step times beside the baseline's; call it while nothing else runs."""
    cell = job.open(tick)
    walk = Walk(cell.work)
    if job.spec.sizes.throughput_rounds:
        walk("throughput", lambda: stages.measure(cell))
    return walk.results


def finish(job: Job, tick: Tick, before: Mapping[str, StageResult]) -> str:
    """Assembles and writes the Record, returns its status. Finished stages are read; `before`: earlier results."""
    results, summary, tables, recipes = _collect(job, tick, before, with_others=True)
    failed = {name: stage.reason for name, stage in results.items() if stage.status == "failed"}
    record = Record(
        schema_version=1,
        spec_id=job.spec.id,
        spec=job.spec.model_dump(mode="json"),
        status="failed" if failed else "ok",
        reason="; ".join(f"{name}: {reason}" for name, reason in failed.items()) or None,
        created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        environment=environment.collect(device=device().type, threads=torch.get_num_threads()),
        fingerprints={
            "data": job.spec.task_fingerprint,
            "model": job.spec.model_fingerprint,
            "stages": keys.cell_key(job.spec),
            "code": keys.code_of_stages(job.spec),  # type: ignore[dict-item]
            **recipes,
        },
        stages=results,
        summary=summary,
        tables={},
    )
    store = Store(job.results)
    # the campaign decided that this cell is due: a complete record in its place was made by other code
    if store.has(job.spec.id) and store.read(job.spec.id).complete:
        store.supersede(job.spec.id)
    store.write(record, tables)
    return record.status


Collected = tuple[dict[str, StageResult], dict[str, Any], dict[str, pd.DataFrame], dict[str, Any]]


def _collect(job: Job, tick: Tick, before: Mapping[str, StageResult], *, with_others: bool) -> Collected:
    cell = job.open(tick)
    walk = Walk(cell.work, before)
    summary: dict[str, Any] = {"learning_rate_source": job.spec.learning_rate_source, "temperature": None}
    tables: dict[str, pd.DataFrame] = {}
    recipes: dict[str, Any] = {}
    trained = walk("train", lambda: stages.train(cell))
    if trained is None:
        trained = _diverged(cell)
    if trained is not None:
        summary |= trained[0]
        tables["telemetry"] = trained[1]
    if walk.results["train"].status == "failed":
        return walk.results, summary, tables, recipes
    evaluated = walk("evaluate", lambda: stages.evaluate(cell))
    if evaluated is not None:
        summary |= evaluated[0]
        tables |= evaluated[1]
        _attack_and_explain(job, cell, walk, tables, recipes)
    if with_others:
        _others(job, cell, walk, tables)
    return walk.results, summary, tables, recipes


def _diverged(cell: Cell) -> tuple[dict[str, Any], pd.DataFrame] | None:
    """The verdict on a training that diverged, and its steps until then; None where it failed in another way."""
    folder = cell.work.done("train", keys.train_key(cell.spec))
    if folder is None:
        return None
    table = pd.read_parquet(folder / "telemetry.parquet")
    verdict = health.judge(table, None, 0.0)
    return (verdict.summary(), table) if verdict.verdict == "diverged" else None


def _attack_and_explain(
    job: Job, cell: Cell, walk: Walk, tables: dict[str, pd.DataFrame], recipes: dict[str, Any]
) -> None:
    by_mode: dict[str, dict[str, Mapping[str, Outcome]]] = {mode: {} for mode in MODES}
    attacked = by_mode["calibrated"]
    tagged = tagging_attacks.attack_all(cell, walk, tables, recipes) if cell.task.kind == "tagging" else {}
    for recipe in job.spec.recipes if cell.task.kind == "classification" else ():
        for mode in MODES:
            name = f"attack:{recipe}:{mode}"
            found = walk(name, functools.partial(attacking.attack, cell, recipe, mode))
            if found is not None:
                measured = functools.partial(attacking.quality, cell, recipe, mode, found[0])
                judged = walk(f"quality:{recipe}:{mode}", measured)
                tables[name] = attacking.outcome_table(found[0], judged)
                recipes[f"recipe:{recipe}"] = found[1]
                by_mode[mode][recipe] = {outcome.id: outcome for outcome in found[0]}
    if job.spec.recipes:
        table = walk("invariance", functools.partial(invariance.measure, cell))
        if table is not None:
            tables["invariance"] = table
    if cell.task.kind != "classification":
        _again(job, cell, walk, tables, {TAGS: tagged})
        changed = {outcome.id: outcome for outcome in tagged.get(keys.drift_recipe(job.spec), [])}
        _explain(job, cell, walk, tables, lambda: entity_explaining.explain(cell, changed))
        return
    _again(job, cell, walk, tables, {m: {r: list(o.values()) for r, o in by_mode[m].items()} for m in MODES})
    drift = attacked.get(keys.drift_recipe(job.spec), {})
    _explain(job, cell, walk, tables, lambda: explaining.explain(cell, drift))


def _explain(
    job: Job,
    cell: Cell,
    walk: Walk,
    tables: dict[str, pd.DataFrame],
    stage: Callable[[], dict[str, pd.DataFrame]],
) -> None:
    if not job.spec.explainers:
        return
    if reason := entity_explaining.why_not(cell):
        for explainer in job.spec.explainers:
            walk.skip(f"explain:{explainer}", reason)
        return
    for name, table in (walk("explain", stage) or {}).items():
        explainer = name.partition(":")[2]
        if judge := cell.stack.trained_on(explainer):
            walk.skip(f"explain:{explainer}", f"'{judge}' was trained on this explainer, which cannot judge it")
        else:
            tables[name] = table


def _again(
    job: Job,
    cell: Cell,
    walk: Walk,
    tables: dict[str, pd.DataFrame],
    by_mode: Mapping[str, Mapping[str, list[Any]]],
) -> None:
    """The temperature sweep and the adaptive pass: they look again at what the recipes left standing."""
    chosen = sweep.recipe_of(job.spec)
    attacked = next(iter(by_mode.values()))  # calibrated, or the one mode of taggers
    if chosen is not None and chosen in attacked:
        outcomes = [found.get(chosen, []) for found in by_mode.values()]
        again: Callable[..., pd.DataFrame] = sweep.sweep_tags if TAGS in by_mode else sweep.sweep
        table = walk(f"sweep:{chosen}", functools.partial(again, cell, chosen, *outcomes))
        if table is not None:
            tables[f"sweep:{chosen}"] = table
    ranked = {recipe: found for recipe, found in attacked.items() if attacking.ranked(recipe)}
    if job.spec.adaptive and ranked and len(ranked) == sum(map(attacking.ranked, job.spec.recipes)):
        table = walk("adaptive", functools.partial(adaptive.adapt, cell, ranked))
        if table is not None:
            tables["adaptive"] = table


def _others(job: Job, cell: Cell, walk: Walk, tables: dict[str, pd.DataFrame]) -> None:
    """Transfer and throughput: the stages that look at another cell."""
    for recipe in job.spec.recipes:
        name = f"transfer:{recipe}"
        if not attacking.ranked(recipe):
            walk.skip(name, f"{recipe} is shown, never ranked")
        elif not job.donors:
            walk.skip(name, "needs the baseline of a second seed")
        else:
            table = walk(name, functools.partial(transfers.transfer, cell, job.donors, recipe))
            if table is not None:
                tables[name] = table
    if "explain" in walk.results and walk.results["explain"].status == "ok":
        found = walk("agreement", lambda: agreement.compare(cell, dict(job.peers)))
        # an explainer without a table may not judge this cell (see _attack_and_explain)
        tables |= {n: t for n, t in (found or {}).items() if n.replace("agreement", "explain", 1) in tables}
    if not job.spec.sizes.throughput_rounds:
        walk.skip("throughput", "this tier takes no step times")
        return
    table = walk("throughput", lambda: stages.measure(cell))
    if table is not None:
        tables["throughput"] = table


def use_threads(count: int) -> None:
    """Torch threads of this process; a pool gives each of its processes one, since they share the cores."""
    os.environ["OMP_NUM_THREADS"] = str(count)
    torch.set_num_threads(count)
