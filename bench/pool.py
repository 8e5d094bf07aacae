"""Many cells over processes. A worker that dies takes its cell down, not the run; workers end with the run."""

from __future__ import annotations

import functools
import multiprocessing
import os
import queue
import signal
import sys
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bench.run import Job

Listener = Callable[[str, str, int, int], None]
"""(spec id, stage, done, total); stage "start" and "end" frame a job."""

_events: Any = None


def default_workers() -> int:
    """One process per core on a CPU (one thread each is faster than shared threads), one process on a GPU."""
    import torch

    return 1 if torch.cuda.is_available() else len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1


def run_phase(
    jobs: Iterable[Job], phase: Callable[..., Any], workers: int, listen: Listener, threads: int = 1
) -> dict[str, Any]:
    """Calls `phase(job, tick)` for every job; returns spec id -> its value, or the exception that ended it.

    When a worker process dies, the pool dies with it; the jobs that had begun are then run again one at a time, and one
    that dies alone gets a ChildProcessError. User errors (bad input found late) are returned like any other exception.
    """
    waiting = {job.spec.id: job for job in jobs}
    values: dict[str, Any] = {}
    suspects: list[str] = []
    while waiting:
        alone = suspects[:1]
        batch = {spec_id: waiting[spec_id] for spec_id in alone} or waiting
        started, ended = _run_once(batch, phase, workers, listen, threads)
        values |= ended
        if alone and alone[0] not in ended:
            values[alone[0]] = ChildProcessError("the worker process died (killed, or out of memory)")
        waiting = {spec_id: job for spec_id, job in waiting.items() if spec_id not in values}
        suspects = [spec_id for spec_id in dict.fromkeys([*suspects, *sorted(started)]) if spec_id in waiting]
    return values


def run_here(jobs: Iterable[Job], phase: Callable[..., Any], listen: Listener) -> dict[str, Any]:
    """The same in this process, one job after the other: for short phases, and for timings on a quiet machine."""
    values: dict[str, Any] = {}
    for job in jobs:
        try:
            values[job.spec.id] = phase(job, functools.partial(listen, job.spec.id))
        # what the pool returns as a future's exception
        except Exception as error:  # noqa: BLE001
            values[job.spec.id] = error
    return values


def _run_once(
    jobs: dict[str, Job], phase: Callable[..., Any], workers: int, listen: Listener, threads: int
) -> tuple[set[str], dict[str, Any]]:
    """One pool's life: which jobs were started, and what came back before it ended or broke."""
    context = multiprocessing.get_context("spawn")
    events = context.Queue()
    started: set[str] = set()

    def heard(spec_id: str, stage: str, done: int, total: int) -> None:
        if stage == "start":
            started.add(spec_id)
        listen(spec_id, stage, done, total)

    stop = threading.Event()
    listener = threading.Thread(target=_drain, args=(events, heard, stop), daemon=True)
    listener.start()
    values: dict[str, Any] = {}
    others = multiprocessing.active_children()
    try:
        with ProcessPoolExecutor(
            min(workers, len(jobs)), mp_context=context, initializer=_initialise, initargs=(events, threads)
        ) as pool:
            futures: dict[Future[Any], str] = {pool.submit(_work, phase, job): spec_id for spec_id, job in jobs.items()}
            try:
                for future in as_completed(futures):
                    error = future.exception()
                    if isinstance(error, BrokenProcessPool):
                        break
                    values[futures[future]] = error if error is not None else future.result()
            except KeyboardInterrupt:
                # leaving the pool waits for every job that it was given; what is finished is on disk
                for worker in {*multiprocessing.active_children()} - {*others}:
                    worker.kill()
                raise
    finally:
        stop.set()
        listener.join(timeout=5)
    # a pool that breaks before any worker says "start" would be retried for ever
    return (started or set(jobs)), values


def _drain(events: Any, heard: Listener, stop: threading.Event) -> None:
    while True:
        try:
            heard(*events.get(timeout=0.2))
        except queue.Empty:
            if stop.is_set():
                return


def _initialise(events: Any, threads: int) -> None:
    global _events
    _events = events
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's, which ends its workers
    threading.Thread(target=_end_with_parent, daemon=True).start()
    # before anything imports torch
    os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = str(threads)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(threads)


def _end_with_parent() -> None:
    """A worker that outlived its run would write into folders whose lock is free, beside the next run."""
    if parent := multiprocessing.parent_process():
        parent.join()
        os._exit(1)


def _work(phase: Callable[..., Any], job: Job) -> Any:
    def tick(stage: str, done: int, total: int) -> None:
        _events.put((job.spec.id, stage, done, total))

    tick("start", 0, 1)
    value = phase(job, tick)
    tick("end", 1, 1)
    return value
