"""The sentence encoder that stands in for TextFooler's Universal Sentence Encoder: mean-pooled all-MiniLM-L6-v2."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path

import numpy as np

CALLS = 20_000  # remembered calls, about 6 vectors of 384 float32 each: some 180 MB when full
MAX_TOKENS = 128
BATCH = 64


class SentenceEncoder:
    """texts -> unit vectors (n, dimensions) float32; the model is loaded at the first text.

    Results are remembered per call (list of distinct texts), so that the batches, and with them the last bits of a
    vector, depend on the call alone and never on what was encoded before.
    """

    def __init__(self, folder: Path) -> None:
        """`folder` in Hugging Face layout, with config, tokenizer and safetensors weights."""
        self.folder = folder
        self.forwarded = 0
        self._calls: OrderedDict[tuple[str, ...], np.ndarray] = OrderedDict()
        self._loaded: tuple | None = None

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        distinct = tuple(dict.fromkeys(texts))
        if distinct in self._calls:
            self._calls.move_to_end(distinct)
        else:
            self._calls[distinct] = self._forward(distinct)
            while len(self._calls) > CALLS:
                self._calls.popitem(last=False)
        row = {text: i for i, text in enumerate(distinct)}
        return self._calls[distinct][[row[text] for text in texts]]

    def _load(self) -> tuple:
        if self._loaded is None:
            from transformers import AutoModel, AutoTokenizer

            tokenizer = AutoTokenizer.from_pretrained(self.folder, local_files_only=True)
            model = AutoModel.from_pretrained(self.folder, local_files_only=True, use_safetensors=True)
            self._loaded = (tokenizer, model.eval())
        return self._loaded

    def _forward(self, texts: tuple[str, ...]) -> np.ndarray:
        import torch

        tokenizer, model = self._load()
        self.forwarded += len(texts)
        vectors = []
        for begin in range(0, len(texts), BATCH):
            batch = tokenizer(
                list(texts[begin : begin + BATCH]),
                padding=True,
                truncation=True,
                max_length=MAX_TOKENS,
                return_tensors="pt",
            )
            with torch.inference_mode():
                hidden = model(**batch).last_hidden_state
                mask = batch["attention_mask"].unsqueeze(-1).to(hidden.dtype)
                pooled = (hidden * mask).sum(dim=1) / mask.sum(dim=1).clamp(min=1e-9)
                vectors.append(torch.nn.functional.normalize(pooled, dim=1).float().numpy())
        return np.vstack(vectors)
