"""Attention supervision: the classification token must attend to the words of the rationale.

Mathew et al., "HateXplain: A Benchmark Dataset for Explainable Hate Speech Detection", AAAI 2021, arXiv 2012.10289:
CE + lambda * CE(softmax(sharpness * rationale), attention of [CLS]) on some heads of the last layer; the authors'
settings are lambda = 0.001, 6 of 12 heads, sharpness 5.

Deviations: the term is the mean over heads and texts, not the sum over heads. The target is spread over the pieces of
words, and texts without a rationale enter no such term (the authors' code gives normal texts a uniform one). Attention
is the plain probability, before dropout, where the authors' code puts it through another softmax. It is computed beside
the model from the query and key of the last layer, so the model keeps its own attention kernel and the checkpoint is
plain; this needs an encoder with BERT's attention. Where data bring no rationales, pseudo-rationales stand in
(training/mitigations/_rationales.py, resource `vader-lexicon`). Not for tagging: a token's tag is read at the token,
not at [CLS], and a rationale of entities would teach them to attend to each other. One forward pass a step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from training.errors import UserError
from training.hooks import Batch, Context, Forward, Output, State
from training.mitigations import _rationales
from training.task import Example

FAMILY = "interpretability"
SOURCE = "Mathew et al. 2021, arXiv 2012.10289"
VERSION = 1
TASKS = ("classification",)
USES = ("training/resources.lock",)
# softmax(q k / sqrt(d)) and nothing else, [CLS] first; DistilBERT has other names for the projections
BERT_LIKE = ("albert", "bert", "camembert", "distilbert", "electra", "roberta", "xlm-roberta")
PROJECTIONS = ((".query", ".key"), (".q_lin", ".k_lin"))


@dataclass(frozen=True)
class Config:
    weight: float = 0.1
    """lambda >= 0, the weight of the attention's cross-entropy; of 0.001, 0.1 and 1 the best validation accuracy of
    BERT-tiny on movie_reviews (250 steps). At the authors' 0.001 attention hardly moved."""
    sharpness: float = 5.0
    """Factor of the 0/1 rationale inside the softmax, > 0; the authors'."""
    heads: float = 0.5
    """Share of the last layer's heads that is supervised, the first ones, at least one; 0 < heads <= 1."""

    def __post_init__(self) -> None:
        _rationales.check_weight(self.weight)
        if not 0 < self.sharpness < 80:
            raise ValueError(f"sharpness is {self.sharpness}; it must lie in 0 < sharpness < 80")
        if not 0 < self.heads <= 1:
            raise ValueError(f"heads is {self.heads}; it must lie in 0 < heads <= 1")


def prepare_data(examples: Sequence[Example], context: Context, config: Config) -> Sequence[Example]:
    return _rationales.with_rationales(examples, context)


def loss(forward: Forward, state: State, batch: Batch, config: Config) -> Output:
    seen: dict[int, torch.Tensor] = {}
    projections = last_projections(state.module)
    hooks = [part.register_forward_hook(lambda _, __, out, i=i: seen.update({i: out})) for i, part in projections]
    try:
        output = forward(batch)
    finally:
        for hook in hooks:
            hook.remove()
    if batch.rationale is None:
        return output
    if seen[0].shape[:2] != batch.input_ids.shape:
        raise UserError("'attention_supervision' sees another batch than it was given. Name it last in the stack.")
    count: int = state.module.config.num_attention_heads  # type: ignore[union-attr, assignment]
    attended = log_attention(seen[0], seen[1], batch, count)[:, : max(1, round(config.heads * count))]
    rows = -(target(batch, config.sharpness)[:, None] * attended).sum(dim=-1).mean(dim=1)
    supervised = _rationales.mean_over(rows, _rationales.has_rationale(batch))
    return Output(output.loss + config.weight * supervised, output.logits)


def last_projections(module: torch.nn.Module) -> list[tuple[int, torch.nn.Module]]:
    """(0, query) and (1, key) of the last layer. Raises UserError for encoders with other attention."""
    config: Any = module.config
    plain = config.model_type in BERT_LIKE and getattr(config, "position_embedding_type", "absolute") == "absolute"
    parts = dict(module.named_modules())
    for pair in PROJECTIONS if plain else ():
        found = [[part for name, part in parts.items() if name.endswith(end)] for end in pair]
        if all(found):
            return [(index, chosen[-1]) for index, chosen in enumerate(found)]
    raise UserError(
        f"'attention_supervision' cannot read the attention of a {config.model_type} encoder. It knows those of "
        f"{', '.join(BERT_LIKE)}."
    )


def log_attention(query: torch.Tensor, key: torch.Tensor, batch: Batch, heads: int) -> torch.Tensor:
    """log of the attention of the first piece to the pieces of words, (n, heads, length); 0 elsewhere."""
    first = query[:, 0].float().unflatten(-1, (heads, -1))
    scores = torch.einsum("nhd,nlhd->nhl", first, key.float().unflatten(-1, (heads, -1))) / first.shape[-1] ** 0.5
    scores = scores.masked_fill(batch.attention_mask[:, None] == 0, torch.finfo(scores.dtype).min)
    return torch.log_softmax(scores, dim=-1) * batch.word_mask[:, None]


def target(batch: Batch, sharpness: float) -> torch.Tensor:
    """softmax(sharpness * rationale) over the pieces of words, (n, length); 0 elsewhere."""
    marks = sharpness * (batch.word_mask if batch.rationale is None else batch.rationale).float()
    spread = torch.softmax(marks.masked_fill(batch.word_mask == 0, torch.finfo(marks.dtype).min), dim=-1)
    return spread * batch.word_mask
