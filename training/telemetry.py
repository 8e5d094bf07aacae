"""What each training step did: loss, learning rate, gradient norms, tokens and time.

Norms stay on the device until the end of training, so that recording them does not make a GPU wait in every step.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import pandas as pd
import torch

_LAYER = re.compile(r"\.(?:layer|layers|h|block)\.(\d+)\.")


def layer_of(parameter_name: str) -> str:
    """The layer a parameter belongs to: `embeddings`, `layer.00`, `layer.01`, ..., `head`."""
    if match := _LAYER.search(parameter_name):
        return f"layer.{int(match.group(1)):02d}"
    return "embeddings" if "embed" in parameter_name else "head"


@dataclass
class Telemetry:
    """Collects one row per step; `table()` turns them into a DataFrame."""

    rows: list[dict[str, float | int]] = field(default_factory=list)
    tensors: list[dict[str, torch.Tensor]] = field(default_factory=list)

    def gradients(self, module: torch.nn.Module) -> dict[str, torch.Tensor]:
        """Squared L2 norm of the gradient per layer, before clipping; each a scalar tensor on the device."""
        groups: dict[str, list[torch.Tensor]] = {}
        for name, parameter in module.named_parameters():
            if parameter.grad is not None:
                groups.setdefault(layer_of(name), []).append(parameter.grad.detach())
        return {
            layer: torch.stack([norm.square() for norm in torch._foreach_norm(grads)]).sum()
            for layer, grads in sorted(groups.items())
        }

    def add(self, row: dict[str, float | int], tensors: dict[str, torch.Tensor]) -> None:
        self.rows.append(row)
        self.tensors.append(tensors)

    def table(self) -> pd.DataFrame:
        """One row per step: step, learning_rate, samples, tokens, seconds, loss, clipped, grad_norm, norm:<layer>."""
        frame = pd.DataFrame(self.rows)
        if not self.tensors:
            return frame
        names = list(self.tensors[0])
        values = torch.stack([torch.stack([row[n].float().reshape(()) for n in names]) for row in self.tensors]).cpu()
        columns = pd.DataFrame(values.numpy(), columns=names)
        layers = [name for name in names if name.startswith("norm:")]
        columns["grad_norm"] = columns[layers].sum(axis=1) ** 0.5
        columns[layers] = columns[layers] ** 0.5
        columns["clipped"] = columns["clipped"] > 0
        columns["tokens"] = columns["tokens"].astype(int)
        return pd.concat([frame, columns], axis=1)
