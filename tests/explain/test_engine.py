from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import numpy as np
import pytest
import torch
from captum.attr import IntegratedGradients

from explain.engine import explain
from explain.inputs import Explainable
from explain.methods import integrated_gradients, random
from tests.explain.conftest import sentences

BOTH = pytest.mark.parametrize("method", [integrated_gradients, random], ids=["integrated_gradients", "random"])


def test_a_linear_model_is_explained_exactly(bag: Callable[..., Explainable]) -> None:
    model = bag({"good": 2.0, "bad": -3.0, "[MASK]": 0.5, "[CLS]": 7.0, "##ly": 1.0})
    found = explain(model, ["good film bad", "goodly"], integrated_gradients, targets=[1, 1])
    # each word gives its own push less the mask's; special tokens are equal in x and x' and give nothing
    np.testing.assert_allclose(found[0].scores, [1.5, -0.5, -3.5], atol=1e-6)
    np.testing.assert_allclose(found[1].scores, [2.0], atol=1e-6)  # (2 - 0.5) + (1 - 0.5): pieces are summed
    assert found[0].margin == pytest.approx(6.0)
    assert found[0].baseline_margin == pytest.approx(8.5)
    assert all(a.completeness_error < 1e-5 for a in found)


def test_equal_to_captum_called_by_hand(bert: Explainable) -> None:
    bert.module.eval()
    fixed = integrated_gradients.Config(rule="gauss_legendre", n_steps=50)
    texts = sentences(6, seed=1)
    for text, ours in zip(texts, explain(bert, texts, integrated_gradients, config=fixed), strict=True):
        encoded = bert.tokenizer(text.split(), is_split_into_words=True, return_tensors="pt")
        ids = encoded["input_ids"]
        blank = ids.clone()
        blank[0, 1:-1] = bert.tokenizer.mask_token_id
        table = bert.module.get_input_embeddings()
        target, other = bert.module(ids).logits[0].argsort(descending=True)[:2].tolist()

        def margin(embeds: torch.Tensor, t: int = target, o: int = other) -> torch.Tensor:
            logits = bert.module(inputs_embeds=embeds).logits
            return logits[:, t] - logits[:, o]

        tokens = IntegratedGradients(margin).attribute(table(ids), table(blank), n_steps=50)
        tokens = tokens.detach().sum(-1)[0]
        expected = np.zeros(len(ours.words))
        for place, word in enumerate(encoded.word_ids()):
            if word is not None:
                expected[word] += float(tokens[place])
        assert (ours.target, ours.other) == (target, other)
        np.testing.assert_allclose(ours.scores, expected, rtol=0, atol=1e-6 * max(1.0, np.abs(expected).max()))


@BOTH
@pytest.mark.parametrize("name", ["bert", "roberta"])
def test_batch_order_and_padding_change_nothing(method: ModuleType, name: str, request: pytest.FixtureRequest) -> None:
    model = request.getfixturevalue(name)
    texts = sentences(9, seed=2, high=9)
    together = explain(model, texts, method, batch_tokens=20_000)
    reverse = explain(model, texts[::-1], method, batch_tokens=700)[::-1]
    alone = [explain(model, [text], method)[0] for text in texts]
    for first, second, third in zip(together, reverse, alone, strict=True):
        assert first.words == second.words == third.words
        np.testing.assert_allclose(first.scores, third.scores, atol=1e-5)
        np.testing.assert_allclose(second.scores, third.scores, atol=1e-5)
        assert first.margin == pytest.approx(third.margin, abs=1e-5)


def test_more_points_are_spent_until_the_sum_is_right(bert: Explainable) -> None:
    texts = sentences(12, seed=3)
    rough = integrated_gradients.Config(rule="gauss_legendre", n_steps=1)
    fine = integrated_gradients.Config()
    before = [a.completeness_error for a in explain(bert, texts, integrated_gradients, config=rough)]
    after = [a.completeness_error for a in explain(bert, texts, integrated_gradients, config=fine)]
    assert max(before) > 0.05
    assert max(after) <= 1e-3


