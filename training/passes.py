"""Counts what a training computes: forward and backward passes through the model, and the positions in them."""

from __future__ import annotations

from dataclasses import astuple, dataclass
from typing import Any

import torch
from torch.utils.hooks import RemovableHandle


@dataclass
class Passes:
    """Passes, and positions (rows x padded length) summed over them. Gradients to inputs alone count as a backward."""

    forward: int = 0
    backward: int = 0
    forward_positions: int = 0
    backward_positions: int = 0

    def watch(self, module: torch.nn.Module) -> RemovableHandle:
        """Counts every call of `module` and every gradient through its logits until the handle is removed.

        Calls give `input_ids` or `inputs_embeds` by name, as Hugging Face models take them.
        """

        def called(_: torch.nn.Module, __: Any, given: dict[str, Any], output: Any) -> None:
            inputs = given["input_ids"] if given.get("input_ids") is not None else given["inputs_embeds"]
            positions = inputs.shape[0] * inputs.shape[1]
            self.forward += 1
            self.forward_positions += positions
            if output.logits.requires_grad:
                output.logits.register_hook(lambda _: self._returned(positions))

        return module.register_forward_hook(called, with_kwargs=True)

    def _returned(self, positions: int) -> None:
        self.backward += 1
        self.backward_positions += positions

    def since(self, earlier: Passes) -> Passes:
        return Passes(*(now - before for now, before in zip(astuple(self), astuple(earlier), strict=True)))

    def cost(self, positions: int) -> float:
        """This over one forward and one backward pass of `positions`; a backward pass counts as two forward ones."""
        return (self.forward_positions + 2 * self.backward_positions) / (3 * max(1, positions))
