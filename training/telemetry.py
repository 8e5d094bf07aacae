"""What each training step did: loss, learning rate, gradient norms, weight updates, tokens and time.

Norms stay on the device until the end of training, so that recording them does not make a GPU wait in every step.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import torch

_LAYER = re.compile(r"\.(?:layer|layers|h|block)\.(\d+)\.")
# Updates need a copy of the trained weights and more passes over them: 7 ms in a step of BERT-tiny of 33 ms on a core.
# So they are recorded on at most SAMPLES evenly spaced steps of a run and on no more than one step in EVERY, which
# keeps them under 2 % and out of the medians of step times.
SAMPLES = 200
EVERY = 15

Copies = list[tuple[str, torch.Tensor, torch.Tensor]]


def layer_of(parameter_name: str) -> str:
    """The layer a parameter belongs to: `embeddings`, `layer.00`, `layer.01`, ..., `head`."""
    if match := _LAYER.search(parameter_name):
        return f"layer.{int(match.group(1)):02d}"
    return "embeddings" if "embed" in parameter_name else "head"


@dataclass
class Telemetry:
    """Collects one row per step of a run of `total_steps`; `table()` turns them into a DataFrame."""

    total_steps: int = 0
    sampling: bool = True
    """False: no updates are recorded, and no copy of the weights is ever made."""
    rows: list[dict[str, float | int]] = field(default_factory=list)
    tensors: list[dict[str, torch.Tensor]] = field(default_factory=list)
    copies: list[torch.Tensor] = field(default_factory=list)

    def gradients(self, module: torch.nn.Module) -> dict[str, torch.Tensor]:
        """Squared L2 norm of the gradient per layer, before clipping; each a scalar tensor on the device."""
        groups: dict[str, list[torch.Tensor]] = {}
        for name, parameter in module.named_parameters():
            if parameter.grad is not None:
                groups.setdefault(layer_of(name), []).append(parameter.grad.detach())
        return {layer: _squares(grads) for layer, grads in sorted(groups.items())}

    def weights(self, module: torch.nn.Module) -> Copies:
        """(layer, parameter, copy) of everything that is trained, where this step is sampled; else nothing."""
        if not self.sampling or len(self.rows) % max(EVERY, math.ceil(self.total_steps / SAMPLES)):
            return []
        trained = [(layer_of(name), p) for name, p in module.named_parameters() if p.requires_grad]
        now = [parameter.detach() for _, parameter in trained]
        if [copy.shape for copy in self.copies] != [one.shape for one in now]:
            self.copies = [torch.empty_like(one) for one in now]
        torch._foreach_copy_(self.copies, now)
        return [(layer, parameter, copy) for (layer, parameter), copy in zip(trained, self.copies, strict=True)]

    def updates(self, before: Copies) -> dict[str, torch.Tensor]:
        """`update:<layer>`: ||w_t+1 - w_t|| / ||w_t|| over the layer's trained weights; NaN where they were all 0.

        `before` is what `weights` returned ahead of the step; its copies are used up.
        """
        found = {}
        for layer in sorted({layer for layer, *_ in before}):
            now = [parameter.detach() for own, parameter, _ in before if own == layer]
            old = [copy for own, _, copy in before if own == layer]
            length = _squares(old)
            torch._foreach_sub_(old, now)
            found[f"update:{layer}"] = torch.where(length > 0, _squares(old) / length, torch.nan).sqrt()
        if before and before[0][1].device.type != "cpu":
            # a CPU takes three times as long with fresh memory; a GPU's allocator has it at hand, and it is dear there
            self.copies = []
        return found

    def add(self, row: dict[str, float | int], tensors: dict[str, torch.Tensor]) -> None:
        self.rows.append(row)
        self.tensors.append(tensors)

    def table(self) -> pd.DataFrame:
        """One row per step: step, learning_rate, samples, seconds, loss, clipped, tokens, norm:<layer>, grad_norm,
        nonfinite (the number of layers whose gradient is not finite), update:<layer> (NaN on steps not sampled)."""
        frame = pd.DataFrame(self.rows)
        if not self.tensors:
            return frame
        names = list(dict.fromkeys(name for row in self.tensors for name in row))
        unknown = torch.full((), torch.nan, device=self.tensors[0]["loss"].device)
        rows = [torch.stack([row.get(name, unknown).float().reshape(()) for name in names]) for row in self.tensors]
        columns = pd.DataFrame(torch.stack(rows).cpu().numpy(), columns=names)
        layers = [name for name in names if name.startswith("norm:")]
        # a layer without a gradient in this step is unknown, which is not the same as a gradient that is NaN
        present = np.array([[name in row for name in layers] for row in self.tensors])
        squares = columns[layers].to_numpy()
        columns["grad_norm"] = np.where(present, squares, 0.0).sum(axis=1) ** 0.5
        columns["nonfinite"] = (present & ~np.isfinite(squares)).sum(axis=1)
        columns[layers] = columns[layers] ** 0.5
        columns["clipped"] = columns["clipped"] > 0
        columns["tokens"] = columns["tokens"].astype(int)
        return pd.concat([frame, columns], axis=1)


def _squares(tensors: list[torch.Tensor]) -> torch.Tensor:
    """The sum of squares over all elements, a scalar on the device."""
    return torch.stack([norm.square() for norm in torch._foreach_norm(tensors)]).sum()
