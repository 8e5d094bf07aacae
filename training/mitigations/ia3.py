"""(IA)3: learned vectors rescale keys, values and feed-forward activations; everything else is frozen.

Liu et al., "Few-Shot Parameter-Efficient Fine-Tuning is Better and Cheaper than In-Context Learning", NeurIPS 2022,
arXiv 2205.05638, section 3.3: keys l_k * K, values l_v * V, and l_ff * gamma(W_1 x) before W_2; all vectors start at 1.
The vectors are peft's; they are merged into the weights after training, so the checkpoint is a plain model.

Deviations: the head is trained in full. In BERT, peft's default table would rescale the attention's output layer too,
because its name also ends in `output.dense`; the paper's three places are named here. Default learning rate: the
recorded grid where there is one, else 3e-3 from the authors' code (for T0, not for an encoder).
"""

from __future__ import annotations

import warnings

import torch
from peft import IA3Config, TaskType, get_peft_model

from training.errors import UserError
from training.hooks import Context, State

FAMILY = "efficiency"
SOURCE = "Liu et al. 2022, arXiv 2205.05638"
VERSION = 1
TASKS = ("classification", "tagging")
LEARNING_RATE = 3e-3
LEARNING_RATE_SOURCE = "authors' code (arXiv 2205.05638, T0)"
FEED_FORWARD = r".*\.layer\.\d+\.output\.dense"
PLACES = rf".*\.attention\.self\.(key|value)|{FEED_FORWARD}"


def prepare_model(module: torch.nn.Module, context: Context, config: None) -> torch.nn.Module:
    if hasattr(module, "peft_config"):
        raise UserError("'ia3' would wrap a model that another method's adapters wrap already. Leave out one.")
    kind = TaskType.SEQ_CLS if context.task.kind == "classification" else TaskType.TOKEN_CLS
    settings = IA3Config(task_type=kind, target_modules=PLACES, feedforward_modules=FEED_FORWARD)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # peft reads a property that transformers 5 has renamed
            return get_peft_model(module, settings)
    except ValueError as error:
        raise UserError(f"'ia3' knows the layer names of BERT and RoBERTa, not this model's: {error}") from error


def after_training(module: torch.nn.Module, state: State, config: None) -> torch.nn.Module:
    return module.merge_and_unload()  # type: ignore[operator]
