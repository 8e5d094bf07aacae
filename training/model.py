"""A checkpoint and a task make a Classifier: texts in, logits out."""

from __future__ import annotations

import contextlib
import functools
import json
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from safetensors.torch import load_model, save_model
from transformers import AutoConfig, AutoModelForSequenceClassification, AutoModelForTokenClassification, AutoTokenizer
from transformers.utils import logging as transformers_logging

from attacks.batching import blocks, grain
from attacks.kernels import quicken
from training import registry, span_head
from training.errors import UserError
from training.first_position import first_position_only
from training.stack import Structure
from training.task import Task

STRUCTURE = "structure.json"


@functools.cache
def device() -> torch.device:
    """The accelerator where there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


@dataclass
class Classifier:
    """A Hugging Face model with its tokenizer, for texts (`classification`) or words (`tagging`).

    `span_width`: the widest span, in pieces, that a span head scores; None for one label per text or word.
    """

    module: torch.nn.Module
    tokenizer: Any
    labels: tuple[str, ...]
    kind: Literal["classification", "tagging"]
    max_length: int
    structure: Structure = ()
    span_width: int | None = None

    def logits(self, texts: Sequence[str]) -> np.ndarray:
        """Logits of each text, (n, classes) float32; eval mode, no gradients, texts cut at `max_length` pieces."""
        ids = self.tokenizer(list(texts), truncation=True, max_length=self.max_length)["input_ids"]
        rows = np.empty((len(ids), len(self.labels)), dtype=np.float32)
        for chosen, output in self._forward(ids):
            rows[chosen] = output
        return rows

    def word_logits(self, sentences: Sequence[Sequence[str]]) -> list[np.ndarray]:
        """Logits at each word's first piece, one (words, classes) float32 array per sentence.

        Rows of words without a piece (cut off at `max_length`, or of no visible character) are NaN. Token heads only.
        """
        coded = self._coded(sentences)
        rows: list[np.ndarray] = [np.empty((0, len(self.labels)), dtype=np.float32)] * len(sentences)
        for chosen, output in self._forward(coded["input_ids"]):
            for row, index in enumerate(chosen):
                first = span_head.first_pieces(coded.word_ids(index))
                # a word of no visible character has no piece, so rows are placed by word, not by order
                rows[index] = np.full((len(sentences[index]), len(self.labels)), np.nan, dtype=np.float32)
                rows[index][list(first)] = output[row, list(first.values())]
        return rows

    def tags(self, sentences: Sequence[Sequence[str]]) -> list[list[str]]:
        """A BIO tag for every word; words the model does not see (cut off, or invisible) are O."""
        if self.span_width is None:
            return [
                [self.labels[row.argmax()] if np.isfinite(row).all() else "O" for row in rows]
                for rows in self.word_logits(sentences)
            ]
        coded = self._coded(sentences)
        found: list[list[str]] = [[]] * len(sentences)
        for chosen, output in self._forward(coded["input_ids"]):
            for row, index in enumerate(chosen):
                pieces = coded.word_ids(index)
                scores = output[row].reshape(-1, self.span_width, output.shape[-1])[: len(pieces)]
                found[index] = span_head.decode(scores, pieces, len(sentences[index]), self.labels)
        return found

    def _coded(self, sentences: Sequence[Sequence[str]]) -> Any:
        words = [list(sentence) for sentence in sentences]
        return self.tokenizer(words, is_split_into_words=True, truncation=True, max_length=self.max_length)

    def _forward(self, ids: Sequence[Sequence[int]]) -> Iterator[tuple[list[int], np.ndarray]]:
        """(indices, their logits) block by block; a row does not depend on the rest of `ids`, to the last bit."""
        was_training = self.module.training
        self.module.eval()
        target = next(self.module.parameters()).device
        pad = self.tokenizer.pad_token_id or 0
        lengths, threads = [len(row) for row in ids], torch.get_num_threads()
        texts = self.kind == "classification"
        first_only = first_position_only(self.module) if texts else contextlib.nullcontext(False)
        try:
            with first_only as cut, torch.inference_mode():
                rows = grain(target.type, threads) if texts and not cut else 1
                for block in blocks(lengths, target.type, threads, self.max_length, rows=rows):
                    tokens = torch.full((block.size, block.length), pad, dtype=torch.long)
                    mask = torch.zeros_like(tokens)
                    for row, i in enumerate(block.filled):
                        tokens[row, : len(ids[i])] = torch.tensor(ids[i])
                        mask[row, : len(ids[i])] = 1
                    output = self.module(input_ids=tokens.to(target), attention_mask=mask.to(target)).logits
                    yield block.rows, output[: len(block.rows)].float().cpu().numpy()
        finally:
            self.module.train(was_training)

    def save(self, folder: Path) -> None:
        """Writes weights (safetensors), config, tokenizer and the mitigations' lasting parts into `folder`."""
        if self.structure or self.span_width:
            self.module.config.save_pretrained(folder)  # type: ignore[union-attr, operator]
            save_model(self.module, str(folder / "model.safetensors"))
            (folder / STRUCTURE).write_text(json.dumps(self.structure), encoding="utf8")
        else:
            self.module.save_pretrained(folder)  # type: ignore[operator]
        self.tokenizer.save_pretrained(folder)


