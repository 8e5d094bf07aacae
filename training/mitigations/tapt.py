"""Task-adaptive pretraining: masked-language-model training on the task's own training texts, before fine-tuning.

Gururangan et al., "Don't Stop Pretraining: Adapt Language Models to Domains and Tasks", ACL 2020, arXiv 2004.10964:
pretraining goes on, on the task's own texts without their labels, then the model is fine-tuned. As in BERT (Devlin et
al., arXiv 1810.04805), 15 % of the pieces are predicted: 80 % of those are replaced by the mask token, 10 % by a random
piece, 10 % stay. New pieces are drawn in every pass. Labels are not looked at, so texts whose label is withheld
(Settings.labelled) serve as well. Only the encoder's weights change; the classification head is the baseline's, and so
is every random choice of the fine-tuning.

Deviations: two passes over the texts, with a learning rate that decays linearly; both are the suite's, untuned, so that
the arm stays affordable. The masked-language-model head is the checkpoint's own where its folder has one, else a fresh
one, its output layer tied to the word embeddings; it is thrown away afterwards.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from training.errors import UserError
from training.hooks import IGNORE, Context, adamw
from training.loop import Coded, bucketed_batches, collate
from training.mitigations._masked_language import chosen_logits, mask, masked_model, tokenised
from training.mitigations._nested import own_randomness

FAMILY = "generalisation"
SOURCE = "Gururangan et al. 2020, arXiv 2004.10964"
PREPARATION = "masked-language-model training"
VERSION = 1
TASKS = ("classification", "tagging")


@dataclass(frozen=True)
class Config:
    epochs: int = 2
    """Passes over the training texts, 1..1000; the suite's, untuned."""
    learning_rate: float = 1e-4
    """Learning rate of the first step, 0 < learning_rate <= 1; the suite's, untuned."""
    share: float = 0.15
    """Share of the pieces that is predicted, 0 < share < 1; BERT's."""

    def __post_init__(self) -> None:
        if not 1 <= self.epochs <= 1000:
            raise ValueError(f"epochs is {self.epochs}; it must lie in 1..1000")
        if not 0 < self.learning_rate <= 1:
            raise ValueError(f"learning_rate is {self.learning_rate}; it must lie in 0 < learning_rate <= 1")
        if not 0 < self.share < 1:
            raise ValueError(f"share is {self.share}; it must lie in 0 < share < 1")


def prepare_model(module: torch.nn.Module, context: Context, config: Config) -> torch.nn.Module:
    settings, tokenizer = context.settings, context.tokenizer
    if getattr(tokenizer, "mask_token_id", None) is None:
        raise UserError("'tapt' needs a tokenizer with a mask token; this model's has none.")
    limit = min(settings.max_length, getattr(module.config, "max_position_embeddings", settings.max_length))
    texts = [example.text for example in (*context.task.train, *context.unlabelled)]
    with own_randomness():
        torch.manual_seed(context.seed)
        model = masked_model(module, "tapt")
        counting = context.passes.watch(model)
        try:
            _train(model, tokenised(texts, tokenizer, limit), context, config)
        finally:
            counting.remove()
    module.zero_grad(set_to_none=True)
    return module


def _train(model: Any, rows: list[Coded], context: Context, config: Config) -> None:
    settings, lengths = context.settings, [len(row.ids) for row in rows]
    optimizer = adamw(model, settings.model_copy(update={"learning_rate": config.learning_rate}))
    generator = torch.Generator().manual_seed(context.seed)
    batches = [
        chosen for _ in range(config.epochs) for chosen in bucketed_batches(lengths, settings.batch_size, generator)
    ]
    model.train()
    for done, chosen in enumerate(batches):
        for group in optimizer.param_groups:
            group["lr"] = config.learning_rate * (1 - done / len(batches))
        masked_loss(model, [rows[i] for i in chosen], context.tokenizer, config.share, generator).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), settings.clip_norm)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)


def masked_loss(
    model: Any, rows: list[Coded], tokenizer: Any, share: float, generator: torch.Generator
) -> torch.Tensor:
    """Mean cross-entropy over the pieces to be predicted; 0 where the draw has chosen none."""
    batch = collate(rows, tokenizer.pad_token_id or 0)
    ids, labels = mask(batch, share, tokenizer.mask_token_id, model.config.vocab_size, generator)
    chosen = labels != IGNORE
    logits, wanted = chosen_logits(model, ids, batch.attention_mask, chosen), labels[chosen].to(model.device)
    return torch.nn.functional.cross_entropy(logits.float(), wanted, reduction="sum") / max(1, len(wanted))
