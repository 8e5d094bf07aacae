"""`python -m bench.speed.reporting 1000 10000`: how long a report takes over so many records, and how much memory.

The records are synthetic, in the real schema, and small (a few dozen texts each): 100 mitigations of 5 seeds stand on
a board, and there are as many boards as that needs. Every size is measured in a process of its own, so that the peak
of one is not the peak of another, and in processor seconds, which a busy machine does not stretch. Pictures of
gradients are not drawn for so many runs (bench/report/gradients.py), so they are not in it.
"""

from __future__ import annotations

import io
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from bench.record import Record, StageResult
from bench.store import Store

ARMS, SEEDS = 100, 5
TEXTS, ATTACKED, EXPLAINED, STEPS = 40, 20, 5, 20
LAYERS = ("embeddings", "layer.00", "head")
RECIPES, EXPLAINERS = ("deepwordbug", "textfooler"), ("integrated_gradients",)
PHASES = ("files", "terminal")
Generator = np.random.Generator


def fill(folder: Path, count: int) -> None:
    """Writes `count` records below `folder`, the same ones every time."""
    records = folder / "records"
    records.mkdir(parents=True)
    for number in range(count):
        board, place = divmod(number, ARMS * SEEDS)
        record = _record(board, *divmod(place, SEEDS))
        (records / f"{record['spec_id']}.json").write_text(json.dumps(record), encoding="utf8")
    Store(folder).read(record["spec_id"])  # raises where the schema has moved on


def _record(board: int, arm: int, seed: int) -> dict[str, Any]:
    generator = np.random.default_rng((board, arm, seed))
    label = "baseline" if arm == 0 else f"mitigation_{arm:02}"
    spec: dict[str, Any] = {
        "task": f"task_{board:03}", "model": "bert-tiny", "mitigation": label, "seed": seed, "tier": "quick",
        "mitigations": [{"name": label, "version": 1, "config": {}}], "settings": {"learning_rate": 1e-4},
        "recipes": list(RECIPES), "explainers": list(EXPLAINERS), "sizes": {"test": TEXTS}, "budget_per_word": 50,
    }  # fmt: skip
    summary: dict[str, Any] = {
        "parameters": 100,
        "trainable_parameters": 100,
        "train_seconds": 10.0,
        "health": "healthy",
    }
    tables = {name: {"inline": columns} for name, columns in _tables(generator).items()}
    record = Record(
        spec_id=f"task_{board:03}--bert-tiny--{label}--s{seed}--quick--{number_of(board, arm, seed):08x}",
        spec=spec,
        status="ok",
        created="2026-01-01T00:00:00+00:00",
        environment={"device": "cpu", "packages": {"textattack": "0.3.11"}},
        fingerprints={"data": f"{board:064x}", "model": "m" * 16, "stages": f"{arm}-{seed}"},
        stages={"train": StageResult(status="ok", seconds=10.0)},
        summary={**summary, "learning_rate": 1e-4, "learning_rate_source": "synthetic"},
        tables={},
    )
    return record.model_dump(mode="json") | {"tables": tables}


def number_of(board: int, arm: int, seed: int) -> int:
    return (board * ARMS + arm) * SEEDS + seed


def _tables(generator: Generator) -> dict[str, dict[str, list[Any]]]:
    right, sure = (generator.random(TEXTS) < 0.8).tolist(), generator.uniform(0.5, 1, TEXTS).round(4)
    ids, unsure = [f"text-{i}" for i in range(TEXTS)], (1 - sure).round(4).tolist()
    zeros, certain = [0] * TEXTS, sure.tolist()
    found = {
        "clean": {
            "id": ids, "label": zeros, "prediction": zeros, "correct": right, "p_label": certain, "confidence": certain,
            "confidence_calibrated": certain, "brier": unsure, "brier_calibrated": unsure,
        },
        "throughput": {
            "round": [0, 0], "arm": ["baseline", "this"], "seconds": generator.uniform(0.1, 0.2, 2).round(4).tolist(),
            "samples": [16, 16], "tokens": [400, 400], "peak_memory_bytes": [1_000_000, 1_000_000],
        },
        "telemetry": {
            "step": [*range(1, STEPS + 1)], "loss": generator.uniform(0.3, 0.7, STEPS).round(4).tolist(),
            **{f"norm:{name}": generator.uniform(0.1, 2, STEPS).round(4).tolist() for name in LAYERS},
        },
    }  # fmt: skip
    for recipe in RECIPES:
        for mode in ("calibrated", "raw"):
            found[f"attack:{recipe}:{mode}"] = _attack(generator, ids[:ATTACKED])
        found[f"transfer:{recipe}"] = {"id": ids[:EXPLAINED], "correct": right[:EXPLAINED]}
    for explainer in EXPLAINERS:
        scores = {name: generator.uniform(0, 1, EXPLAINED).round(4) for name in ("dnaopc", "sufficiency", "drift_tau")}
        found[f"explain:{explainer}"] = {
            "id": ids[:EXPLAINED],
            **{name: values.tolist() for name, values in scores.items()},
            "comprehensiveness": [0.5] * EXPLAINED,
        }
    return found


