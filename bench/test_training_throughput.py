"""One benchmark per mitigation: a training step on a real batch, by the same Session the fine-tuning used."""

from __future__ import annotations

from typing import Any

import pytest

from bench.run import Job
from bench.store import Store
from training.loop import Session

ROUNDS = 5


@pytest.mark.first_seed_only
def test_training_step(benchmark: Any, job: Job, store: Store) -> None:
    """Seconds per optimiser step; the ratio to the baseline, measured side by side, is in the record."""
    cell = job.open(lambda *_: None)
    session = Session(cell.build(), cell.stack, cell.context)
    batches = session.batches()
    benchmark.group = f"one training step: {job.spec.task}, {job.spec.model}"
    # item() waits for the device, inside the timed region
    benchmark.pedantic(
        lambda batch: session.step(batch).item(), setup=lambda: ((next(batches),), {}), rounds=ROUNDS, warmup_rounds=1
    )
    record = store.read(job.spec.id)
    if "throughput" in record.tables:
        medians = store.tables(record, "throughput").groupby("arm")["seconds"].median()
        benchmark.extra_info["step_time_ratio"] = float(medians["this"] / medians["baseline"])
