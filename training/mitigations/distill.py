"""Distillation: the model learns from a fine-tuned teacher's probabilities as well as from the labels.

Hinton, Vinyals and Dean, "Distilling the Knowledge in a Neural Network", 2015, arXiv 1503.02531: with z the logits,
p_T = softmax(z_teacher / T) and q_T = softmax(z / T), the loss is alpha * T^2 * KL(p_T || q_T) + (1 - alpha) * CE;
T^2 keeps the gradient of the first term, which shrinks as 1 / T^2, in proportion when T is changed.

The teacher is any mitigation with its default settings, on the same encoder or on another one with the same
vocabulary. It trains on the same texts with the same settings; another encoder gets the learning rate recorded for it.
`baseline` asks what distillation itself does, a robust teacher (`freelb`) whether robustness is handed down, a larger
encoder whether a small one keeps its accuracy.

Deviations: both terms are means over the labelled texts, or over the labelled pieces of a tagging batch, as every arm
has the same labels. T and alpha are the suite's and were not tuned. The teacher reads the words, also where the student
is given perturbed embeddings. Cost: the teacher's whole training, and its forward pass in every step; a pass counts by
its positions, whatever the size of the teacher.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from training.hooks import IGNORE, Batch, Context, Forward, Output, State
from training.mitigations import _teacher

FAMILY = "adversarial"
SOURCE = "Hinton et al. 2015, arXiv 1503.02531"
PASSES = (2, 1)
PREPARATION = _teacher.PREPARATION
VERSION = 1
TASKS = ("classification", "tagging")
USES = ("training/mitigations/*.py", "training/learning_rates.*")


@dataclass(frozen=True)
class Config:
    teacher: str = "baseline"
    """The teacher's mitigation, or a stack of them (lora+fgm); with their default settings."""
    teacher_model: str = ""
    """The teacher's encoder, by a name of the catalogue (minilm-l6); empty: the student's own."""
    temperature: float = 4.0
    """T, > 0, of both distributions; the suite's."""
    alpha: float = 0.5
    """Weight of the teacher, 0..1; the labels weigh 1 - alpha; the suite's."""

    def __post_init__(self) -> None:
        if not isinstance(self.teacher, str) or not self.teacher:
            raise ValueError(f"teacher is {self.teacher!r}; it must be the name of a mitigation, such as baseline")
        if not isinstance(self.teacher_model, str):
            raise ValueError(f"teacher_model is {self.teacher_model!r}; it must be the name of a model, or empty")
        if not 0 < self.temperature < 1e3:
            raise ValueError(f"temperature is {self.temperature}; it must lie in 0 < temperature < 1000")
        if not 0 <= self.alpha <= 1:
            raise ValueError(f"alpha is {self.alpha}; it must lie in 0..1")
        _teacher.open_stack(self.teacher)


def prepare_model(module: torch.nn.Module, context: Context, config: Config) -> torch.nn.Module:
    return _teacher.train(module, context, _teacher.open_stack(config.teacher), config.teacher_model)


def loss(forward: Forward, state: State, batch: Batch, config: Config) -> Output:
    output = forward(batch)
    known = batch.labels != IGNORE
    log_p = torch.log_softmax(_teacher.logits(state, batch)[known] / config.temperature, dim=-1)
    log_q = torch.log_softmax(output.logits.float()[known] / config.temperature, dim=-1)
    divergence = (log_p.exp() * (log_p - log_q)).sum(dim=-1).mean()
    soft = config.alpha * config.temperature**2 * divergence
    return Output(soft + (1 - config.alpha) * output.loss, output.logits)


def after_training(module: torch.nn.Module, state: State, config: Config) -> torch.nn.Module:
    return _teacher.dismiss(module)
