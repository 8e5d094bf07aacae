"""Small worlds with known answers: a linear bag of words, and tiny random transformers."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from torch import Tensor
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    PreTrainedTokenizerFast,
    RobertaConfig,
    RobertaForSequenceClassification,
)

from explain.inputs import Explainable

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = ["the", "film", "is", "good", "bad", "awful", "great", "a", "truly", "plot", "actor"]
WORDS += ["dull", "and", "not", "very", "it", "was", "my", "one", "best", "worst", "end"]
PIECES = ["##ly", "##s", "##ing", ".", ",", "!", "?", "-"]


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def wordpiece() -> PreTrainedTokenizerFast:
    """A WordPiece tokenizer of a few words; unknown ones fall apart into letters."""
    letters = [chr(c) for c in range(97, 123)]
    vocab = {
        piece: i for i, piece in enumerate([*SPECIAL, *WORDS, *PIECES, *letters[1:], *("##" + x for x in letters)])
    }
    backend = Tokenizer(models.WordPiece(vocab, unk_token="[UNK]"))
    backend.normalizer = normalizers.BertNormalizer(lowercase=True)
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", vocab["[CLS]"]), ("[SEP]", vocab["[SEP]"])]
    )
    names = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    return PreTrainedTokenizerFast(tokenizer_object=backend, mask_token="[MASK]", **names)


@pytest.fixture(scope="session")
def byte_level() -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer in RoBERTa's manner (no prefix space), without merges: one token a byte."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocab = {piece: i for i, piece in enumerate(["<s>", "<pad>", "</s>", "<unk>", "<mask>", *alphabet])}
    backend = Tokenizer(models.BPE(vocab, []))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    backend.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), trim_offsets=True)
    names = {"pad_token": "<pad>", "unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>"}
    return PreTrainedTokenizerFast(tokenizer_object=backend, mask_token="<mask>", **names)


@pytest.fixture
def bert(wordpiece: PreTrainedTokenizerFast) -> Explainable:
    """A tiny random BERT with three classes and weights large enough to be curved."""
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(wordpiece),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
        num_labels=3,
        initializer_range=0.15,
        attn_implementation="eager",
    )
    return Explainable(BertForSequenceClassification(config), wordpiece, 64)


@pytest.fixture
def roberta(byte_level: PreTrainedTokenizerFast) -> Explainable:
    """A tiny random RoBERTa: its position ids start after the padding index."""
    torch.manual_seed(0)
    config = RobertaConfig(
        vocab_size=len(byte_level),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=66,
        pad_token_id=1,
        num_labels=2,
        initializer_range=0.15,
        attn_implementation="eager",
    )
    return Explainable(RobertaForSequenceClassification(config), byte_level, 64)


class Bag(torch.nn.Module):
    """logits = scale * (sum of word embeddings) @ head: additive, so every answer is known by hand.

    weights: word -> its push towards class 1; every other token pushes by nothing.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerFast, weights: dict[str, float], scale: float = 1.0) -> None:
        super().__init__()
        self.table = torch.nn.Embedding(len(tokenizer), 2)
        self.head = torch.nn.Linear(2, 2, bias=False)
        self.scale = scale
        with torch.no_grad():
            self.table.weight.zero_()
            for word, weight in weights.items():
                self.table.weight[tokenizer.convert_tokens_to_ids(word), 1] = weight
            self.head.weight.copy_(torch.eye(2))

    def get_input_embeddings(self) -> torch.nn.Module:
        return self.table

    def forward(self, inputs_embeds: Tensor, attention_mask: Tensor) -> SimpleNamespace:
        summed = (inputs_embeds * attention_mask[..., None]).sum(1)
        return SimpleNamespace(logits=self.scale * self.head(summed))


@pytest.fixture
def bag(wordpiece: PreTrainedTokenizerFast) -> Callable[..., Explainable]:
    """bag({"good": 2.0}, scale=1.0) -> an additive model."""
    return lambda weights, scale=1.0: Explainable(Bag(wordpiece, weights, scale), wordpiece, 64)


def sentences(count: int, seed: int = 0, low: int = 1, high: int = 12) -> list[str]:
    """Random texts of the known words."""
    rng = np.random.default_rng(seed)
    return [" ".join(rng.choice(WORDS, rng.integers(low, high + 1))) for _ in range(count)]


def table_margins(words: int, seed: int, curve: float = 1.0) -> Callable[[np.ndarray], np.ndarray]:
    """A random set function on keep masks: a line plus `curve` times a small tanh network.

    Not main and pair effects: pair effects cancel out of f(S) - f(not S), which would make any search exact.
    """
    rng = np.random.default_rng(seed)
    main, inner, bias = rng.normal(size=words), rng.normal(size=(words, 8)), rng.normal(size=8)
    outer = curve * rng.normal(size=8)
    return lambda keep: keep @ main + np.tanh(keep @ inner + bias) @ outer
