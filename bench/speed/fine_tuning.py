"""`make speed`: our training loop beside `transformers.Trainer`, on the same model, data, batch and steps, in one run.

Three ways take the same number of steps from the same weights, in turns, round after round:

- `ours`: training.loop.Session, the loop every arm of the suite is trained with;
- `Trainer`: as its documentation sets it up, torch's own layers, DataCollatorWithPadding (each batch padded to its
  longest text);
- `Trainer, padded`: every text padded to `max_length` beforehand, as much fine-tuning code in articles does.

Printed are real tokens (no padding) per second as a ratio within each round, the loss the three end at, passes per
second, and the share of the machine's own matrix-product rate that the real tokens' arithmetic amounts to.
"""

from __future__ import annotations

import copy
import dataclasses
import math
import tempfile
import time
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import numpy as np
import pandas as pd
import torch
import typer
from rich.console import Console
from rich.table import Table
from transformers import DataCollatorWithPadding, Trainer, TrainerCallback, TrainingArguments

from attacks import kernels
from bench import sources
from bench.progress import bar
from training.hooks import Context, Settings
from training.loop import Session
from training.model import Classifier, device, open_classifier
from training.resources import Resources
from training.stack import Stack
from training.task import Task

WARM_UP = 5
WAYS = ("ours", "Trainer", "Trainer, padded")


def measure(
    classifier: Classifier, context: Context, steps: int, rounds: int, tick: Callable[[], None]
) -> pd.DataFrame:
    """One row per round and way: seconds, tokens (real), positions (padding included), end_loss.

    The first WARM_UP steps of each are not timed. `end_loss` is the mean training loss over the last third.
    """
    rows = []
    for index in range(rounds):
        for way in WAYS:
            fresh = dataclasses.replace(classifier, module=copy.deepcopy(classifier.module))
            run = _ours if way == "ours" else _trainer
            rows.append({"round": index, "way": way, **run(fresh, context, steps, way == "Trainer, padded")})
            tick()
    return pd.DataFrame(rows)


def _ours(classifier: Classifier, context: Context, steps: int, _: bool) -> dict[str, float]:
    session = Session(classifier, Stack([]), context)
    session.state.total_steps = steps
    stream = session.batches()
    positions = 0
    for step in range(steps):
        if step == WARM_UP:
            _synchronise()
            started = time.perf_counter()
        batch = next(stream)
        session.step(batch)
        positions += batch.input_ids.numel() if step >= WARM_UP else 0
    _synchronise()
    seconds = time.perf_counter() - started
    table = session.telemetry.table()
    return _row(seconds, int(table["tokens"][WARM_UP:].sum()), positions, table["loss"].tolist())


def _trainer(classifier: Classifier, context: Context, steps: int, padded: bool) -> dict[str, float]:
    tokenizer, settings, task = classifier.tokenizer, context.settings, context.task
    how = {"padding": "max_length"} if padded else {}
    texts = [example.text for example in task.train]
    coded = tokenizer(texts, truncation=True, max_length=settings.max_length, **how)
    rows = [
        {"input_ids": ids, "attention_mask": mask, "labels": example.label}
        for ids, mask, example in zip(coded["input_ids"], coded["attention_mask"], task.train, strict=True)
    ]
    clock = _Clock()
    collator = DataCollatorWithPadding(tokenizer)

    def collate(batch: list[dict[str, Any]]) -> Any:
        made = collator(batch)
        clock.seen.append((int(made["attention_mask"].sum()), made["input_ids"].numel()))
        return made

    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            folder, per_device_train_batch_size=settings.batch_size, max_steps=steps, seed=context.seed,
            learning_rate=settings.learning_rate, weight_decay=settings.weight_decay,
            warmup_steps=math.ceil(settings.warmup * steps),
            max_grad_norm=settings.clip_norm, bf16=torch.cuda.is_available(), use_cpu=not torch.cuda.is_available(),
            logging_steps=max(1, steps // 3), save_strategy="no", report_to=[], disable_tqdm=True,
            dataloader_pin_memory=False,
        )  # fmt: skip
        trainer = Trainer(
            kernels.plain(classifier.module), arguments, train_dataset=rows, data_collator=collate, callbacks=[clock]
        )
        # its log lines would drown the table
        trainer.log = lambda logs, *_, **__: clock.losses.append(logs["loss"]) if "loss" in logs else None
        trainer.train()
    # the loader may run ahead of the steps; only the steps' own batches count
    timed = clock.seen[WARM_UP:steps]
    return _row(clock.seconds, sum(t for t, _ in timed), sum(p for _, p in timed), clock.losses)


