"""The closed list of places where a mitigation may act, and what the baseline does there.

A mitigation file defines only the functions it needs; what it leaves out is the baseline's:

| hook             | signature                                         | baseline                                  |
| ---------------- | ------------------------------------------------- | ----------------------------------------- |
| `prepare_data`   | (examples, context, config) -> examples           | the examples as they are                  |
| `prepare_model`  | (module, context, config) -> module               | full fine-tuning                          |
| `optimiser`      | (module, settings, config) -> Optimizer           | `adamw`                                   |
| `loss`           | (forward, state, batch, config) -> Output         | `cross_entropy`                           |
| `after_backward` | (state, config) -> None                           | `clip_gradients`                          |
| `after_step`     | (state, config) -> None                           | nothing                                   |
| `after_training` | (module, context, config) -> module               | nothing                                   |

Mitigations stack (`lora+fgm`). Data, model, step and training hooks run one after the other in the order given; loss
hooks wrap each other, the first named outermost; `optimiser` and `after_backward` replace the baseline's, so at most
one mitigation of a stack may define each.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import torch
from pydantic import BaseModel, ConfigDict, Field

from training.alignment import IGNORE
from training.errors import UserError
from training.task import Example, Task

if TYPE_CHECKING:
    from attacks.lexicon import Lexicon

REPLACING = ("optimiser", "after_backward")


class Settings(BaseModel):
    """What every arm shares. Defaults: Mosbach et al. 2021 (arXiv 2006.04884): bias-corrected AdamW, 10 % warm-up."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    learning_rate: float = Field(gt=0, le=1)
    epochs: int = Field(ge=1, le=1000)
    batch_size: int = Field(default=16, ge=1)
    max_length: int = Field(default=64, ge=4, description="sub-word pieces per text, special tokens included")
    weight_decay: float = Field(default=0.01, ge=0)
    warmup: float = Field(default=0.1, ge=0, lt=1, description="share of the steps with a rising learning rate")
    clip_norm: float = Field(default=1.0, gt=0, description="global L2 norm the baseline clips gradients to")
    patience: int | None = Field(default=None, ge=1, description="epochs without a better validation score; None: off")


@dataclass(frozen=True)
class Batch:
    """One padded batch; `embeddings`, where set, is used instead of looking `input_ids` up.

    Shapes: input_ids, attention_mask, word_mask (n, length); labels (n,) or (n, length) with IGNORE; embeddings
    (n, length, hidden). `word_mask` is 1 on pieces of words, 0 on special tokens and padding.
    """

    input_ids: torch.Tensor
    attention_mask: torch.Tensor
    word_mask: torch.Tensor
    labels: torch.Tensor
    embeddings: torch.Tensor | None = None

    def with_embeddings(self, embeddings: torch.Tensor) -> Batch:
        return dataclasses.replace(self, embeddings=embeddings)

    def to(self, device: torch.device) -> Batch:
        moved = {
            item.name: value.to(device, non_blocking=True)
            for item in dataclasses.fields(self)
            if (value := getattr(self, item.name)) is not None
        }
        return dataclasses.replace(self, **moved)


class Output(NamedTuple):
    """A scalar loss and the logits, (n, classes) or (n, length, classes)."""

    loss: torch.Tensor
    logits: torch.Tensor


class Forward(Protocol):
    """The rest of the loss chain: a batch in, loss and logits out."""

    def __call__(self, batch: Batch) -> Output: ...


@dataclass(frozen=True)
class Context:
    """What data and model hooks may look at. `lexicon()` opens the attack lexicon when first called."""

    task: Task
    tokenizer: Any
    settings: Settings
    seed: int
    lexicon: Callable[[], Lexicon]


@dataclass
class State:
    """The running training, as loss and step hooks see it. `memory` keeps what a mitigation carries over steps."""

    module: torch.nn.Module
    optimizer: torch.optim.Optimizer
    tokenizer: Any
    settings: Settings
    generator: torch.Generator
    backward: Callable[[torch.Tensor], None]
    step: int = 0
    total_steps: int = 0
    passes: int = 0
    clipped: torch.Tensor | None = None
    memory: dict[str, Any] = field(default_factory=dict)

    def embed(self, batch: Batch) -> torch.Tensor:
        """Word embeddings of the batch, (n, length, hidden), before positions and types are added."""
        if batch.embeddings is not None:
            return batch.embeddings
        return self.module.get_input_embeddings()(batch.input_ids)  # type: ignore[operator]


