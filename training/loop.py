"""fine_tune(): the only training loop, and the Session whose step() both it and the throughput measurement call."""

from __future__ import annotations

import copy
import dataclasses
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from accelerate import Accelerator

from attacks.kernels import quicken
from training import ner_metrics
from training.alignment import align, words_of_offsets
from training.hooks import IGNORE, Batch, Context, State
from training.model import Classifier
from training.span_head import span_labels
from training.stack import Stack
from training.task import Example, Task
from training.telemetry import Telemetry

VERSION = 1
BUCKET = 50
UNLABELLED = IGNORE  # a text without a label: in no cross-entropy


class DivergedError(RuntimeError):
    """The loss became NaN or infinite. `telemetry` has the steps until then."""

    def __init__(self, message: str, telemetry: pd.DataFrame | None = None) -> None:
        super().__init__(message)
        self.telemetry = telemetry


@dataclass(frozen=True)
class Coded:
    """One tokenised example: pieces, 1 on pieces of words, the label (an int, one per piece, or for a span head as many
    per piece as its spans are wide), and what it has of group (-1: none) and rationale (1 on pieces of words that
    justify the label)."""

    ids: list[int]
    words: list[int]
    label: int | list[int]
    group: int = -1
    rationale: list[int] | None = None


@dataclass(frozen=True)
class Trained:
    """A fine-tuned classifier, one telemetry row per step, and the facts a Record keeps."""

    classifier: Classifier
    telemetry: pd.DataFrame
    summary: dict[str, Any]


def encode(examples: Sequence[Example], classifier: Classifier) -> list[Coded]:
    """Tokenises once, before training; texts are cut at the classifier's `max_length`."""
    special = set(classifier.tokenizer.all_special_ids)
    coded: list[tuple[list[int], int | list[int], Sequence[int | None]]] = []
    if classifier.kind == "classification":
        texts, limit = [example.text for example in examples], classifier.max_length
        made = classifier.tokenizer(texts, truncation=True, max_length=limit, return_offsets_mapping=True)
        for e, ids, offsets in zip(examples, made["input_ids"], made["offset_mapping"], strict=True):
            word_of = words_of_offsets(e.text, offsets, ids, special) if e.rationale else ()
            coded.append((ids, UNLABELLED if e.label is None else e.label, word_of))
    else:
        for e in examples:
            item = align(e.words, e.tags, classifier.tokenizer, classifier.max_length)
            labels = list(item.labels)
            if classifier.span_width is not None:
                labels = span_labels(e, item.word_ids, classifier.labels, classifier.span_width)
            coded.append((list(item.input_ids), labels, item.word_ids))
    return [
        Coded(
            ids,
            [int(i not in special) for i in ids],
            label,
            -1 if e.group is None else e.group,
            [int(word is not None and bool(e.rationale[word])) for word in word_of] if e.rationale else None,
        )
        for e, (ids, label, word_of) in zip(examples, coded, strict=True)
    ]


