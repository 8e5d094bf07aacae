"""One benchmark per cell: the fine-tuned checkpoint answers a fixed batch; its scores ride along as extra_info."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from bench.extraction import extract
from bench.record import Record
from bench.robustness.attacking import attacked_samples
from bench.run import Job
from bench.store import Store


def scores(record: Record, store: Store) -> dict[str, float]:
    """Every metric of one record, without interval: metric -> value."""
    found = {}
    for name, values in extract(record, functools.partial(store.tables, record)).items():
        below = len(values.top) if values.bottom is None else float(np.sum(values.bottom))
        if below:
            found[name] = float(np.sum(values.top)) / below
    return found


def test_predict(benchmark: Any, job: Job, store: Store) -> None:
    """Times predictions of the attacked texts on the finished checkpoint; fails when the cell failed."""
    record = store.read(job.spec.id)
    benchmark.group = f"predict {job.spec.sizes.attacked} texts: {job.spec.task}, {job.spec.model}"
    benchmark.extra_info.update(spec_id=record.spec_id, **scores(record, store))
    cell = job.open(lambda *_: None)
    if record.stages["train"].status == "ok":
        texts = [sample.text for sample in attacked_samples(cell)] or [e.text for e in cell.task.test[:50]]
        if cell.task.kind == "classification":
            benchmark.pedantic(cell.classifier.logits, args=(texts,), rounds=5, warmup_rounds=1)
        else:
            words = [e.words for e in cell.task.test[: job.spec.sizes.attacked]]
            benchmark.pedantic(cell.classifier.tags, args=(words,), rounds=5, warmup_rounds=1)
    else:
        benchmark.pedantic(lambda: None, rounds=1)
    assert record.status == "ok", record.reason