def cross_entropy(state: State, batch: Batch) -> Output:
    """The innermost loss: mean cross-entropy over the texts, or over the labelled pieces of a tagging batch."""
    if batch.embeddings is None:
        logits = state.module(input_ids=batch.input_ids, attention_mask=batch.attention_mask).logits
    else:
        logits = state.module(inputs_embeds=batch.embeddings, attention_mask=batch.attention_mask).logits
    state.passes += 1
    flat = logits.float().reshape(-1, logits.shape[-1])
    loss = torch.nn.functional.cross_entropy(flat, batch.labels.reshape(-1), ignore_index=IGNORE)
    return Output(loss, logits)


def adamw(module: torch.nn.Module, settings: Settings) -> torch.optim.Optimizer:
    """AdamW with bias correction; no decay on biases and LayerNorm weights (one-dimensional parameters)."""
    trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": settings.weight_decay},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]
    fused = bool(trained) and trained[0].is_cuda
    return torch.optim.AdamW([g for g in groups if g["params"]], lr=settings.learning_rate, fused=fused)


def clip_gradients(state: State) -> None:
    """g <- g * min(1, c / ||g||_2) over all parameters (Pascanu et al. 2013, ICML, algorithm 1)."""
    norm = torch.nn.utils.clip_grad_norm_(state.module.parameters(), state.settings.clip_norm)
    state.clipped = norm > state.settings.clip_norm


@dataclass(frozen=True)
class Mitigation:
    """A loaded plug-in with its checked Config."""

    name: str
    plugin: ModuleType
    config: Any

    def hook(self, name: str) -> Callable[..., Any] | None:
        return getattr(self.plugin, name, None)


class Stack:
    """Several mitigations acting together. Raises UserError for a pair that cannot stack."""

    def __init__(self, mitigations: Sequence[Mitigation]) -> None:
        self.mitigations = tuple(mitigations)
        for hook in REPLACING:
            self._refuse_two([m for m in mitigations if m.hook(hook)], f"both replace the baseline's '{hook}'")
        early = [m for m in mitigations if getattr(m.plugin, "BACKPROPAGATES", False)]
        self._refuse_two(early, "both call backward inside the loss, and only the outermost loss may")
        wrapping = [m for m in mitigations if m.hook("loss") and m not in early]
        self._losses = early + wrapping

    @staticmethod
    def _refuse_two(rivals: Sequence[Mitigation], reason: str) -> None:
        if len(rivals) > 1:
            raise UserError(f"'{rivals[0].name}' and '{rivals[1].name}' cannot stack: {reason}. Choose one.")

    def trained_on(self, explainer: str) -> str | None:
        """The first mitigation whose training looks at `explainer` (TRAINED_ON_EXPLAINERS), or None."""
        names = (m.name for m in self.mitigations if explainer in getattr(m.plugin, "TRAINED_ON_EXPLAINERS", ()))
        return next(names, None)

    def prepare_data(self, examples: Sequence[Example], context: Context) -> Sequence[Example]:
        for mitigation in self.mitigations:
            if hook := mitigation.hook("prepare_data"):
                examples = hook(examples, context, mitigation.config)
        return examples

    def prepare_model(self, module: torch.nn.Module, context: Context) -> torch.nn.Module:
        return self._chain("prepare_model", module, context)

    def after_training(self, module: torch.nn.Module, context: Context) -> torch.nn.Module:
        return self._chain("after_training", module, context)

    def _chain(self, name: str, module: torch.nn.Module, context: Context) -> torch.nn.Module:
        for mitigation in self.mitigations:
            if hook := mitigation.hook(name):
                module = hook(module, context, mitigation.config)
        return module

    def optimiser(self, module: torch.nn.Module, settings: Settings) -> torch.optim.Optimizer:
        for mitigation in self.mitigations:
            if hook := mitigation.hook("optimiser"):
                return hook(module, settings, mitigation.config)
        return adamw(module, settings)

    def loss(self, state: State, batch: Batch) -> Output:
        return self._loss_from(0, state, batch)

    def _loss_from(self, index: int, state: State, batch: Batch) -> Output:
        if index == len(self._losses):
            return cross_entropy(state, batch)
        mitigation = self._losses[index]
        hook = mitigation.hook("loss")
        if hook is None:
            raise UserError(f"'{mitigation.name}' says BACKPROPAGATES but defines no loss.")
        return hook(lambda inner: self._loss_from(index + 1, state, inner), state, batch, mitigation.config)

    def after_backward(self, state: State) -> None:
        for mitigation in self.mitigations:
            if hook := mitigation.hook("after_backward"):
                hook(state, mitigation.config)
                return
        clip_gradients(state)

    def after_step(self, state: State) -> None:
        for mitigation in self.mitigations:
            if hook := mitigation.hook("after_step"):
                hook(state, mitigation.config)
