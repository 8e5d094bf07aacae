"""A whole store read at once: every record with the values of its metrics, on all cores where that pays."""

from __future__ import annotations

import gc
import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from threadpoolctl import threadpool_limits

from bench.extraction import extract_all
from bench.metrics import Values
from bench.record import Record
from bench.store import Store

Read = tuple[Record, dict[str, Values]]
Part = TypeVar("Part")
Made = TypeVar("Made")
HELD = 64 * 2**20  # bytes of JSON; in memory they are several times as large
AT_ONCE = 2**22  # bytes of JSON of the records whose tables are read together; more make it no faster
FEWEST = 2000  # records; fewer are read sooner than other processes are started


@dataclass
class Held:
    """Whole records that are wanted again, as long as their files have no more than `HELD` bytes together."""

    records: dict[str, Record] = field(default_factory=dict)
    size: int = 0

    def keep(self, record: Record, size: int) -> None:
        if self.size + size <= HELD:
            self.records[record.spec_id] = record
            self.size += size

    def take(self, spec_id: str) -> Record | None:
        """The record, which is held no longer; None where it is not here and must be read again."""
        return self.records.pop(spec_id, None)


def read(folder: Path, ids: Sequence[str], held: Held | None = None) -> list[Read]:
    """(record without its tables, metric -> values) in the order given.

    `held` keeps whole records. Raises UserError (StoreError) when a record cannot be read.
    """
    store, found = Store(folder), []
    seen: dict[str, Any] = {}
    for batch in _batches(store, ids, held):
        for record, values in zip(batch, extract_all(batch, store.columns), strict=True):
            found.append((_lean(record, seen), values))
    return found


def _batches(store: Store, ids: Sequence[str], held: Held | None) -> Iterator[list[Record]]:
    """The records, as many at once as have `AT_ONCE` bytes; their tables are left behind, unless they are held."""
    batch: list[Record] = []
    weight = 0
    for spec_id in ids:
        record, size = store.weighed(spec_id)
        batch.append(record)
        weight += size
        if held is not None:
            held.keep(record, size)
        if weight > AT_ONCE:
            yield batch
            batch, weight = [], 0
    yield batch


def _lean(record: Record, seen: dict[str, Any]) -> Record:
    """The record without its tables; what other records say too (settings, packages) is held once."""

    def once(value: Any) -> Any:
        return seen.setdefault(repr(value), value) if isinstance(value, (dict, list)) else value

    parts: dict[str, Any] = {"tables": {}, "environment": once(record.environment)}
    for name in ("spec", "fingerprints", "summary"):
        parts[name] = {key: once(value) for key, value in getattr(record, name).items()}
    return record.model_copy(update=parts)


def partitions(ids: Sequence[str]) -> list[list[str]]:
    """The ids by the task, model and tier that they name, as no board holds records of two of them."""
    found: dict[tuple[str, ...], list[str]] = {}
    for one in ids:
        named = one.split("--")
        found.setdefault((*named[:2], *named[4:5]), []).append(one)
    return list(found.values())


def each(
    function: Callable[[Part], Made], parts: Sequence[Part], size: int, workers: int | None = None
) -> Iterator[Made]:
    """`function` of every part in order, the same with any number of processes.

    `size`: how many records are in the parts; `workers`: by default one for each core, and none for fewer records than
    `FEWEST` or a single part. `function` and parts must be picklable.
    """
    cores = workers or (len(os.sched_getaffinity(0)) if size >= FEWEST else 1)
    if cores == 1 or len(parts) < 2:
        with _undisturbed():
            yield from map(function, parts)
        return
    context = multiprocessing.get_context("spawn")
    # undisturbed here as well: what the others made arrives as many small objects
    with _undisturbed(), ProcessPoolExecutor(min(cores, len(parts)), context, _settle) as pool:
        yield from pool.map(function, parts)


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Without threads of a product of small matrices, which spend more time waiting for each other than multiplying.

    And without collecting cycles, of which records and boards have none: to look for them takes an eighth of the time.
    """
    collects = gc.isenabled()
    gc.disable()
    try:
        with threadpool_limits(1):
            yield
    finally:
        if collects:
            gc.enable()


def _settle() -> None:
    """The same for the whole life of a process."""
    threadpool_limits(1)
    gc.disable()