class _Clock(TrainerCallback):
    def __init__(self) -> None:
        self.seen: list[tuple[int, int]] = []
        self.losses: list[float] = []
        self.started = self.seconds = 0.0

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
        if state.global_step == WARM_UP:
            _synchronise()
            self.started = time.perf_counter()
        elif state.global_step == state.max_steps:
            _synchronise()
            self.seconds = time.perf_counter() - self.started


def _row(seconds: float, tokens: int, positions: int, losses: Sequence[float]) -> dict[str, float]:
    end = losses[-max(1, len(losses) // 3) :]
    return {"seconds": seconds, "tokens": tokens, "positions": positions, "end_loss": float(np.mean(end))}


def _synchronise() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def matrix_rate(size: int = 1024, rounds: int = 8) -> float:
    """Floating-point operations per second of a square matrix product here, in the precision that trains.

    The rate of the library that the suite's layers use (attacks.kernels).
    """
    kind = torch.bfloat16 if torch.cuda.is_available() else torch.float32
    a = torch.randn(size, size, device=device(), dtype=kind)
    product = kernels.linear if kernels.AVAILABLE and not torch.cuda.is_available() else torch.matmul
    seconds = []
    for _ in range(rounds):
        _synchronise()
        started = time.perf_counter()
        product(a, a)
        _synchronise()
        seconds.append(time.perf_counter() - started)
    return 2 * size**3 / min(seconds)


def arithmetic_per_token(module: torch.nn.Module) -> int:
    """Operations of a forward and a backward pass for one token: 6 per weight of the linear layers (2 forward, 4
    backward). Attention's own products are left out: under 5 % at these lengths."""
    return 6 * sum(part.weight.numel() for part in module.modules() if isinstance(part, torch.nn.Linear))


def summary(table: pd.DataFrame, module: torch.nn.Module, batch_size: int, steps: int, rate: float) -> Table:
    """The rich table: medians over rounds; ratios are taken within each round."""
    made = Table("way", "tokens/s", "ours is faster by", "padding, %", "end loss", "passes/s", "of matrix rate, %")
    speed = (table["tokens"] / table["seconds"]).groupby([table["round"], table["way"]]).first().unstack()
    for way in WAYS:
        own = table[table["way"] == way]
        tokens = float(speed[way].median())
        ratio = (speed["ours"] / speed[way]).median()
        padding = 100 * (1 - own["tokens"].sum() / own["positions"].sum())
        passes = float((2 * (steps - WARM_UP) / own["seconds"]).median())
        share = 100 * tokens * arithmetic_per_token(module) / rate
        made.add_row(
            way, f"{tokens:.0f}", "" if way == "ours" else f"{ratio:.2f} x", f"{padding:.0f}",
            f"{own['end_loss'].mean():.3f}", f"{passes:.1f}", f"{share:.0f}",
        )  # fmt: skip
    return made


def prepare(model: str, task: Task, max_length: int, seed: int = 0) -> tuple[Classifier, Context]:
    """The encoder and the baseline's settings on `task`. Raises UserError for an unknown model."""
    _, folder = sources.open_model(model, Resources())
    classifier = open_classifier(folder, task, max_length, seed)
    settings = Settings(learning_rate=5e-5, epochs=1, max_length=max_length)
    return classifier, Context(task, classifier.tokenizer, settings, seed, lambda: None)  # type: ignore[arg-type, return-value]


def main(
    model: Annotated[list[str] | None, typer.Option(help="Repeatable; bert-tiny and minilm-l6 by default.")] = None,
    steps: Annotated[int, typer.Option(min=WARM_UP + 3, help="Of each way and round.")] = 60,
    rounds: Annotated[int, typer.Option(min=1)] = 3,
    max_length: Annotated[int, typer.Option(min=8, help="128 is what the founding example pads to.")] = 128,
) -> None:
    """Training throughput of the suite's loop and of transformers.Trainer, as ratios of one run."""
    console = Console()
    task = sources.open_task("movie_reviews", Resources())
    for name in model or ["bert-tiny", "minilm-l6"]:
        classifier, context = prepare(name, task, max_length)
        with bar(f"{name}: {len(WAYS)} ways, {rounds} rounds of {steps} steps", rounds * len(WAYS)) as tick:
            table = measure(classifier, context, steps, rounds, tick)
        shown = summary(table, classifier.module, context.settings.batch_size, steps, matrix_rate())
        shown.title = f"{name}, batch 16, {device().type}, {torch.get_num_threads()} thread(s)"
        console.print(shown)


if __name__ == "__main__":
    typer.run(main)