def _attack(generator: Generator, ids: list[str]) -> dict[str, list[Any]]:
    n, fooled = len(ids), (generator.random(len(ids)) < 0.6).tolist()
    texts = [f"a synthetic sentence of some ten words, which is {one}" for one in ids]
    changed = [text.replace("sentence", f"sentense{generator.integers(5)}") for text in texts]
    return {
        "id": ids,
        "status": ["success" if won else "failed" for won in fooled],
        "text": texts,
        "perturbed": [text if won else None for text, won in zip(changed, fooled, strict=True)],
        "label": [0] * n,
        "p_before": [0.9] * n,
        "p_after": [0.4 if won else None for won in fooled],
        "queries": generator.integers(10, 400, n).tolist(),
        "words": [10] * n,
        "words_changed": [1 if won else None for won in fooled],
        "seconds": [0.01] * n,
        "error": [None] * n,
    }


def measure(folder: Path, out: Path) -> dict[str, float]:
    """Processor seconds of each phase of `temper report` over a folder, and the peak memory of all processes in GiB."""
    took: dict[str, float] = {}

    @contextmanager
    def phase(name: str) -> Iterator[None]:
        started = _spent()
        yield
        took[name] = _spent() - started

    with phase("imports"):
        from bench import leaderboard
        from bench.report import making
    began = time.perf_counter()
    with phase("files"):
        boards = making.make(Store(folder), out).boards
    with phase("terminal"):
        leaderboard.show(boards, Console(file=io.StringIO(), width=160))
    own, largest = (resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    # the largest process stands for each of the others, which are at their peak together at worst
    peak = own + largest * len(os.sched_getaffinity(0))
    return took | {"wall": time.perf_counter() - began, "peak": peak / 2**20}


def _spent() -> float:
    """Processor seconds of this process and of the ones it has waited for."""
    usage = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in usage)


def main(
    sizes: Annotated[list[int], typer.Argument(min=1, help="Numbers of records.")],
    out: Annotated[Path | None, typer.Option(help="Keep the records and reports here.")] = None,
    only: Annotated[bool, typer.Option(hidden=True, help="Measure in this process and print JSON.")] = False,
) -> None:
    console = Console()
    shown = Table("records", "size, MiB", "imports", *PHASES, "all, s", "ms a record", "wall, s", "peak, GiB")
    with tempfile.TemporaryDirectory() as temporary:
        for size in sizes:
            folder = (out or Path(temporary)) / str(size)
            if only:
                sys.stdout.write(json.dumps(measure(folder, folder / "report")))
                continue
            if not folder.exists():
                fill(folder, size)
            command = [sys.executable, "-m", "bench.speed.reporting", str(size), "--only", "--out", str(folder.parent)]
            took = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)  # noqa: S603
            total = sum(took[name] for name in PHASES)
            weight = sum(path.stat().st_size for path in (folder / "records").iterdir()) / 2**20
            row = [f"{took[name]:.1f}" for name in ("imports", *PHASES)]
            row += [f"{total:.1f}", f"{1000 * total / size:.2f}", f"{took['wall']:.1f}", f"{took['peak']:.2f}"]
            shown.add_row(f"{size:,}", f"{weight:.0f}", *row)
    if not only:
        console.print(shown)


if __name__ == "__main__":
    typer.run(main)
