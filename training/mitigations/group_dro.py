"""Group DRO: the groups with the largest loss get the largest weight, so that the worst group is trained for.

Sagawa, Koh, Hashimoto and Liang, "Distributionally Robust Neural Networks for Group Shifts", ICLR 2020, arXiv
1911.08731: in each step q_g <- q_g exp(eta (L_g + C / sqrt(n_g))), q <- q / sum(q), and the loss is sum_g q_g L_g, with
L_g the mean cross-entropy of the batch's texts of group g (0 where it has none) and n_g the group's training texts.
eta = 0.01 is the default of the authors' code; C = 0 and batches drawn so that all groups are equally frequent are its
sample commands'. The authors find that it helps only with strong weight decay or early stopping: tune those beside it.

Groups: the task's own (Task.groups) where it has some. Else the classes for classification, and for tagging the
sentences with and without an entity; there L_g is a mean over labelled pieces (of a span head: over spans).

Deviations: equal frequency comes from repeating the texts of small groups as often as fits whole numbers (`balance`);
the number of steps stays the baseline's. q moves once a step, at the first pass. With a loss inside this one, only its
plain part is replaced: total = its loss - mean cross-entropy + sum_g q_g L_g, all from the same logits, so a penalty
that it adds stays. Texts without a group or a label do not count.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from training.hooks import IGNORE, Batch, Context, Forward, Output, State
from training.task import Example, Task

FAMILY = "generalisation"
SOURCE = "Sagawa et al. 2020, arXiv 1911.08731"
VERSION = 1
TASKS = ("classification", "tagging")


@dataclass(frozen=True)
class Config:
    step_size: float = 0.01
    """eta of the groups' weights, > 0; the authors' code's default."""
    adjustment: float = 0.0
    """C, which favours small groups, >= 0; 0 in the authors' sample commands."""
    balance: bool = True
    """Whether small groups' texts are repeated until all are about equally frequent, as in the authors' commands."""

    def __post_init__(self) -> None:
        if not self.step_size > 0:
            raise ValueError(f"step_size is {self.step_size}; it must be positive")
        if not self.adjustment >= 0:
            raise ValueError(f"adjustment is {self.adjustment}; it must not be negative")
        if not isinstance(self.balance, bool):
            raise ValueError(f"balance is {self.balance}; it must be true or false")


def prepare_data(examples: Sequence[Example], context: Context, config: Config) -> Sequence[Example]:
    if not config.balance:
        return examples
    groups = [group_of(example, context.task) for example in examples]
    counts = Counter(group for group in groups if group >= 0)
    largest = max(counts.values(), default=0)
    made = list(examples)
    for example, group in zip(examples, groups, strict=True):
        repeats = round(largest / counts[group]) if group >= 0 else 1
        made += [replace(example, id=f"{example.id}-group{index}") for index in range(1, repeats)]
    return made


def group_of(example: Example, task: Task) -> int:
    """The example's group: the task's own, else its class, else whether it has an entity; -1 without one."""
    if task.groups:
        return -1 if example.group is None else example.group
    if task.kind == "classification":
        return -1 if example.label is None else example.label
    return int(any(task.labels[tag] != "O" for tag in example.tags))


def loss(forward: Forward, state: State, batch: Batch, config: Config) -> Output:
    output = forward(batch)
    groups = batch_groups(batch, state)
    labels = batch.labels.reshape(len(batch.labels), -1)
    logits = output.logits.float().reshape(labels.numel(), -1)
    each = torch.nn.functional.cross_entropy(logits, labels.flatten(), ignore_index=IGNORE, reduction="none")
    count = state.memory.setdefault("group_dro:count", _sizes(state.context.task)).to(each.device)
    member = (groups[:, None] == torch.arange(len(count), device=groups.device)).float()
    labelled = member.T @ (labels != IGNORE).float().sum(dim=1)
    mean = member.T @ each.reshape(labels.shape).sum(dim=1) / labelled.clamp(min=1)
    weights = _weights(state, mean.detach(), count, config)
    plain = each.sum() / (labels != IGNORE).sum().clamp(min=1)
    return Output(output.loss - plain + weights @ mean, output.logits)


def batch_groups(batch: Batch, state: State) -> torch.Tensor:
    """`group_of` each text of the batch, (n,)."""
    task = state.context.task
    if task.groups:
        return batch.labels.new_full((len(batch.labels),), -1) if batch.groups is None else batch.groups
    if task.kind == "classification":
        return batch.labels
    spans = getattr(getattr(state.module, "config", None), "span_width", None)
    none = 0 if spans else task.labels.index("O")  # a span head's class 0 is no entity
    return ((batch.labels != IGNORE) & (batch.labels != none)).any(dim=1).long()


def _sizes(task: Task) -> torch.Tensor:
    found = Counter(group_of(example, task) for example in task.train)
    groups = len(task.groups) or (len(task.labels) if task.kind == "classification" else 2)
    return torch.tensor([max(1, found[group]) for group in range(groups)], dtype=torch.float)


def _weights(state: State, losses: torch.Tensor, count: torch.Tensor, config: Config) -> torch.Tensor:
    """q, moved at the first pass of each step and kept for its further passes."""
    held, step = state.memory.get("group_dro:weights", (torch.ones_like(count) / len(count), None))
    if step != state.step:
        held = torch.softmax(held.log() + config.step_size * (losses + config.adjustment / count.sqrt()), dim=0)
        state.memory["group_dro:weights"] = (held, state.step)
    return held
