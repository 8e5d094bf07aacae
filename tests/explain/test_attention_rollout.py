"""Attention rollout: the product written out, the module untouched, models without attention refused."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from explain.engine import explain
from explain.inputs import Explainable, encode
from explain.methods import attention_rollout
from tests.explain.conftest import sentences


def test_equal_to_the_product_written_out(bert: Explainable) -> None:
    bert.module.eval()
    for text in sentences(3, seed=31, low=2, high=6):
        encoded = encode(bert, text)
        with torch.no_grad():
            attentions = bert.module(encoded.ids[None], output_attentions=True).attentions
        first, second = (layer[0].mean(0).double().numpy() / 2 + np.eye(len(encoded.ids)) / 2 for layer in attentions)
        tokens = (second @ first)[0]
        assert tokens.sum() == pytest.approx(1.0)
        words = np.zeros(len(encoded.words))
        for value, word in zip(tokens, encoded.word_of.tolist(), strict=True):
            if word >= 0:
                words[word] += value
        found = explain(bert, [text], attention_rollout)[0]
        np.testing.assert_allclose(found.scores, words, atol=1e-6)
        assert found.completeness_error is None


def test_it_does_not_know_the_class_and_never_speaks_against_it(bert: Explainable) -> None:
    texts = sentences(4, seed=32, low=2)
    one, two = (explain(bert, texts, attention_rollout, targets=[target] * 4) for target in (0, 1))
    assert [a.scores for a in one] == [a.scores for a in two]
    assert min(min(a.scores) for a in one) >= 0
    still = explain(bert, texts, attention_rollout, config=attention_rollout.Config(residual=1.0))
    assert all(set(a.scores) == {0.0} for a in still)  # nothing ever moves to [CLS]


@pytest.mark.parametrize("name", ["bert", "roberta"])
def test_fused_attention_gives_the_same_and_is_given_back(name: str, request: pytest.FixtureRequest) -> None:
    eager = request.getfixturevalue(name)
    texts = sentences(5, seed=33, high=8)
    expected = [a.scores for a in explain(eager, texts, attention_rollout)]
    config = type(eager.module.config)(**{**eager.module.config.to_dict(), "attn_implementation": "sdpa"})
    fused = type(eager.module)(config)
    fused.load_state_dict(eager.module.state_dict())
    assert fused.config._attn_implementation == "sdpa"
    found = explain(Explainable(fused, eager.tokenizer, 64), texts, attention_rollout, batch_tokens=300)
    for one, two in zip(expected, found, strict=True):
        np.testing.assert_allclose(one, two.scores, atol=1e-6)
    assert fused.config._attn_implementation == "sdpa"
    assert not fused.config.output_attentions


def test_what_cannot_be_asked(bert: Explainable, bag: Callable[..., Explainable]) -> None:
    with pytest.raises(ValueError, match="give a share"):
        attention_rollout.Config(residual=2.0)
    module = bag({"good": 1.0}).module

    class Silent(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = module

        def get_input_embeddings(self) -> torch.nn.Module:
            return self.inner.table

        def forward(self, output_attentions: bool = False, **given: torch.Tensor) -> object:
            return self.inner(**given)

    with pytest.raises(ValueError, match="no attention"):
        explain(Explainable(Silent(), bert.tokenizer, 64), ["good"], attention_rollout)
