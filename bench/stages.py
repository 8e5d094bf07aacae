"""The stages of one cell. Each is a function of a Cell that returns tables, cached by content in the Work folder."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import softmax

from attacks.lexicon import Lexicon
from attacks.victim import Victim
from attacks.white_box import WhiteBox
from bench import tagging
from bench.keys import evaluate_key, stage_key, train_key
from bench.spec import Spec
from bench.work import Work, subset
from training import health, loop, registry, throughput
from training.calibration import fit_temperature
from training.hooks import Context, Settings
from training.model import Classifier, open_classifier
from training.stack import Mitigation, Stack
from training.task import Example, Task

Tick = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Cell:
    """A Spec together with the opened things it names."""

    spec: Spec
    task: Task
    model_folder: Path
    work: Work
    lexicon: Callable[[], Lexicon]
    open_model: Callable[[str], Path]
    open_task: Callable[[str], Task]
    resource: Callable[[str], Path]
    tick: Tick

    @functools.cached_property
    def stack(self) -> Stack:
        return open_stack(self.spec)

    @functools.cached_property
    def context(self) -> Context:
        settings = Settings(**self.spec.settings)
        train = subset(self.task.train, self.spec.sizes.train)
        known = max(2, round(settings.labelled * len(train)))
        task = dataclasses.replace(
            self.task,
            train=tuple(train[:known]),
            validation=tuple(subset(self.task.validation, self.spec.sizes.validation)),
        )
        return Context(
            task,
            self.build().tokenizer,
            settings,
            self.spec.seed,
            self.lexicon,
            self.build,
            self.open_task,
            tuple(train[known:]),
            resource=self.resource,
        )

    def build(self, model: str | None = None, task: Task | None = None) -> Classifier:
        """The pretrained encoder of the cell, or another one by name, with a fresh head for the cell's task or `task`,
        not yet fine-tuned."""
        folder = self.model_folder if model is None else self.open_model(model)
        task, settings = task or self.task, self.spec.settings
        head = settings.get("head", "token") if task.kind == "tagging" else "token"
        return open_classifier(folder, task, settings["max_length"], self.spec.seed, head)

    @functools.cached_property
    def classifier(self) -> Classifier:
        """The fine-tuned model, opened once; the train stage must be done."""
        return self.open_checkpoint()

    def open_checkpoint(self) -> Classifier:
        folder = self.work.done("train", train_key(self.spec))
        if folder is None:
            raise FileNotFoundError("the train stage is not finished")
        return open_classifier(folder, self.task, self.spec.settings["max_length"], self.spec.seed)

    @functools.cached_property
    def victim(self) -> Victim:
        """The fine-tuned model as the attacker sees it; its memory of logits serves both temperatures."""
        opened = self.classifier
        white_box = WhiteBox(opened.module, opened.tokenizer, opened.max_length)
        return Victim(opened.logits, white_box=white_box)


def open_stack(spec: Spec) -> Stack:
    """Loads and checks the mitigations of a Spec. Raises UserError."""
    mitigations = []
    for item in spec.mitigations:
        plugin = registry.load("training.mitigations", item.name)
        mitigations.append(Mitigation(item.name, plugin, registry.configure(plugin, item.config)))
    return Stack(mitigations)


def train(cell: Cell) -> tuple[dict[str, Any], pd.DataFrame]:
    """Fine-tunes; returns the summary with the verdict on the run, and the telemetry table. That a run diverges is a
    result too, kept with the steps until then; then this raises DivergedError, every time."""

    def make(folder: Path) -> dict[str, Any]:
        try:
            trained = loop.fine_tune(
                cell.build(), cell.stack, cell.context, lambda step, total: cell.tick("train", step, total)
            )
        except loop.DivergedError as error:
            if error.telemetry is None:
                raise
            error.telemetry.to_parquet(folder / "telemetry.parquet")
            return {"diverged": str(error)}
        trained.classifier.save(folder)
        trained.telemetry.to_parquet(folder / "telemetry.parquet")
        return trained.summary

    folder, summary = cell.work.run("train", train_key(cell.spec), make)
    table = pd.read_parquet(folder / "telemetry.parquet")
    if "diverged" in summary:
        raise loop.DivergedError(summary["diverged"], table)
    verdict = health.judge(table, summary["validation_score"], health.constant_score(cell.context.task))
    return summary | verdict.summary(), table


def evaluate(cell: Cell) -> tuple[dict[str, Any], dict[str, pd.DataFrame]]:
    """Calibrates on validation, then scores the test split and every other domain, per example."""
    task, sizes = cell.task, cell.spec.sizes

    def make(folder: Path) -> dict[str, Any]:
        splits = {"clean": subset(task.test, sizes.test)}
        splits |= {f"ood:{name}": subset(rows, sizes.out_of_domain) for name, rows in task.out_of_domain.items()}
        summary: dict[str, Any] = {"temperature": None}
        if task.kind == "classification":
            validation = cell.context.task.validation
            logits = cell.classifier.logits([example.text for example in validation])
            summary["temperature"] = fit_temperature(logits, np.array([e.label for e in validation]))
        made: dict[str, pd.DataFrame] = {}
        for done, (name, examples) in enumerate(splits.items(), start=1):
            if task.kind == "tagging":
                made |= tagging.score(cell.classifier, name, examples)
            else:
                made[name] = _score(cell.classifier, task, examples, summary["temperature"])
            cell.tick("evaluate", done, len(splits))
        for name, table in made.items():
            table.to_parquet(folder / f"{name.replace(':', '-')}.parquet")
        return summary | {"tables": list(made)}

    folder, result = cell.work.run("evaluate", evaluate_key(cell.spec), make)
    tables = {name: pd.read_parquet(folder / f"{name.replace(':', '-')}.parquet") for name in result["tables"]}
    return {"temperature": result["temperature"]}, tables


def _score(classifier: Classifier, task: Task, examples: list[Example], temperature: float | None) -> pd.DataFrame:
    logits = classifier.logits([example.text for example in examples]).astype(np.float64)
    raw, calibrated = softmax(logits, axis=1), softmax(logits / (temperature or 1.0), axis=1)
    labels = np.array([example.label for example in examples])
    gold = np.eye(len(classifier.labels))[labels]
    named = [None if example.group is None else task.groups[example.group] for example in examples]
    return pd.DataFrame(
        ({"group": named} if any(named) else {})
        | {
            "id": [example.id for example in examples],
            "label": labels,
            "prediction": logits.argmax(axis=1),
            "correct": logits.argmax(axis=1) == labels,
            "p_label": raw[np.arange(len(labels)), labels].round(6),
            "confidence": raw.max(axis=1).round(6),
            "confidence_calibrated": calibrated.max(axis=1).round(6),
            "brier": ((raw - gold) ** 2).sum(axis=1).round(6),
            "brier_calibrated": ((calibrated - gold) ** 2).sum(axis=1).round(6),
        }
    )


def measure(cell: Cell) -> pd.DataFrame:
    """Step times and memory beside the baseline's, on a small part of the training data."""
    rounds = cell.spec.sizes.throughput_rounds
    key = stage_key(train=train_key(cell.spec), rounds=rounds, version=throughput.VERSION)

    def make(folder: Path) -> dict[str, Any]:
        wanted = cell.context.settings.batch_size * (rounds + throughput.WARM_UP)
        small = dataclasses.replace(cell.context.task, train=cell.context.task.train[:wanted])
        context = dataclasses.replace(cell.context, task=small)
        table = throughput.measure(cell.build, cell.stack, context, rounds)
        cell.tick("throughput", 1, 1)
        return {str(name): rows for name, rows in table.to_dict(orient="list").items()}

    return pd.DataFrame(cell.work.run("throughput", key, make)[1])
