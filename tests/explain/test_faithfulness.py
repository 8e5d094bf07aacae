from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from explain.engine import explain
from explain.faithfulness import faithfulness
from explain.inputs import Explainable
from explain.methods import integrated_gradients, random
from explain.search import Search, best_gap
from tests.explain.conftest import WORDS, sentences


def test_an_additive_model_is_explained_perfectly(bag: Callable[..., Explainable]) -> None:
    rng = np.random.default_rng(0)
    weights = {word: float(push) for word, push in zip(WORDS, rng.normal(size=len(WORDS)), strict=True)}
    texts = sentences(10, seed=5, low=2, high=14)
    for scale in (1.0, 20.0):
        model = bag(weights, scale)
        found = explain(model, texts, integrated_gradients)
        scored = faithfulness(model, found)
        # equal words score equally, so a text of one word throughout has no order to judge
        assert all(f.dnaopc == pytest.approx(1.0, abs=1e-5) for f in scored if f.dnaopc is not None)
        assert sum(f.dnaopc is not None for f in scored) >= 9
        negated = [replace(a, scores=tuple(-s for s in a.scores)) for a in found]
        assert all(f.dnaopc in (None, pytest.approx(-1.0, abs=1e-5)) for f in faithfulness(model, negated))


def test_integrated_gradients_beats_chance_and_random_does_not(bert: Explainable) -> None:
    texts = sentences(80, seed=6, low=3)
    found = explain(bert, texts, integrated_gradients)
    control = explain(bert, texts, random)
    scored = faithfulness(bert, [*found, *control])
    ours = np.array([f.dnaopc for f in scored[:80]])
    chance = np.array([f.dnaopc for f in scored[80:]])
    assert ours.mean() > 0.3
    assert abs(chance.mean()) < 4 * chance.std() / np.sqrt(80)
    assert all(abs(f.dnaopc) <= 1 and f.forwards >= 0 for f in scored)
    assert all(-1 <= f.comprehensiveness <= 1 and -1 <= f.sufficiency <= 1 for f in scored)


def test_texts_of_one_explainer_do_not_disturb_another(bert: Explainable) -> None:
    texts = sentences(5, seed=7, low=2)
    found = explain(bert, texts, integrated_gradients)
    control = explain(bert, texts, random)
    together = faithfulness(bert, [*control, *found], batch_tokens=60)
    alone = faithfulness(bert, found)
    for one, two in zip(together[5:], alone, strict=True):
        assert one.dnaopc == pytest.approx(two.dnaopc, abs=1e-5)
        assert one.sufficiency == pytest.approx(two.sufficiency, abs=1e-6)
        assert one.forwards < two.forwards


def test_the_best_order_is_looked_for_once_a_question(bert: Explainable, monkeypatch: pytest.MonkeyPatch) -> None:
    searched: list[int] = []

    def counting(margins: Callable, words: int, search: Search) -> tuple[float, float]:
        searched.append(words)
        return best_gap(margins, words, search)

    monkeypatch.setattr("explain.faithfulness.best_gap", counting)
    texts = ["good bad film plot not very dull", "the film is truly awful"]
    made = [explain(bert, texts, method, targets=[0, 1]) for method in (integrated_gradients, random)]
    together = faithfulness(bert, [*made[0], *made[1]])
    assert sorted(searched) == [5, 7]
    flipped = explain(bert, texts[:1], random, targets=[1])
    faithfulness(bert, [made[0][0], flipped[0]])
    assert sorted(searched) == [5, 7, 7, 7]  # another class is another question
    assert [one.dnaopc for one in together[2:]] == pytest.approx([one.dnaopc for one in faithfulness(bert, made[1])])


def test_masked_keeps_class_and_probabilities_by_hand(bag: Callable[..., Explainable]) -> None:
    model = bag({"good": 2.0, "[MASK]": -1.0})
    good, dull = faithfulness(model, explain(model, ["good film", "film"], integrated_gradients, targets=[1, 0]))
    full, one, none = (1 / (1 + np.exp(-x)) for x in (2.0, -1.0, -2.0))
    assert not good.masked_keeps_class  # 2 -> -2
    assert good.comprehensiveness == pytest.approx(full - (one + none) / 2, abs=1e-6)
    assert good.sufficiency == pytest.approx(full - (1 / (1 + np.exp(-1.0)) + full) / 2, abs=1e-6)
    assert dull.dnaopc is None
    assert dull.masked_keeps_class
    assert json.loads(json.dumps(dull.to_dict()))["dnaopc"] is None


def test_another_models_attribution_is_refused(bert: Explainable) -> None:
    found = explain(bert, ["good bad film"], random)
    short = Explainable(bert.module, bert.tokenizer, 4)
    with pytest.raises(ValueError, match="other words"):
        faithfulness(short, found)


def test_the_model_is_given_back_as_it_was(bert: Explainable) -> None:
    bert.module.train()
    faithfulness(bert, explain(bert, ["good film"], random))
    assert bert.module.training
    assert all(weight.requires_grad for weight in bert.module.parameters())
