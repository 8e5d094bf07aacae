"""Training at a temperature: the cross-entropy of the logits divided by T, for a teacher that is distilled at T."""

from __future__ import annotations

from typing import Any

import torch

from training.hooks import IGNORE, Batch, Forward, Output, State


def loss(forward: Forward, state: State, batch: Batch, config: Any) -> Output:
    output = forward(batch)
    flat = output.logits.float().reshape(-1, output.logits.shape[-1]) / config.temperature
    target = batch.labels.reshape(-1)
    return Output(torch.nn.functional.cross_entropy(flat, target, ignore_index=IGNORE), output.logits)
