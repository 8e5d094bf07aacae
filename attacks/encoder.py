"""The sentence encoder that stands in for TextFooler's Universal Sentence Encoder: mean-pooled all-MiniLM-L6-v2."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from attacks import lanes
from attacks.batching import blocks
from attacks.memory import Memory

REMEMBERED = 100_000  # vectors of 384 float32: some 180 MB when full
MAX_TOKENS = 128


class SentenceEncoder:
    """texts -> unit vectors (n, dimensions) float32; the model is loaded at the first text.

    A text's vector does not depend on the texts it is encoded with, to the last bit (attacks/batching.py), so vectors
    are remembered by text and lanes (attacks/lanes.py) are encoded together.
    """

    def __init__(self, folder: Path) -> None:
        """`folder` in Hugging Face layout, with config, tokenizer and safetensors weights."""
        self.folder = folder
        self.forwarded = 0
        self._memory: Memory[str, np.ndarray] = Memory(REMEMBERED)
        self._loaded: tuple | None = None

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        return np.stack(list(lanes.ask(self._serve, texts)))

    def encode_afresh(self, texts: Sequence[str]) -> np.ndarray:
        """As `encode`, without memory and by torch's own layers: in one batch padded to its longest text."""
        import torch

        tokenizer, model = self._load()[0], self._plain
        batch = tokenizer(list(texts), padding=True, truncation=True, max_length=MAX_TOKENS, return_tensors="pt")
        with torch.inference_mode():
            return _pool(model(**batch).last_hidden_state, batch["attention_mask"])

    def _serve(self, texts: Sequence[str]) -> list[np.ndarray]:
        return self._memory.answers(texts, lambda new: list(self._forward(new)))

    @functools.cached_property
    def _plain(self) -> Any:
        from attacks.kernels import plain

        return plain(self._load()[1])

    def _load(self) -> tuple:
        if self._loaded is None:
            from transformers import AutoModel, AutoTokenizer

            from attacks.kernels import quicken

            tokenizer = AutoTokenizer.from_pretrained(self.folder, local_files_only=True)
            model = AutoModel.from_pretrained(self.folder, local_files_only=True, use_safetensors=True)
            self._loaded = (tokenizer, quicken(model.eval()))
        return self._loaded

    def _forward(self, texts: Sequence[str]) -> np.ndarray:
        import torch

        tokenizer, model = self._load()
        self.forwarded += len(texts)
        ids = tokenizer(list(texts), truncation=True, max_length=MAX_TOKENS)["input_ids"]
        vectors = np.empty((len(texts), model.config.hidden_size), dtype=np.float32)
        for block in blocks([len(row) for row in ids], "cpu", torch.get_num_threads(), MAX_TOKENS):
            tokens = torch.full((block.size, block.length), tokenizer.pad_token_id or 0, dtype=torch.long)
            mask = torch.zeros_like(tokens)
            for row, i in enumerate(block.filled):
                tokens[row, : len(ids[i])] = torch.tensor(ids[i])
                mask[row, : len(ids[i])] = 1
            with torch.inference_mode():
                unit = _pool(model(input_ids=tokens, attention_mask=mask).last_hidden_state, mask)
            vectors[block.rows] = unit[: len(block.rows)]
        return vectors


def _pool(states: Any, mask: Any) -> np.ndarray:
    """The mean state of the unmasked positions, as a unit vector."""
    import torch

    weight = mask.unsqueeze(-1).to(states.dtype)
    pooled = (states * weight).sum(dim=1) / weight.sum(dim=1).clamp(min=1e-9)
    return torch.nn.functional.normalize(pooled, dim=1).float().numpy()
