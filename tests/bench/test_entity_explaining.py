"""The explain stage of a tagging task, on a tiny random tagger: tables per explainer, sentences without an entity."""

from __future__ import annotations

import json

import pandas as pd
import pytest
import torch
from transformers import BertConfig, BertForTokenClassification, PreTrainedTokenizerFast

from bench.explanations import entity_explaining, explained
from explain.inputs import Explainable
from explain.methods import integrated_gradients, random
from tests.explain.conftest import wordpiece  # noqa: F401
from training.task import Example

LABELS = ("O", "B-PER", "I-PER")


@pytest.fixture
def model(wordpiece: PreTrainedTokenizerFast) -> Explainable:  # noqa: F811
    torch.manual_seed(4)
    config = BertConfig(
        vocab_size=len(wordpiece), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=32, num_labels=3, initializer_range=0.2,
    )  # fmt: skip
    return Explainable(BertForTokenClassification(config).eval(), wordpiece, 32)


def sentence(name: str, *words: str) -> Example:
    return Example(id=name, text=" ".join(words), label=None, words=words, tags=(0,) * len(words))


def tables(model: Explainable, example: Example) -> dict[str, list[dict[str, object]]]:
    asked = entity_explaining.ask(model, example, LABELS)
    modules = {"integrated_gradients": integrated_gradients, "random": random}
    return entity_explaining._explain_one(model, modules, example, asked, seed=0)


def test_a_row_per_sentence_and_one_per_entity(model: Explainable) -> None:
    words = ["the", "actor", "is", "good", "and", "the", "plot", "is", "dull", "not", "very", "great"]
    with torch.no_grad():
        model.module.classifier.bias.copy_(torch.tensor([-0.1, 0.3, 0.0]))
    asked = entity_explaining.ask(model, sentence("a", *words), LABELS)
    assert len(asked) >= 2
    assert {one.kind for one, _ in asked} == {"PER"}
    found = tables(model, sentence("a", *words))
    for name in ("integrated_gradients", "random"):
        (row,) = found[f"explain:{name}"]
        assert row["entities"] == len(asked)
        assert 0 <= row["self_share"] <= 1
        assert -1 <= row["dnaopc"] <= 1
        stored = found[f"entity_attributions:{name}"]
        assert [(one["first"], one["last"]) for one in stored] == [(one.first, one.last) for one, _ in asked]
        assert all(json.loads(one["words"]) == words == [*words] for one in stored)
        assert all(len(json.loads(one["scores"])) == len(words) for one in stored)
    assert found["explain:integrated_gradients"][0]["completeness_error"] < 0.01
    assert found["explain:random"][0]["completeness_error"] is None
    frame = pd.DataFrame(found["explain:integrated_gradients"])
    values = dict(explained.explain("integrated_gradients", frame, ("a",)))
    assert {"dnaopc:integrated_gradients", "self_share:integrated_gradients"} <= set(values)
    assert values["completeness_failures:integrated_gradients"].top.tolist() == [0.0]


def test_a_sentence_without_an_entity_is_unknown_not_zero(model: Explainable) -> None:
    with torch.no_grad():
        model.module.classifier.bias.copy_(torch.tensor([50.0, 0.0, 0.0]))
    for example in (sentence("b", "good", "film"), sentence("c", "\u200b")):
        found = tables(model, example)
        (row,) = found["explain:integrated_gradients"]
        assert row["entities"] == 0
        assert all(row[key] is None for key in row if key not in ("id", "entities"))
        assert found["entity_attributions:random"] == []


def test_a_span_head_says_why_not() -> None:
    class Cell:
        classifier = type("Spans", (), {"span_width": 4})()

    assert "no margin at a word" in str(entity_explaining.why_not(Cell()))  # type: ignore[arg-type]
    Cell.classifier.span_width = None
    assert entity_explaining.why_not(Cell()) is None  # type: ignore[arg-type]
