"""A whole store read at once: every record with the values of its metrics, on all cores where that pays."""

from __future__ import annotations

import functools
import multiprocessing
import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from bench.extraction import extract
from bench.metrics import Values
from bench.record import Record
from bench.store import Store

Read = tuple[Record, dict[str, Values]]
FEWEST = 400  # records; fewer are read sooner than another process is started
CHUNK = 50


def read_all(store: Store, workers: int | None = None) -> list[Read]:
    """(record without its tables, metric -> values) in the order of the ids, the same with any number of workers.

    `workers`: processes; by default one per core, and this one alone for fewer than `FEWEST` records. Raises UserError
    (StoreError) when a record cannot be read.
    """
    ids = store.ids()
    cores = workers or (len(os.sched_getaffinity(0)) if len(ids) >= FEWEST else 1)
    chunks = [ids[start : start + CHUNK] for start in range(0, len(ids), CHUNK)]
    if cores == 1 or len(chunks) == 1:
        return [pair for chunk in chunks for pair in _read(store.folder, chunk)]
    with ProcessPoolExecutor(min(cores, len(chunks)), multiprocessing.get_context("spawn")) as pool:
        return [pair for found in pool.map(functools.partial(_read, store.folder), chunks) for pair in found]


def _read(folder: Path, ids: Sequence[str]) -> list[Read]:
    store = Store(folder)
    found = []
    for spec_id in ids:
        record = store.read(spec_id)
        values = extract(record, functools.partial(store.tables, record))
        # the tables are left behind at once: only the values that metrics need stay in memory
        found.append((record.model_copy(update={"tables": {}}), values))
    return found
