"""The suite's checks on itself: what every faithfulness score must do on models whose answers are known."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor

from explain import stability
from explain.attribution import Attribution
from explain.engine import explain
from explain.faithfulness import Faithfulness, curves, faithfulness
from explain.inputs import Explainable
from explain.methods import input_x_gradient, integrated_gradients, occlusion, random, saliency_l2
from explain.randomisation import randomised
from tests.explain.conftest import WORDS, sentences

SIGNED = (integrated_gradients, input_x_gradient, occlusion)


class Scaled(torch.nn.Module):
    """Another model's logits times a constant: more confident, no wiser."""

    def __init__(self, inner: torch.nn.Module, factor: float) -> None:
        super().__init__()
        self.inner, self.factor = inner, factor

    def get_input_embeddings(self) -> torch.nn.Module:
        return self.inner.get_input_embeddings()

    def forward(self, inputs_embeds: Tensor, attention_mask: Tensor) -> SimpleNamespace:
        out = self.inner(inputs_embeds=inputs_embeds, attention_mask=attention_mask)
        return SimpleNamespace(logits=self.factor * out.logits)


def _values(found: Sequence[Faithfulness], name: str) -> np.ndarray:
    return np.array([np.nan if getattr(f, name) is None else getattr(f, name) for f in found])


def _with(attributions: Sequence[Attribution], change: Callable[[float], float]) -> list[Attribution]:
    plain = {"convergence_delta": None, "completeness_error": None}
    return [replace(a, scores=tuple(map(change, a.scores)), **plain) for a in attributions]


def test_negating_an_attribution_negates_gap_and_correlation(bert: Explainable) -> None:
    found = explain(bert, sentences(12, seed=1, low=3), integrated_gradients)
    plain, negated = faithfulness(bert, found), faithfulness(bert, _with(found, lambda score: -score))
    for name in ("dnaopc", "correlation"):
        assert _values(negated, name) == pytest.approx(-_values(plain, name), abs=1e-5, nan_ok=True)


def test_a_model_with_logits_times_four_keeps_its_rank(bert: Explainable) -> None:
    texts = sentences(20, seed=2, low=4)
    louder = replace(bert, module=Scaled(bert.module, 4.0))
    shuffled = randomised(bert, seed=7)  # a second model, so that there is a rank to keep
    scores = {}
    for name, model in {"plain": bert, "louder": louder, "other": shuffled}.items():
        scores[name] = faithfulness(model, explain(model, texts, integrated_gradients))
    for name in ("dnaopc", "correlation"):
        means = {model: float(np.nanmean(_values(found, name))) for model, found in scores.items()}
        assert means["louder"] == pytest.approx(means["plain"], abs=2e-3)
        assert abs(means["other"] - means["plain"]) > 5e-3
        assert (means["louder"] > means["other"]) == (means["plain"] > means["other"])
    # and what is never ranked does move with confidence alone
    raw = {model: float(np.mean(_values(found, "comprehensiveness"))) for model, found in scores.items()}
    assert abs(raw["louder"] - raw["plain"]) > 0.01


def test_random_is_zero_within_noise(bert: Explainable) -> None:
    found = faithfulness(bert, explain(bert, sentences(80, seed=3, low=4), random))
    for name in ("dnaopc", "correlation"):
        values = _values(found, name)
        values = values[~np.isnan(values)]
        assert abs(values.mean()) < 4 * values.std() / np.sqrt(len(values))
        assert values.std() > 0.1


def test_the_oracle_order_scores_one(bag: Callable[..., Explainable]) -> None:
    weights = dict(zip(WORDS, np.random.default_rng(4).normal(size=len(WORDS)).tolist(), strict=True))
    model = bag(weights)
    texts = [" ".join(dict.fromkeys(text.split())) for text in sentences(10, seed=4, low=5)]
    asked = explain(model, texts, random)
    oracle = [replace(a, scores=tuple((1 if a.target == 1 else -1) * weights[word] for word in a.words)) for a in asked]
    found = faithfulness(model, oracle)
    assert _values(found, "dnaopc") == pytest.approx(np.ones(10), abs=1e-6)
    assert _values(found, "correlation") == pytest.approx(np.ones(10), abs=1e-6)