def open_classifier(folder: Path, task: Task, max_length: int, seed: int, head: str = "token") -> Classifier:
    """Opens an encoder for `task`; a missing head is drawn from `seed`. Only safetensors weights, no remote code.

    A checkpoint has its own head, and gets the lasting parts of mitigations before its weights are loaded. Raises
    UserError when the folder holds no safetensors model, or no fast tokenizer.
    """
    if not any(folder.glob("*.safetensors")):
        raise UserError(
            f"the model folder '{folder.name}' has no *.safetensors weights. Pickled weights are not opened; convert "
            "them with save_pretrained(..., safe_serialization=True)."
        )
    torch.manual_seed(seed)
    # "Some weights were newly initialized" is what fine-tuning is about, not news
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()  # transformers 5 draws one for every model it opens
    logging.getLogger("transformers").setLevel(logging.ERROR)
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, use_fast=True)
        module, structure = _open_module(folder, task)
    except (OSError, ValueError, KeyError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"the model folder '{folder.name}' cannot be opened: {reason}") from error
    if not tokenizer.is_fast:
        raise UserError(
            f"the model folder '{folder.name}' has no fast tokenizer (tokenizer.json), which word alignment needs."
        )
    if head == "span" and not (folder / STRUCTURE).is_file():
        span_head.check(task)
        module = span_head.attach(module, span_head.widest(task.train, task.labels, tokenizer), task.labels)
    limit = getattr(module.config, "max_position_embeddings", max_length)
    return Classifier(
        quicken(module.to(device())),
        tokenizer,
        task.labels,
        task.kind,
        min(max_length, limit),
        structure,
        getattr(module.config, "span_width", None),
    )


def _open_module(folder: Path, task: Task) -> tuple[Any, Structure]:
    auto = AutoModelForSequenceClassification if task.kind == "classification" else AutoModelForTokenClassification
    if not (folder / STRUCTURE).is_file():
        heads: dict[str, Any] = {
            "num_labels": len(task.labels),
            "id2label": dict(enumerate(task.labels)),
            "label2id": {label: i for i, label in enumerate(task.labels)},
        }
        options = {"local_files_only": True, "use_safetensors": True, "ignore_mismatched_sizes": True}
        return auto.from_pretrained(folder, dtype=torch.float32, **heads, **options), ()
    module = auto.from_config(AutoConfig.from_pretrained(folder, local_files_only=True)).eval()
    if (width := getattr(module.config, "span_width", None)) is not None:
        module = span_head.attach(module, width, task.labels)
    structure = tuple((name, values) for name, values in json.loads((folder / STRUCTURE).read_text(encoding="utf8")))
    for name, values in structure:
        plugin = registry.load("training.mitigations", name)
        module = plugin.structure(module, registry.configure(plugin, values))
    load_model(module, str(folder / "model.safetensors"))
    return module, structure
