"""A masked-language model around the encoder of a classifier, and BERT's masking of a batch of texts."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForMaskedLM

from attacks.kernels import quicken
from training.errors import UserError
from training.hooks import IGNORE, Batch
from training.loop import Coded


def masked_model(module: torch.nn.Module, name: str) -> Any:
    """A masked-language model that shares the encoder of `module`; `name` is the mitigation that asks.

    The head is that of the checkpoint `module` was opened from, where there is one, else fresh; its output layer is
    tied to the shared word embeddings.
    """
    if hasattr(module, "merge_and_unload"):
        raise UserError(f"'{name}' trains the encoder before adapters are in it: name it first, as in '{name}+lora'.")
    base, config = getattr(module, "base_model", module), module.config
    if base is module:
        raise UserError(f"'{name}' does not know which part of this model is the encoder. Leave it out.")
    folder = getattr(config, "_name_or_path", "")
    try:
        if folder and any(Path(folder).glob("*.safetensors")):
            options: dict[str, Any] = {"local_files_only": True, "use_safetensors": True, "dtype": torch.float32}
            model = AutoModelForMaskedLM.from_pretrained(folder, **options)
        else:
            model = AutoModelForMaskedLM.from_config(config)
    except ValueError as error:
        raise UserError(
            f"'{name}' needs a masked-language model, and this model's kind has none. Leave it out."
        ) from error
    setattr(model, model.base_model_prefix, base)
    model.tie_weights()
    return quicken(model.to(next(module.parameters()).device))


def tokenised(texts: Iterable[str], tokenizer: Any, max_length: int) -> list[Coded]:
    """The texts as rows of pieces for training.loop.collate, cut at `max_length`."""
    special = set(tokenizer.all_special_ids)
    coded = tokenizer(list(texts), truncation=True, max_length=max_length)["input_ids"]
    return [Coded(ids, [int(piece not in special) for piece in ids], 0) for ids in coded]


def chosen_logits(model: Any, ids: torch.Tensor, attention: torch.Tensor, chosen: torch.Tensor) -> torch.Tensor:
    """The model's logits at the `chosen` positions, (positions, vocabulary).

    The head sees only those: on a small encoder its output layer, one row a vocabulary entry, costs more than all else.
    """
    places = chosen.to(model.device)

    def only(_: torch.nn.Module, __: Any, output: Any) -> Any:
        output["last_hidden_state"] = output[0][places].unsqueeze(0)
        return output

    hook = model.base_model.register_forward_hook(only)
    try:
        return model(input_ids=ids.to(model.device), attention_mask=attention.to(model.device)).logits[0]
    finally:
        hook.remove()


def mask(
    batch: Batch, share: float, mask_id: int, vocabulary: int, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """(input ids, labels): `share` of the pieces of words is to be predicted, all other labels are IGNORE.

    Of those pieces 80 % are replaced by `mask_id`, 10 % by one of the `vocabulary` pieces, 10 % stay. The batch is on
    the CPU, where the generator is.
    """
    shape = batch.input_ids.shape
    chosen = (torch.rand(shape, generator=generator) < share) & (batch.word_mask == 1)
    kind = torch.rand(shape, generator=generator)
    other = torch.randint(vocabulary, shape, generator=generator)
    ids = torch.where(chosen & (kind < 0.8), mask_id, batch.input_ids)
    ids = torch.where(chosen & (kind >= 0.9), other, ids)
    return ids, batch.input_ids.masked_fill(~chosen, IGNORE)
