"""All cells of a request, from plan to Records, skipping what the store already has."""

from __future__ import annotations

import datetime
import math
from dataclasses import dataclass

from rich.console import Console

from bench import environment, keys, pool, progress, run
from bench.plan import Request, plan
from bench.record import Record, StageResult
from bench.run import Job
from bench.spec import BASELINE, Spec
from bench.stages import Tick
from bench.store import Store
from bench.work import locked
from training.errors import UserError
from training.model import device


@dataclass(frozen=True)
class Outcome:
    """What became of a request: the ids of all its cells, those computed now, and why cells failed."""

    spec_ids: list[str]
    computed: list[str]
    failed: dict[str, str]


def run_all(
    request: Request, *, workers: int | None = None, retry_failed: bool = False, console: Console | None = None
) -> Outcome:
    """Runs every missing cell of `request` and writes its Record. Raises UserError before computing anything."""
    console = console or Console(stderr=True)
    store = Store(request.results, write=True)
    with locked(request.results):
        jobs = plan(request)
        for locator in dict.fromkeys(job.task_locator for job in jobs):
            for note in run.task_of(locator, request.cache).notes:
                console.print(f"{locator}: {note}", highlight=False, markup=False, soft_wrap=True)
        missing = [job for job in jobs if not _have(store, job, retry_failed)]
        if len(missing) < len(jobs):
            console.print(f"{len(jobs) - len(missing)} of {len(jobs)} cells are already in {request.results}/records")
        failed: dict[str, str] = {}
        if missing:
            failed = _run_missing(missing, jobs, workers or pool.default_workers(), console, store)
    return Outcome([job.spec.id for job in jobs], [job.spec.id for job in missing], failed)


def _have(store: Store, job: Job, retry_failed: bool) -> bool:
    """Whether the store holds this cell, made by today's code; a Record of other code is made again."""
    if not store.has(job.spec.id):
        return False
    record = store.read(job.spec.id)
    if record.status == "failed" and retry_failed:
        return False
    return record.fingerprints.get("stages") == keys.cell_key(job.spec)


def _run_missing(missing: list[Job], jobs: list[Job], workers: int, console: Console, store: Store) -> dict[str, str]:
    # of other arms those donate that are attacked already; only the baseline's column may not go missing
    donors = {donor.id for job in missing for donor in job.donors if donor.mitigation == BASELINE}
    peers = {spec.id for job in missing for _, spec in job.peers}
    needed = [job for job in jobs if job.spec.id in donors | peers or job in missing]
    tasks = {job.spec.task: run.task_of(job.task_locator, job.cache) for job in needed}
    work = progress.Work(
        [job.spec for job in needed],
        lambda spec: _steps(spec, len(tasks[spec.task].train)),
        lambda spec: tasks[spec.task].kind == "classification",
    )
    labels = {job.spec.id: f"{job.spec.task} {job.spec.mitigation} s{job.spec.seed}" for job in needed}
    crashed: dict[str, str] = {}
    before: dict[str, dict[str, StageResult]] = {}
    failed: dict[str, str] = {}
    with progress.Display(work, labels, console) as display:
        console.print(f"{len(missing)} cells to run with {workers} worker process(es)", highlight=False)
        for spec_id, value in pool.run_phase(needed, run.core, workers, display.update).items():
            if isinstance(value, UserError):
                raise value
            if isinstance(value, BaseException):
                crashed[spec_id] = f"{type(value).__name__}: {value}"
            else:
                before[spec_id] = dict(value)
            work.finish(spec_id, [stage for _, stage in work.weights if stage != "throughput"])
        run.use_threads(1)
        alive = [job for job in missing if job.spec.id not in crashed]
        # step times are taken here, one cell after the other, while nothing else of the run is going on
        for spec_id, value in pool.run_here(alive, run.measure, display.update).items():
            before[spec_id] |= value if isinstance(value, dict) else {}
        for job in missing:
            if job.spec.id in crashed:
                store.write(_crash_record(job, crashed[job.spec.id]), {}, replace=True)
                failed[job.spec.id] = crashed[job.spec.id]

        def finish(job: Job, tick: Tick) -> str:
            return run.finish(job, tick, before[job.spec.id])

        for spec_id, value in pool.run_here(alive, finish, display.update).items():
            if isinstance(value, BaseException):
                raise value
            if value == "failed":
                failed[spec_id] = store.read(spec_id).reason or "failed"
            work.finish(spec_id)
        for spec_id, reason in failed.items():
            display.note(f"failed: {labels[spec_id]}: {reason}")
    return failed


def _steps(spec: Spec, available: int) -> int:
    count = min(available, spec.sizes.train or available)
    return int(spec.settings["epochs"]) * math.ceil(count / int(spec.settings["batch_size"]))


def _crash_record(job: Job, reason: str) -> Record:
    return Record(
        schema_version=1,
        spec_id=job.spec.id,
        spec=job.spec.model_dump(mode="json"),
        status="failed",
        reason=reason,
        created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        environment=environment.collect(device=device().type),
        fingerprints={
            "data": job.spec.task_fingerprint,
            "model": job.spec.model_fingerprint,
            "stages": keys.cell_key(job.spec),
        },
        stages={"process": StageResult(status="failed", reason=reason, seconds=None)},
        summary={},
        tables={},
    )
