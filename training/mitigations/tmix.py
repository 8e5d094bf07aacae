"""TMix: the hidden states of two texts are mixed inside the encoder, and the prediction is taught the mixed label.

Chen, Yang and Yang, "MixText: Linguistically-Informed Interpolation of Hidden Space for Semi-Supervised Text
Classification", ACL 2020, arXiv 2004.12239: at a layer drawn for each batch, h = l h_i + (1 - l) h_j, with
l ~ Beta(alpha, alpha), l <- max(l, 1 - l) and j from a permutation of the batch; the layers above go on with h, and the
loss is l CE(z, y_i) + (1 - l) CE(z, y_j), which is KL(mixed label || softmax(z)) up to a constant. alpha = 16 is the
authors' recipe for few labels.

Deviations: the states entering a block are mixed; blocks are drawn from the upper half of the model (the authors'
{7, 9, 12} of 12), on an encoder of two layers always the second. Below the mixing, each text attends to its own pieces;
from there on to the positions where either text has a piece, so nothing of the longer text is lost. Where only one text
has a piece, the state at the other's padding is mixed in. One l per batch. TMix alone, without MixText's unlabelled
texts. A loss inside this one sees the mixed states in each of its passes; its value counts for the l part, so l = 1
leaves it as it is. One outside draws anew for each of its passes.

Not for tagging: a mixed position has no mixed label where only one of the two texts begins a word.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

import torch

from training.errors import UserError
from training.hooks import IGNORE, Batch, Forward, Output, State
from training.telemetry import layer_of

FAMILY = "generalisation"
SOURCE = "Chen et al. 2020, ACL, arXiv 2004.12239"
VERSION = 1
TASKS = ("classification",)


@dataclass(frozen=True)
class Config:
    alpha: float = 16.0
    """Both parameters of the Beta distribution of l, > 0; the authors' recipe for few labels. Small: l near 1."""
    lowest: float = 0.5
    """Share of the blocks, from the bottom, that never get mixed states, 0 <= lowest < 1; 0.5 is the upper half."""

    def __post_init__(self) -> None:
        if not self.alpha > 0:
            raise ValueError(f"alpha is {self.alpha}; it must be positive")
        if not 0 <= self.lowest < 1:
            raise ValueError(f"lowest is {self.lowest}; it must lie in 0 <= lowest < 1")


def loss(forward: Forward, state: State, batch: Batch, config: Config) -> Output:
    layers = blocks(state.module)
    first = int(config.lowest * len(layers))
    chosen = first + int(torch.randint(len(layers) - first, (1,), generator=state.generator))
    # torch's Beta takes no generator, and all choices come from the state's
    rng = random.Random(int(torch.randint(2**62, (1,), generator=state.generator)))
    one = rng.betavariate(config.alpha, config.alpha)
    order = torch.randperm(len(batch.labels), generator=state.generator).to(batch.labels.device)
    return mixed(forward, batch, layers[chosen:], order, max(one, 1 - one))


def blocks(module: torch.nn.Module) -> list[torch.nn.Module]:
    """The encoder's blocks from the bottom to the top, whatever the encoder is called."""
    found: dict[str, torch.nn.Module] = {}
    for name, part in module.named_modules():
        layer = layer_of(f"{name}.")
        if layer.startswith("layer."):
            found.setdefault(layer, part)  # a block comes before its parts
    if not found:
        raise UserError("'tmix' finds no encoder blocks in this model. Leave it out.")
    return [found[layer] for layer in sorted(found)]


def mixed(forward: Forward, batch: Batch, layers: list[torch.nn.Module], order: torch.Tensor, share: float) -> Output:
    """`forward` with the states entering layers[0] mixed with those of the texts in `order`, `share` their own."""

    def mix(_: torch.nn.Module, given: tuple[Any, ...], named: dict[str, Any]) -> tuple[tuple, dict[str, Any]]:
        given, named = _union(given, named, order)
        key = next(name for name in named if name.startswith("hidden_state")) if not given else ""
        states = named[key] if key else given[0]
        if len(states) != len(order):
            raise UserError("'tmix' cannot stack with a loss that changes how many texts a pass has. Choose one.")
        states = share * states + (1 - share) * states[order]
        return (given, named | {key: states}) if key else ((states, *given[1:]), named)

    def widen(_: torch.nn.Module, given: tuple[Any, ...], named: dict[str, Any]) -> tuple[tuple, dict[str, Any]]:
        return _union(given, named, order)

    hooks = [layers[0].register_forward_pre_hook(mix, with_kwargs=True)]
    hooks += [layer.register_forward_pre_hook(widen, with_kwargs=True) for layer in layers[1:]]
    try:
        own = forward(batch)
    finally:
        for hook in hooks:
            hook.remove()
    others = torch.nn.functional.cross_entropy(own.logits.float(), batch.labels[order], ignore_index=IGNORE)
    return Output(share * own.loss + (1 - share) * others, own.logits)


def _union(given: tuple[Any, ...], named: dict[str, Any], order: torch.Tensor) -> tuple[tuple, dict[str, Any]]:
    """A block's arguments with each text's attention mask joined with its partner's.

    Whichever form a mask has, attending is its larger value: 1 against 0, True against False, 0 against minus infinity.
    """

    def join(value: Any) -> Any:
        tensor = isinstance(value, torch.Tensor) and value.ndim > 1 and len(value) == len(order)
        return torch.maximum(value, value[order]) if tensor else value

    masks = {name: join(value) for name, value in named.items() if "mask" in name and name != "head_mask"}
    return (*given[:1], *map(join, given[1:2]), *given[2:]), named | masks
