"""What training tests share: a context maker for the tiny model, stacks of mitigations, and looks at weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from training import registry
from training.stack import Mitigation, Stack

# the toy task's words as the VADER lexicon has them: word, mean, standard deviation, ratings
SENTIMENT = "".join(
    f"{word}\t{mean}\t0.8\t[1, 2]\r\n"
    for word, mean in {
        "good": 1.9, "great": 3.1, "fine": 0.8, "superb": 3.1, "loved": 2.9,
        "bad": -2.5, "awful": -2.0, "dull": -1.7, "poor": -2.1, "boring": -1.3,
    }.items()
)  # fmt: skip


def stack_of(*names: str, **config) -> Stack:
    """These mitigations with their defaults, the last one with `config`."""
    chosen = []
    for name in names:
        plugin = registry.load("training.mitigations", name)
        settings = registry.configure(plugin, config if len(chosen) == len(names) - 1 else {})
        chosen.append(Mitigation(name, plugin, settings))
    return Stack(chosen)


def without_dropout(module: torch.nn.Module) -> None:
    for part in module.modules():
        if isinstance(part, torch.nn.Dropout):
            part.p = 0.0
        if hasattr(part, "dropout_prob"):
            part.dropout_prob = 0.0


def weights(module: torch.nn.Module) -> torch.Tensor:
    """A copy of all parameters in one row."""
    return torch.cat([p.detach().flatten() for p in module.parameters()])


def toy_vectors():
    """Word vectors of three meanings: words of the same one have a cosine of 1, all others of 0."""
    import numpy as np

    from attacks.vectors import Vectors

    meanings = [["good", "fine", "great"], ["bad", "poor", "dull"], ["film", "movie", "plot"]]
    rows = [[3 * i + (j + k) % 3 for k in range(3)] for i in range(3) for j in range(3)]
    words = tuple(word for meaning in meanings for word in meaning)
    return Vectors(words, np.repeat(np.eye(3, dtype=np.float32), 3, axis=0), np.array(rows, dtype=np.int32))


@pytest.fixture(scope="session")
def make_context(
    tiny_model: Path, sentiment_task: Callable[..., object], tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., tuple]:
    """(task, seed, **settings) -> (Classifier, Context), fresh on every call."""
    from attacks import lexicon as attack_lexicon
    from training.hooks import Context, Settings
    from training.model import open_classifier

    synonyms = {"good": ["fine", "great"], "bad": ["poor"], "film": ["movie"], "movie": ["film"]}
    minimal = attack_lexicon.minimal(tmp_path_factory.mktemp("lexicons") / "minimal")
    lexicon = SimpleNamespace(
        synonyms=lambda word: synonyms.get(word, []),
        vectors=toy_vectors(),
        folder=minimal.folder,
        stopwords=minimal.stopwords,
    )
    resources = tmp_path_factory.mktemp("resources")
    (resources / "vader-lexicon").mkdir()
    (resources / "vader-lexicon" / "vader_lexicon.txt").write_text(SENTIMENT, encoding="utf-8", newline="")

    def make(task, seed: int = 0, **settings):
        chosen = Settings(**{"learning_rate": 5e-3, "epochs": 2, "batch_size": 8, "max_length": 32, **settings})
        classifier = open_classifier(tiny_model, task, chosen.max_length, seed, chosen.head)

        def build(model=None, task=task):
            head = chosen.head if task.kind == "tagging" else "token"
            return open_classifier(tiny_model, task, chosen.max_length, seed, head)

        return classifier, Context(
            task,
            classifier.tokenizer,
            chosen,
            seed,
            lambda: lexicon,
            build,
            lambda _: sentiment_task(train=24),
            resource=resources.joinpath,
        )

    return make