def test_the_model_is_given_back_as_it_was(bert: Explainable) -> None:
    bert.module.train()
    weights = {name: value.clone() for name, value in bert.module.state_dict().items()}
    with torch.inference_mode():
        explain(bert, ["good film"], integrated_gradients)
    assert all(part.training for part in bert.module.modules())
    assert all(weight.requires_grad and weight.grad is None for weight in bert.module.parameters())
    assert all(torch.equal(weights[name], value) for name, value in bert.module.state_dict().items())


def test_bfloat16_works_and_is_near_float32(bert: Explainable) -> None:
    texts = sentences(5, seed=4, low=4)
    exact = explain(bert, texts, integrated_gradients, targets=[0] * 5)
    bert.module.to(torch.bfloat16)
    rounded = explain(bert, texts, integrated_gradients, targets=[0] * 5)
    for one, two in zip(exact, rounded, strict=True):
        if one.other == two.other:
            assert np.abs(np.subtract(one.scores, two.scores)).max() < 0.15 * max(1.0, np.abs(one.scores).max())


def test_random_depends_on_seed_and_text_only(bert: Explainable) -> None:
    one = explain(bert, ["good film", "bad film"], random, seed=1)
    two = explain(bert, ["bad film", "good film"], random, seed=1)
    assert one[0].scores == two[1].scores
    assert one[0].scores != one[1].scores
    assert one[0].scores != explain(bert, ["good film"], random, seed=2)[0].scores
    assert one[0].completeness_error is None


@BOTH
def test_odd_texts(bert: Explainable, method: ModuleType) -> None:
    found = explain(bert, ["good", "!?...", "x" * 200, "good " * 500, "=1+1 <b> 日本"], method)
    assert [len(a.words) for a in found] == [1, 1, 1, 62, 3]
    assert found[3].dropped == 438


def test_scores_follow_the_scale_of_the_logits(bag: Callable[..., Explainable]) -> None:
    weights = {"good": 2.0, "bad": -3.0, "film": 0.25}
    plain, loud = (explain(bag(weights, s), ["good bad film"], integrated_gradients)[0] for s in (1.0, 20.0))
    np.testing.assert_allclose(np.multiply(plain.scores, 20.0), loud.scores, rtol=1e-5)


def test_a_planted_shortcut_comes_first_and_twins_score_alike(bag: Callable[..., Explainable]) -> None:
    model = bag({"actor": 6.0, "good": 1.0, "great": 1.0, "bad": -1.0})
    found = explain(model, ["the good plot and great actor is bad"], integrated_gradients, targets=[1])[0]
    ranked = [found.words[i] for i in np.argsort(found.scores)[::-1]]
    assert ranked[0] == "actor"
    scores = dict(zip(found.words, found.scores, strict=True))
    assert scores["good"] == pytest.approx(scores["great"], abs=1e-6)


def test_bad_arguments(bert: Explainable) -> None:
    for texts, wrong, message in [
        (["good", ""], {}, "empty"),
        (["good"], {"targets": [3]}, "classes 0 to 2"),
        (["good"], {"targets": [0, 1]}, "2 targets for 1 texts"),
        (["good"], {"batch_tokens": 0}, "batch_tokens"),
    ]:
        with pytest.raises(ValueError, match=message):
            explain(bert, texts, integrated_gradients, **wrong)
    assert explain(bert, [], integrated_gradients) == []
    with torch.no_grad():
        bert.module.classifier.weight.fill_(float("nan"))
    with pytest.raises(ValueError, match="not finite"):
        explain(bert, ["good"], integrated_gradients)


@pytest.mark.parametrize(
    "wrong",
    [
        {"n_steps": 0},
        {"n_steps": 2000},
        {"tolerance": 0.0},
        {"max_steps": 10},
        {"max_steps": 1024},
        {"rule": "simpson"},
    ],
)
def test_config_refuses_bad_values(wrong: dict[str, float | str]) -> None:
    with pytest.raises(ValueError, match="give"):
        integrated_gradients.Config(**wrong)
