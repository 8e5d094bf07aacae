"""Shared fixtures: fetched resources where they are, and a tiny random encoder that needs nothing."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")

WORDS = [
    "a",
    "an",
    "the",
    "is",
    "was",
    "not",
    "very",
    "really",
    "film",
    "movie",
    "plot",
    "acting",
    "story",
    "good",
    "great",
    "fine",
    "superb",
    "bad",
    "awful",
    "dull",
    "poor",
    "boring",
    "loved",
    "hated",
    "watched",
    "it",
    "this",
    "that",
    "and",
    "but",
    "with",
    "of",
    "to",
    "in",
    "on",
    "actors",
    "scene",
    ".",
    ",",
    "!",
    "?",
]


@pytest.fixture(scope="session")
def resources():
    """The fetched resources; skips where `temper fetch` has not run."""
    from training.catalogue import KNOWN
    from training.resources import Resources

    held = Resources()
    missing = [name for name, known in KNOWN.items() if not known.by_name and not held.has(name)]
    if missing:
        pytest.skip(f"not fetched: {', '.join(missing)} (temper fetch)")
    return held


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in HF layout: a random 2-layer BERT of width 32 with a WordPiece vocabulary of `WORDS`."""
    return make_tiny_model(tmp_path_factory.mktemp("tiny-model"))


def make_tiny_model(folder: Path, layers: int = 2) -> Path:
    import torch
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    letters = "abcdefghijklmnopqrstuvwxyz0123456789"
    vocab = {t: i for i, t in enumerate([*special, *WORDS, *letters, *("##" + c for c in letters)]) if t}
    vocab = {token: i for i, token in enumerate(dict.fromkeys(vocab))}
    raw = Tokenizer(models.WordPiece(vocab, unk_token="[UNK]"))
    raw.normalizer = normalizers.BertNormalizer(lowercase=True)
    raw.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    raw.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", vocab["[CLS]"]), ("[SEP]", vocab["[SEP]"])]
    )
    names = dict(zip(("pad_token", "unk_token", "cls_token", "sep_token", "mask_token"), special, strict=True))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=raw, model_max_length=128, **names)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(vocab),
        hidden_size=32,
        num_hidden_layers=layers,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=128,
        pad_token_id=vocab["[PAD]"],
    )
    BertModel(config).save_pretrained(folder, safe_serialization=True)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def sentiment_task() -> Callable[..., object]:
    """Makes a small classification task whose label is decided by one word: learnable in a few steps."""

    def make(train: int = 96, other: int = 32):
        import random

        from training.task import Example, Task

        rng = random.Random(0)
        subjects = ["film", "movie", "plot", "acting", "story", "scene"]
        kinds = {0: ["bad", "awful", "dull", "poor", "boring"], 1: ["good", "great", "fine", "superb", "loved"]}

        def examples(split: str, count: int) -> tuple[Example, ...]:
            rows = []
            for i in range(count):
                label = i % 2
                middle = " ".join(rng.choice(["very", "really", "not", "the", "and"]) for _ in range(rng.randint(0, 6)))
                text = f"the {rng.choice(subjects)} was {middle} {rng.choice(kinds[label])} ."
                rows.append(Example(id=f"{split}{i:04d}", text=" ".join(text.split()), label=label))
            return tuple(rows)

        return Task(
            name="toy",
            kind="classification",
            labels=("negative", "positive"),
            train=examples("tr", train),
            validation=examples("va", other),
            test=examples("te", other),
            out_of_domain={"elsewhere": examples("oo", other)},
            licence="made here",
            source="made here",
            version=1,
        )

    return make


@pytest.fixture(scope="session")
def tagging_task() -> object:
    """A small tagging task: the word after `the` is a THING."""
    from training.task import Example, Task

    sentences = [
        (("the", "film", "was", "good"), (0, 1, 0, 0)),
        (("hated", "the", "plot", "story", "."), (0, 0, 1, 2, 0)),
        (("it", "was", "the", "acting"), (0, 0, 0, 1)),
        (("a", "very", "dull", "scene"), (0, 0, 0, 0)),
    ]

    def rows(split: str) -> tuple[Example, ...]:
        return tuple(
            Example(id=f"{split}{i:03d}", text=" ".join(words), label=None, words=words, tags=tags)
            for i, (words, tags) in enumerate(sentences * 8)
        )

    return Task(
        name="toy_tags",
        kind="tagging",
        labels=("O", "B-THING", "I-THING"),
        train=rows("tr"),
        validation=rows("va"),
        test=rows("te"),
        out_of_domain={},
        licence="made here",
        source="made here",
        version=1,
    )