# input_x_gradient is not among them: where the answer is saturated its one gradient points elsewhere
@pytest.mark.parametrize(
    "method", [integrated_gradients, occlusion, saliency_l2], ids=lambda m: m.__name__.rpartition(".")[2]
)
def test_a_planted_shortcut_is_recovered(bert: Explainable, method: object) -> None:
    """A transformer whose head is trained, from random weights, to answer one word and nothing else."""
    rng = np.random.default_rng(5)
    plain = [w for w in WORDS if w != "plot"]
    texts, labels = [], []
    for row in range(160):
        words = rng.choice(plain, 6).tolist()
        if row % 2:
            words[rng.integers(6)] = "plot"
        texts.append(" ".join(words))
        labels.append(row % 2)
    coded = bert.tokenizer(texts, padding=True, return_tensors="pt")
    optimiser = torch.optim.AdamW(bert.module.parameters(), lr=2e-3)
    bert.module.train()
    for _ in range(40):
        loss = bert.module(**{k: coded[k] for k in ("input_ids", "attention_mask")}, labels=torch.tensor(labels)).loss
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    shortcut = [text for text, label in zip(texts, labels, strict=True) if label][:30]
    found = explain(bert, shortcut, method)
    assert all(a.target == 1 for a in found)
    top = [a.words[int(np.argmax(a.scores))] for a in found]
    assert np.mean([word == "plot" for word in top]) >= 0.9


@pytest.mark.parametrize("method", [*SIGNED, saliency_l2], ids=lambda m: m.__name__.rpartition(".")[2])
def test_two_words_of_identical_role_score_alike(bag: Callable[..., Explainable], method: object) -> None:
    model = bag({"good": 1.5, "great": 1.5, "bad": -1.0})
    (found,) = explain(model, ["the good film is great not bad"], method)
    scores = dict(zip(found.words, found.scores, strict=True))
    assert scores["good"] == pytest.approx(scores["great"], rel=1e-5)
    assert scores["film"] == pytest.approx(scores["the"], abs=1e-6)


def test_learnt_weights_matter_to_gradients_and_not_to_the_control(bert: Explainable) -> None:
    texts = sentences(15, seed=6, low=6)
    noise = randomised(bert, seed=3)
    before = {name: weight.clone() for name, weight in bert.module.named_parameters()}
    table = bert.module.get_input_embeddings().weight
    assert torch.equal(noise.module.get_input_embeddings().weight, table)
    assert noise.module.get_input_embeddings().weight is not table
    changed = [n for n, w in noise.module.named_parameters() if not torch.equal(w, before[n])]
    assert "classifier.weight" in changed
    for method, depends in ((integrated_gradients, True), (random, False)):
        found = explain(bert, texts, method)
        other = explain(noise, texts, method, targets=[a.target for a in found])
        taus = [stability.rank_agreement(a.scores, b.scores) for a, b in zip(found, other, strict=True)]
        passed = [stability.passes_randomisation(tau) for tau in taus if tau is not None]
        assert np.mean(passed) == (1.0 if depends else 0.0) or (depends and np.mean(passed) > 0.8)
    again = randomised(bert, seed=3)
    assert all(torch.equal(a, b) for a, b in zip(noise.module.parameters(), again.module.parameters(), strict=True))
    assert all(torch.equal(weight, before[name]) for name, weight in bert.module.named_parameters())


def test_curves_start_and_end_where_they_must(bag: Callable[..., Explainable]) -> None:
    model = bag({"good": 2.0, "bad": -1.0})
    (found,) = explain(model, ["good film bad"], integrated_gradients, targets=[1])
    drawn = curves(model, found, orders=200)
    chance = {k: 1 / (1 + np.exp(-k)) for k in (2.0, 1.0, 0.0, -1.0)}
    assert drawn.deletion == pytest.approx([chance[1.0], chance[-1.0], chance[-1.0], chance[0.0]], abs=1e-6)
    assert drawn.insertion == pytest.approx([chance[0.0], chance[2.0], chance[2.0], chance[1.0]], abs=1e-6)
    assert (drawn.deletion_low <= drawn.deletion + 1e-9).all()
    assert (drawn.insertion <= drawn.insertion_high + 1e-9).all()
    with pytest.raises(ValueError, match="orders"):
        curves(model, found, orders=0)
