"""Defensive distillation: a teacher and its student trained at a high temperature, served at 1; a negative control.

Papernot, McDaniel, Wu, Jha and Swami, "Distillation as a Defense to Adversarial Perturbations against Deep Neural
Networks", IEEE S&P 2016, arXiv 1511.04508: a teacher is trained on the labels with softmax(z / T); a student of the
same architecture is trained, also at T, on the teacher's softmax(z_teacher / T), and used at T = 1.

To be as sure at T as at 1, logits have to be T times as large; at T = 1 they saturate the softmax, and a search that
follows its small changes finds nothing. That is masking, which the calibrated attack undoes. Logits need many steps to
grow so large; after few the model only trains more slowly. On text, Soll et al. 2019 report that it "only has a minimal
impact".

Deviations: the loss is a mean over the labelled texts, or over the labelled pieces of a tagging batch. A loss that it
wraps (of a mitigation named after it) counts through its logits only. Cost: the teacher's whole training, and its
forward pass in every step.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from training.hooks import IGNORE, Batch, Context, Forward, Output, State
from training.mitigations import _teacher, _temperature
from training.stack import Mitigation, Stack

FAMILY = "control"
SOURCE = "Papernot et al. 2016, arXiv 1511.04508"
PASSES = (2, 1)
PREPARATION = _teacher.PREPARATION
VERSION = 1
TASKS = ("classification", "tagging")


@dataclass(frozen=True)
class Config:
    temperature: float = 20.0
    """T of the teacher and the student in training, > 0; the suite's."""

    def __post_init__(self) -> None:
        if not 0 < self.temperature < 1e4:
            raise ValueError(f"temperature is {self.temperature}; it must lie in 0 < temperature < 10000")


def prepare_model(module: torch.nn.Module, context: Context, config: Config) -> torch.nn.Module:
    return _teacher.train(module, context, Stack([Mitigation("temperature", _temperature, config)]))


def loss(forward: Forward, state: State, batch: Batch, config: Config) -> Output:
    output = forward(batch)
    known = batch.labels != IGNORE
    target = torch.softmax(_teacher.logits(state, batch)[known] / config.temperature, dim=-1)
    flat = output.logits.float()[known] / config.temperature
    return Output(torch.nn.functional.cross_entropy(flat, target), output.logits)


def after_training(module: torch.nn.Module, state: State, config: Config) -> torch.nn.Module:
    return _teacher.dismiss(module)
