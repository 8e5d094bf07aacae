"""LoRA: low-rank updates of the attention projections, everything else frozen.

Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models", ICLR 2022, arXiv 2106.09685, equation 3:
h = W0 x + (alpha / r) B A x, with A Gaussian, B zero, on the query and value projections. Adapters are peft's; they
are merged into W0 after training, so the checkpoint is a plain model and inference costs nothing extra.

The paper's GLUE setting for RoBERTa-base is r = 8, alpha = 16, learning rate 5e-4. The classification head is trained
in full, as in the authors' code. Default learning rate: the recorded grid where there is one, else the paper's.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import torch
from peft import LoraConfig, TaskType, get_peft_model

from training.errors import UserError
from training.hooks import Context, State

FAMILY = "efficiency"
SOURCE = "Hu et al. 2022, arXiv 2106.09685"
VERSION = 1
TASKS = ("classification", "tagging")
LEARNING_RATE = 5e-4
LEARNING_RATE_SOURCE = "paper (arXiv 2106.09685, RoBERTa-base on SST-2)"


@dataclass(frozen=True)
class Config:
    rank: int = 8
    """Rank r of the update, 1..256; 8 is the paper's value for RoBERTa-base."""
    alpha: int = 16
    """Scale alpha > 0; the update is multiplied by alpha / rank."""
    dropout: float = 0.0
    """Dropout before A, 0..1; peft's default."""

    def __post_init__(self) -> None:
        if not 1 <= self.rank <= 256:
            raise ValueError(f"rank is {self.rank}; it must lie in 1..256")
        if self.alpha <= 0:
            raise ValueError(f"alpha is {self.alpha}; it must be positive")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout is {self.dropout}; it must lie in 0 <= dropout < 1")


def prepare_model(module: torch.nn.Module, context: Context, config: Config) -> torch.nn.Module:
    if hasattr(module, "peft_config"):
        raise UserError("'lora' would wrap a model that another method's adapters wrap already. Leave out one.")
    kind = TaskType.SEQ_CLS if context.task.kind == "classification" else TaskType.TOKEN_CLS
    settings = LoraConfig(task_type=kind, r=config.rank, lora_alpha=config.alpha, lora_dropout=config.dropout)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # peft reads a property that transformers 5 has renamed
            return get_peft_model(module, settings)
    except ValueError as error:
        raise UserError(f"'lora' does not know where to put its updates in this model: {error}") from error


def after_training(module: torch.nn.Module, state: State, config: Config) -> torch.nn.Module:
    return module.merge_and_unload()  # type: ignore[operator]
