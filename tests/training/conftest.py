"""What training tests share: a context maker for the tiny model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest


@pytest.fixture(scope="session")
def make_context(tiny_model: Path, sentiment_task: Callable[..., object]) -> Callable[..., tuple]:
    """(task, seed, **settings) -> (Classifier, Context), fresh on every call."""
    from training.hooks import Context, Settings
    from training.model import open_classifier

    synonyms = {"good": ["fine", "great"], "bad": ["poor"], "film": ["movie"], "movie": ["film"]}
    lexicon = SimpleNamespace(synonyms=lambda word: synonyms.get(word, []))

    def make(task, seed: int = 0, **settings):
        chosen = Settings(**{"learning_rate": 5e-3, "epochs": 2, "batch_size": 8, "max_length": 32, **settings})
        classifier = open_classifier(tiny_model, task, chosen.max_length, seed)

        def build(model=None):
            return open_classifier(tiny_model, task, chosen.max_length, seed)

        return classifier, Context(
            task, classifier.tokenizer, chosen, seed, lambda: lexicon, build, lambda _: sentiment_task(train=24)
        )

    return make