def collate(rows: Sequence[Coded], pad: int) -> Batch:
    """Pads to the longest row of the batch, never to the model's maximum."""
    length = max(len(row.ids) for row in rows)

    def padded(values: Sequence[int], fill: int, each: int = 1) -> list[int]:
        return [*values, *[fill] * (length * each - len(values))]

    labels = [
        row.label if isinstance(row.label, int) else padded(row.label, IGNORE, len(row.label) // len(row.ids))
        for row in rows
    ]
    groups = torch.tensor([row.group for row in rows]) if any(row.group >= 0 for row in rows) else None
    marked = [padded(row.rationale or [], 0) + [0] * len(row.ids) for row in rows]
    rationale = torch.tensor([row[:length] for row in marked]) if any(row.rationale for row in rows) else None
    return Batch(
        input_ids=torch.tensor([padded(row.ids, pad) for row in rows]),
        attention_mask=torch.tensor([padded([1] * len(row.ids), 0) for row in rows]),
        word_mask=torch.tensor([padded(row.words, 0) for row in rows]),
        labels=torch.tensor(labels),
        groups=groups,
        rationale=rationale,
    )


def bucketed_batches(lengths: Sequence[int], size: int, generator: torch.Generator) -> list[list[int]]:
    """One shuffled epoch of index batches; texts of similar length share a batch, batches come in random order."""
    order = torch.randperm(len(lengths), generator=generator).tolist()
    batches: list[list[int]] = []
    for start in range(0, len(order), size * BUCKET):
        bucket = sorted(order[start : start + size * BUCKET], key=lambda i: lengths[i])
        batches += [bucket[i : i + size] for i in range(0, len(bucket), size)]
    return [batches[i] for i in torch.randperm(len(batches), generator=generator).tolist()]


class Session:
    """A model, its optimiser and its data, ready to take steps."""

    def __init__(self, classifier: Classifier, stack: Stack, context: Context) -> None:
        context = dataclasses.replace(context, settings=stack.settings(context.settings))
        settings, task = context.settings, context.task
        torch.manual_seed(context.seed)
        cuda = torch.cuda.is_available()
        self.accelerator = Accelerator(mixed_precision="bf16" if cuda else "no", cpu=not cuda)
        self.classifier, self.stack, self.context = classifier, stack, context
        self.rows = encode(stack.prepare_data(task.train, context), classifier)
        module, classifier.structure = stack.structure(classifier.module)
        module = quicken(stack.prepare_model(module, context))
        optimizer = stack.optimiser(module, settings)
        module, optimizer = self.accelerator.prepare(module, optimizer)
        # every arm takes the steps of the unaugmented, labelled data: neither copies nor missing labels change them
        self.steps_per_epoch = math.ceil((len(task.train) + len(context.unlabelled)) / settings.batch_size)
        self.early_loss: list[torch.Tensor] = []
        generator = torch.Generator().manual_seed(context.seed)
        self.state = State(module, optimizer, context, generator, self._early_backward)
        self.state.total_steps = self.steps_per_epoch * settings.epochs
        self.base_rates = [group["lr"] for group in optimizer.param_groups]
        self.telemetry = Telemetry(self.state.total_steps)

    def _early_backward(self, loss: torch.Tensor) -> None:
        self.early_loss.append(loss.detach())
        self.accelerator.backward(loss)

    def batches(self) -> Iterator[Batch]:
        """An endless stream of batches on the device, reshuffled at every pass over the data."""
        order = torch.Generator().manual_seed(self.context.seed)
        lengths = [len(row.ids) for row in self.rows]
        pad = self.classifier.tokenizer.pad_token_id or 0
        while True:
            for chosen in bucketed_batches(lengths, self.context.settings.batch_size, order):
                yield collate([self.rows[i] for i in chosen], pad).to(self.accelerator.device)

    def schedule(self) -> float:
        """Sets the learning rate of this step: linear warm-up, then linear decay to 0. Returns the first group's."""
        settings, step, total = self.context.settings, self.state.step, self.state.total_steps
        warm = max(1, round(settings.warmup * total)) if settings.warmup > 0 else 0
        factor = (step + 1) / warm if step < warm else max(0.0, (total - step) / max(1, total - warm))
        for group, rate in zip(self.state.optimizer.param_groups, self.base_rates, strict=True):
            group["lr"] = rate * factor
        return self.base_rates[0] * factor

    def step(self, batch: Batch) -> torch.Tensor:
        """One optimiser step; returns the loss as a scalar tensor on the device. Nothing here waits for the device."""
        started = time.perf_counter()
        state = self.state
        rate = self.schedule()
        state.module.train()
        self.early_loss = []
        with self.accelerator.autocast():
            output = self.stack.loss(state, batch)
        self.accelerator.backward(output.loss)
        norms = {f"norm:{layer}": value for layer, value in self.telemetry.gradients(state.module).items()}
        state.clipped = None
        self.stack.after_backward(state)
        weights = self.telemetry.weights(state.module)
        state.optimizer.step()
        state.optimizer.zero_grad(set_to_none=True)
        self.stack.after_step(state)
        updates = self.telemetry.updates(weights)
        state.step += 1
        loss = torch.stack([*self.early_loss, output.loss.detach()]).sum()
        clipped = torch.zeros((), device=loss.device) if state.clipped is None else state.clipped
        row = {
            "step": state.step,
            "learning_rate": rate,
            "samples": len(batch.labels),
            "seconds": time.perf_counter() - started,
        }
        tensors = {"loss": loss, "clipped": clipped, "tokens": batch.attention_mask.sum(), **norms, **updates}
        self.telemetry.add(row, tensors)
        return loss


def score(classifier: Classifier, task: Task, examples: Sequence[Example]) -> float:
    """Accuracy, or strict micro entity F1 for tagging; in 0..1."""
    if task.kind == "classification":
        predicted = classifier.logits([example.text for example in examples]).argmax(axis=1)
        return float(np.mean(predicted == np.array([example.label for example in examples])))
    gold = [[task.labels[tag] for tag in example.tags] for example in examples]
    return ner_metrics.entity_f1(gold, predict_tags(classifier, examples))


def predict_tags(classifier: Classifier, examples: Sequence[Example]) -> list[list[str]]:
    """A tag for every word; words the model does not see (cut off by `max_length`, or invisible) are O."""
    return classifier.tags([example.words for example in examples])


def fine_tune(
    classifier: Classifier,
    stack: Stack,
    context: Context,
    on_step: Callable[[int, int], None] | None = None,
) -> Trained:
    """Trains `classifier` in place with `stack` for `settings.epochs` and returns it with its telemetry.

    With `settings.patience`, validation is scored after each epoch, training stops after that many epochs without a
    better score, and the best epoch's weights are kept. Raises DivergedError when the loss is not finite.
    """
    started, before = time.perf_counter(), copy.copy(context.passes)
    session = Session(classifier, stack, context)
    state, settings, task = session.state, session.context.settings, context.task
    preparation, counting = context.passes.since(before), context.passes.watch(session.state.module)
    best, best_weights, stale, positions = -math.inf, None, 0, 0
    batches = session.batches()
    for _ in range(settings.epochs):
        for _ in range(session.steps_per_epoch):
            batch = next(batches)
            positions += batch.input_ids.numel()
            loss = session.step(batch)
            if loss.device.type == "cpu" and not torch.isfinite(loss):
                reason = f"the loss became {loss.item()} at step {state.step} of {state.total_steps}"
                raise DivergedError(reason, session.telemetry.table())
            if on_step:
                on_step(state.step, state.total_steps)
        if settings.patience is not None:
            counting.remove()  # passes over validation texts choose weights, they do not train
            reached = score(classifier, task, task.validation)
            counting = context.passes.watch(session.state.module)
            stale = 0 if reached > best else stale + 1
            if reached > best:
                best, best_weights = reached, copy.deepcopy(state.module.state_dict())
            if stale >= settings.patience:
                break
    if best_weights is not None:
        state.module.load_state_dict(best_weights)
    table = session.telemetry.table()
    if not np.isfinite(table["loss"]).all():
        first = int(np.argmin(np.isfinite(table["loss"]))) + 1
        raise DivergedError(f"the loss became NaN or infinite at step {first}", table)
    trained = sum(p.numel() for p in state.module.parameters() if p.requires_grad)
    every = sum(p.numel() for p in state.module.parameters())
    counting.remove()
    spent = context.passes.since(before)
    module = session.accelerator.unwrap_model(state.module, keep_fp32_wrapper=False)
    classifier.module = quicken(stack.after_training(module, state).eval())
    summary = {
        "parameters": every,
        "trainable_parameters": trained,
        "learning_rate": session.base_rates[0],
        "train_examples": len(session.rows),
        "steps": state.step,
        "epochs": state.step / session.steps_per_epoch,
        "forward_passes": spent.forward,
        "backward_passes": spent.backward,
        "preparation_passes": preparation.forward + preparation.backward,
        "counted_cost": spent.cost(positions),
        "clipped_share": float(table["clipped"].mean()),
        "train_seconds": time.perf_counter() - started,
        "validation_score": score(classifier, task, task.validation),
        # as many training texts as there are validation texts: enough for the gap between the two
        "train_score": score(classifier, task, task.train[: max(1, len(task.validation))]),
    }
    return Trained(classifier, table, summary)
