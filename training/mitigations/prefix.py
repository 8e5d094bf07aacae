"""Prefix tuning: every attention layer sees some learned keys and values beside those of the text; the rest is frozen.

Li and Liang, "Prefix-Tuning: Optimizing Continuous Prompts for Generation", ACL 2021, arXiv 2101.00190; for encoders
Liu et al., "P-Tuning v2", ACL 2022, arXiv 2110.07602: softmax(q [P_k; K]^T / sqrt(d)) [P_v; V] with P_k, P_v learned in
each layer. The head is trained in full.

peft's PrefixTuningConfig was tried and is not used: on BERT it moves every text `length` positions on, so that texts of
the greatest length are refused, it counts the head twice, and it fails on RoBERTa. Here the attention's own projections
are kept and positions stay as pretrained. Deviations: P_k and P_v are trained directly, without Li and Liang's network
in front; at the start they are small and random. Known is the self-attention of BERT and RoBERTa. Attention weights,
where asked for, are those of the text alone and add up to less than 1. The checkpoint keeps the prefixes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch

from training.errors import UserError
from training.hooks import Context, State
from training.mitigations._parts import is_head, learn_only, still_learning

FAMILY = "efficiency"
SOURCE = "Li and Liang 2021, arXiv 2101.00190; Liu et al. 2022, arXiv 2110.07602"
VERSION = 1
TASKS = ("classification", "tagging")
LEARNING_RATE = 1e-1
LEARNING_RATE_SOURCE = "the suite's grid 1e-3 to 3e-1 on movie_reviews, BERT-tiny (validation)"
INITIAL = 0.02
KEPT = ("query", "key", "value", "dropout", "num_attention_heads")


@dataclass(frozen=True)
class Config:
    length: int = 20
    """Learned keys and values in each layer, 1..512; the suite's, untuned, the least of the usual 20 to 100."""

    def __post_init__(self) -> None:
        if not 1 <= self.length <= 512:
            raise ValueError(f"length is {self.length}; it must lie in 1..512")


class PrefixedAttention(torch.nn.Module):
    """The self-attention it replaces, with its projections and dropout, and the learned keys and values."""

    prefix_key: torch.Tensor
    prefix_value: torch.Tensor

    def __init__(self, replaced: Any, length: int) -> None:
        super().__init__()
        self.query, self.key, self.value, self.dropout = replaced.query, replaced.key, replaced.value, replaced.dropout
        self.heads = replaced.num_attention_heads
        like = replaced.key.weight
        for name in ("prefix_key", "prefix_value"):
            drawn = INITIAL * torch.randn(length, like.shape[0])
            self.register_parameter(name, torch.nn.Parameter(drawn.to(like.device, like.dtype)))

    def _by_head(self, states: torch.Tensor) -> torch.Tensor:
        return states.unflatten(-1, (self.heads, -1)).transpose(1, 2)

    def forward(
        self, hidden_states: torch.Tensor, attention_mask: torch.Tensor | None = None, *_: Any, **__: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        query, key, value = (part(hidden_states) for part in (self.query, self.key, self.value))
        rows, length = len(hidden_states), len(self.prefix_key)
        key = torch.cat([self.prefix_key.to(key.dtype).expand(rows, -1, -1), key], dim=1)
        value = torch.cat([self.prefix_value.to(value.dtype).expand(rows, -1, -1), value], dim=1)
        query, key, value = self._by_head(query), self._by_head(key), self._by_head(value)
        scores = query @ key.transpose(-1, -2) / math.sqrt(query.shape[-1])
        if attention_mask is not None:  # boolean (True: seen) or added to the scores; it knows the text alone
            text = scores[..., length:]
            seen = attention_mask.dtype == torch.bool
            text = text.masked_fill(~attention_mask, -math.inf) if seen else text + attention_mask
            scores = torch.cat([scores[..., :length], text], dim=-1)
        weights = self.dropout(scores.softmax(dim=-1))
        return (weights @ value).transpose(1, 2).flatten(2), weights[..., length:]


def structure(module: torch.nn.Module, config: Config) -> torch.nn.Module:
    found = {
        name: part
        for name, part in module.named_modules()
        if name.endswith("attention.self") and all(hasattr(part, known) for known in KEPT)
    }
    absolute = getattr(module.config, "position_embedding_type", "absolute") in (None, "absolute")
    if not found or not absolute:
        raise UserError(
            "'prefix' knows the self-attention of BERT and RoBERTa with absolute positions, and this model has another "
            "one. Choose another encoder, or leave it out."
        )
    for name, part in found.items():
        made = PrefixedAttention(part, config.length)
        # transformers 5 records the attention weights of parts of the replaced class only
        made.__class__ = type(PrefixedAttention.__name__, (PrefixedAttention, type(part)), {})
        module.set_submodule(name, made)
    return module


def _learns(name: str) -> bool:
    return name.endswith((".prefix_key", ".prefix_value")) or is_head(name)


def prepare_model(module: torch.nn.Module, context: Context, config: Config) -> torch.nn.Module:
    return learn_only(module, "prefix", _learns)


def after_step(state: State, config: Config) -> None:
    still_learning(state, "prefix", _learns)
