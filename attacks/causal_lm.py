"""How likely a text is to a causal language model such as GPT-2."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from attacks import lanes
from attacks.batching import blocks
from attacks.memory import Memory

MAX_PIECES = 1024  # of a text, the first; what GPT-2 was trained with
REMEMBERED = 200_000


class CausalLM:
    """Log probabilities from the model in `folder` (Hugging Face layout, safetensors), in eval mode, on the CPU.

    It is loaded at the first text. An answer does not depend on the texts it is asked with, to the last bit
    (attacks/batching.py), so answers are remembered and lanes (attacks/lanes.py) are answered together.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._memory: Memory[str, float] = Memory(REMEMBERED)
        self._loaded: tuple | None = None

    def log_probabilities(self, texts: Sequence[str]) -> list[float]:
        """For each text the natural logarithm (<= 0) of its probability: the sum over its pieces, given those before.

        The first piece comes after the mark that GPT-2 was trained to see between texts. A text without any has 0.
        """
        return list(lanes.ask(cast(Any, self._serve), texts)) if texts else []

    def _serve(self, texts: Sequence[str]) -> list[float]:
        return self._memory.answers(texts, self._forward)

    def _load(self) -> tuple:
        if self._loaded is None:
            from transformers import AutoModelForCausalLM, AutoTokenizer

            tokenizer = AutoTokenizer.from_pretrained(self.folder, local_files_only=True, use_fast=True)
            model = AutoModelForCausalLM.from_pretrained(self.folder, local_files_only=True, use_safetensors=True)
            self._loaded = (tokenizer, model.eval())
        return self._loaded

    def _forward(self, texts: Sequence[str]) -> list[float]:
        import torch

        tokenizer, model = self._load()
        start = tokenizer.bos_token_id
        if start is None:
            raise ValueError(f"the tokenizer in {self.folder} has no mark for the start of a text; GPT-2's has one")
        longest = min(MAX_PIECES, model.config.max_position_embeddings)
        coded = tokenizer(list(texts), add_special_tokens=False, verbose=False)["input_ids"]
        rows = [[start, *row][:longest] for row in coded]
        found = [0.0] * len(texts)
        for block in blocks([len(row) for row in rows], "cpu", torch.get_num_threads(), longest):
            # a piece sees nothing behind it, so what the padding is does not matter
            ids = torch.full((block.size, block.length), start, dtype=torch.long)
            for i, number in enumerate(block.filled):
                ids[i, : len(rows[number])] = torch.tensor(rows[number])
            with torch.inference_mode():
                logs = torch.log_softmax(model(input_ids=ids).logits[:, :-1].float(), dim=-1)
            taken = logs.gather(2, ids[:, 1:].unsqueeze(2)).squeeze(2).double()
            for i, number in enumerate(block.rows):
                found[number] = float(taken[i, : len(rows[number]) - 1].sum())
        return found
