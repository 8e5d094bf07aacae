"""The closed list of places where a mitigation may act, and what the baseline does there.

A mitigation file defines only the functions it needs; what it leaves out is the baseline's:

| hook             | signature                                         | baseline                                  |
| ---------------- | ------------------------------------------------- | ----------------------------------------- |
| `settings`       | (settings, config) -> settings                    | the settings every arm shares             |
| `prepare_data`   | (examples, context, config) -> examples           | the examples as they are                  |
| `structure`      | (module, config) -> module                        | the encoder and its head as they are      |
| `prepare_model`  | (module, context, config) -> module               | full fine-tuning                          |
| `optimiser`      | (module, settings, config) -> Optimizer           | `adamw`                                   |
| `loss`           | (forward, state, batch, config) -> Output         | `cross_entropy`                           |
| `after_backward` | (state, config) -> None                           | `clip_gradients`                          |
| `after_step`     | (state, config) -> None                           | nothing                                   |
| `after_training` | (module, state, config) -> module                 | nothing                                   |

Mitigations stack (`lora+fgm`, training/stack.py). Settings, data, structure, model, step and training hooks run one
after the other in the order given; loss hooks wrap each other, the first named outermost; `optimiser` and
`after_backward` replace the baseline's, so at most one mitigation of a stack may define each.

`structure` is for parts that stay in the finished model (adapters, prompts): it is applied again when a checkpoint is
opened, before its weights are loaded, and must not depend on anything but the module and the Config.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

import torch
from pydantic import BaseModel, ConfigDict, Field

from training.alignment import IGNORE
from training.errors import UserError
from training.passes import Passes
from training.span_head import class_weights
from training.task import Example, Task

if TYPE_CHECKING:
    from attacks.lexicon import Lexicon
    from training.model import Classifier


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
    labelled: float = Field(default=1.0, gt=0, le=1, description="share of the training texts whose label is known")
    head: Literal["token", "span"] = Field(default="token", description="tagging: a tag a word, or a type a span")


@dataclass(frozen=True)
class Batch:
    """One padded batch; `embeddings`, where set, is used instead of looking `input_ids` up.

    Shapes: input_ids, attention_mask, word_mask (n, length); labels (n,), (n, length) with IGNORE, or for a span head
    (n, spans) with IGNORE (training/span_head.py); embeddings (n, length, hidden). `word_mask` is 1 on pieces of words,
    0 on special tokens and padding. Where examples have them:
    `groups` (n,), the index of each text's group, else -1; `rationale` (n, length), 1 on pieces of words that justify
    the label. A text without a rationale has none marked.
    """

    input_ids: torch.Tensor
    attention_mask: torch.Tensor
    word_mask: torch.Tensor
    labels: torch.Tensor
    embeddings: torch.Tensor | None = None
    groups: torch.Tensor | None = None
    rationale: torch.Tensor | None = None

    def with_embeddings(self, embeddings: torch.Tensor) -> Batch:
        return dataclasses.replace(self, embeddings=embeddings)

    def to(self, device: torch.device) -> Batch:
        return self._each(lambda tensor: tensor.to(device, non_blocking=True))

    def select(self, rows: torch.Tensor | slice) -> Batch:
        """The texts `rows` (indices or a slice) as a batch of their own, in that order."""
        return self._each(lambda tensor: tensor[rows])

    def _each(self, change: Callable[[torch.Tensor], torch.Tensor]) -> Batch:
        held = {item.name: getattr(self, item.name) for item in dataclasses.fields(self)}
        changed = {name: change(value) for name, value in held.items() if value is not None}
        return dataclasses.replace(self, **changed)


class Output(NamedTuple):
    """A scalar loss and the logits, (n, classes), (n, length, classes) or (n, spans, classes)."""

    loss: torch.Tensor
    logits: torch.Tensor


class Forward(Protocol):
    """The rest of the loss chain: a batch in, loss and logits out."""

    def __call__(self, batch: Batch) -> Output: ...


def _cannot(*_: Any, **__: Any) -> Any:
    raise UserError(
        "this mitigation needs a second model, a task or a resource, and the training was started without a way to one"
    )


@dataclass(frozen=True)
class Context:
    """What data and model hooks may look at. `lexicon()` opens the attack lexicon when first called.

    `build()` opens the pretrained encoder with a fresh head for this task, `build("minilm-l6")` another one,
    `build(task=other)` one with a head for another task;
    `open_task(locator)` opens another task, `resource(name)` is the folder of a fetched resource.
    `unlabelled`: training texts whose label is withheld (Settings.labelled).
    A mitigation may train a model of its own with training.loop.fine_tune and a context made by `replace`; its passes
    count as this arm's.
    """

    task: Task
    tokenizer: Any
    settings: Settings
    seed: int
    lexicon: Callable[[], Lexicon]
    build: Callable[..., Classifier] = _cannot
    open_task: Callable[[str], Task] = _cannot
    unlabelled: tuple[Example, ...] = ()
    passes: Passes = field(default_factory=Passes)
    resource: Callable[[str], Path] = _cannot


@dataclass
class State:
    """The running training, as loss and step hooks see it. `memory` keeps what a mitigation carries over steps."""

    module: torch.nn.Module
    optimizer: torch.optim.Optimizer
    context: Context
    generator: torch.Generator
    backward: Callable[[torch.Tensor], None]
    step: int = 0
    total_steps: int = 0
    clipped: torch.Tensor | None = None
    memory: dict[str, Any] = field(default_factory=dict)

    @property
    def settings(self) -> Settings:
        return self.context.settings

    @property
    def tokenizer(self) -> Any:
        return self.context.tokenizer

    def embed(self, batch: Batch) -> torch.Tensor:
        """Word embeddings of the batch, (n, length, hidden), before positions and types are added."""
        if batch.embeddings is not None:
            return batch.embeddings
        return self.module.get_input_embeddings()(batch.input_ids)  # type: ignore[operator]


def cross_entropy(state: State, batch: Batch) -> Output:
    """The innermost loss: mean cross-entropy over the texts, or over the labelled pieces of a tagging batch; over spans
    a mean weighted by class (training/span_head.py)."""
    if batch.embeddings is None:
        logits = state.module(input_ids=batch.input_ids, attention_mask=batch.attention_mask).logits
    else:
        logits = state.module(inputs_embeds=batch.embeddings, attention_mask=batch.attention_mask).logits
    flat = logits.float().reshape(-1, logits.shape[-1])
    weight = class_weights(flat) if state.settings.head == "span" else None
    loss = torch.nn.functional.cross_entropy(flat, batch.labels.reshape(-1), weight, ignore_index=IGNORE)
    return Output(loss, logits)


def adamw(module: torch.nn.Module, settings: Settings) -> torch.optim.Optimizer:
    """AdamW with bias correction; no decay on biases and LayerNorm weights (one-dimensional parameters)."""
    trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": settings.weight_decay},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW([g for g in groups if g["params"]], lr=settings.learning_rate, fused=fused(trained))


def fused(trained: list[torch.nn.Parameter]) -> bool:
    """Whether torch's one-kernel AdamW runs here: half the step of BERT-tiny on a CPU is the optimiser without it."""
    return bool(trained) and trained[0].device.type in ("cuda", "cpu")


def clip_gradients(state: State) -> None:
    """g <- g * min(1, c / ||g||_2) over all parameters (Pascanu et al. 2013, ICML, algorithm 1)."""
    norm = torch.nn.utils.clip_grad_norm_(state.module.parameters(), state.settings.clip_norm)
    state.clipped = norm > state.settings.clip_norm
