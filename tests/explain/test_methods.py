"""Every method: known answers, independent checks against Captum, seeds by text, batches that change nothing."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from math import factorial
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch
from captum.attr import FeatureAblation, GradientShap, InputXGradient, KernelShap, NoiseTunnel, Saliency, ShapleyValues

from explain.engine import Batch, explain, predicted, text_seed
from explain.engine import batch_of as engine_batch
from explain.faithfulness import faithfulness
from explain.inputs import Explainable, encode, frozen
from explain.methods import (
    _coalitions,
    attention_rollout,
    gradient_shap,
    input_x_gradient,
    integrated_gradients,
    kernel_shap,
    layer_conductance,
    lime,
    occlusion,
    saliency_l2,
    shapley_sampling,
    smooth_grad,
)
from explain.pool import Pool
from tests.explain.conftest import WORDS, Bag, sentences

SIGNED = (input_x_gradient, smooth_grad, gradient_shap, occlusion, shapley_sampling, kernel_shap, lime)
METHODS = (saliency_l2, *SIGNED)
EXACT = (input_x_gradient, smooth_grad, occlusion, shapley_sampling, kernel_shap)
WHOLE = (*METHODS, integrated_gradients, layer_conductance, attention_rollout)  # those that need a real transformer too
SEEDED = (smooth_grad, gradient_shap, shapley_sampling, kernel_shap, lime)


def name(method: ModuleType) -> str:
    return method.__name__.rpartition(".")[2]


def each(methods: tuple[ModuleType, ...]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("method", methods, ids=name)


def batch_of(model: Explainable, text: str, targets: list[int] | None = None) -> Batch:
    """What a method gets for one text."""
    return engine_batch(model, predicted(model, [encode(model, text)], targets), 0, 4096, Pool(model))


def forward_arguments(batch: Batch) -> tuple[torch.Tensor, ...]:
    return batch.attention_mask, batch.targets, batch.others


def by_word(batch: Batch, tokens: torch.Tensor) -> np.ndarray:
    """Captum's token scores (1, t) summed over words."""
    owner = batch.word_of[0]
    words = torch.zeros(int(owner.max()) + 1, dtype=torch.float64)
    return words.index_add_(0, owner[owner >= 0], tokens[0][owner >= 0].detach().double()).numpy()


def features(batch: Batch) -> torch.Tensor:
    """Captum's feature mask (1, t, 1): one feature a word, all special tokens together the last one."""
    owner = batch.word_of.clone()
    owner[owner < 0] = int(owner.max()) + 1
    return owner[:, :, None]


def first_of_each(batch: Batch, scores: torch.Tensor) -> np.ndarray:
    """Captum gives every element of a feature the feature's score: take each word's first."""
    owner = batch.word_of[0].tolist()
    return np.array([float(scores[0, owner.index(word), 0]) for word in range(max(owner) + 1)])


@each(EXACT)
def test_a_linear_model_is_explained_exactly(bag: Callable[..., Explainable], method: ModuleType) -> None:
    model = bag({"good": 2.0, "bad": -3.0, "[MASK]": 0.5, "[CLS]": 7.0, "##ly": 1.0})
    long = "good film bad " * 5
    found = explain(model, ["good film bad", "goodly", long], method, targets=[1, 1, 1])
    np.testing.assert_allclose(found[0].scores, [1.5, -0.5, -3.5], atol=1e-5)
    np.testing.assert_allclose(found[1].scores, [2.0], atol=1e-5)
    np.testing.assert_allclose(found[2].scores, [1.5, -0.5, -3.5] * 5, atol=1e-4)
    assert all((a.completeness_error is not None) == method.HAS_COMPLETENESS for a in found)
    assert all(a.completeness_error < 1e-5 for a in found if a.completeness_error is not None)


def test_lime_and_gradient_shap_come_near_on_a_linear_model(bag: Callable[..., Explainable]) -> None:
    model = bag({"good": 2.0, "bad": -3.0, "[MASK]": 0.5, "[CLS]": 7.0})
    text, expected = "good film bad is", [1.5, -0.5, -3.5, -0.5]
    np.testing.assert_allclose(explain(model, [text], lime, targets=[1])[0].scores, expected, rtol=0.02)
    quiet = gradient_shap.Config(noise=0.0)
    exact = explain(model, [text], gradient_shap, targets=[1], config=quiet)[0]
    np.testing.assert_allclose(exact.scores, expected, atol=1e-5)
    noisy = explain(model, [text], gradient_shap, targets=[1])[0]
    np.testing.assert_allclose(noisy.scores, expected, atol=0.25)
    assert noisy.scores != exact.scores


def test_saliency_is_a_length_without_a_sign(bag: Callable[..., Explainable]) -> None:
    model = bag({"good": 2.0, "bad": -3.0, "[MASK]": 0.5, "##ly": 1.0}, 3.0)
    found = explain(model, ["good film bad goodly"], saliency_l2, targets=[1])[0]
    # d margin / d embedding = scale * (-1, 1) at every token, whatever the word: two pieces have a vector of four
    np.testing.assert_allclose(found.scores, [3 * 2**0.5, 3 * 2**0.5, 3 * 2**0.5, 6.0], rtol=1e-6)


class Cubes(Bag):
    """Bag with every component cubed: a word's slope grows with its weight."""

    def forward(self, inputs_embeds: torch.Tensor, attention_mask: torch.Tensor) -> SimpleNamespace:
        return super().forward(inputs_embeds**3, attention_mask)


@each(METHODS)
def test_a_planted_shortcut_comes_first_and_twins_score_alike(wordpiece: object, method: ModuleType) -> None:
    push = {"actor": 2.0, "good": 1.0, "great": 1.0, "bad": -1.0}
    model = Explainable(Cubes(wordpiece, push), wordpiece, 64)
    text = "the good plot and great actor is bad not very dull film"
    found = explain(model, [text], method, targets=[1])[0]
    scores = dict(zip(found.words, found.scores, strict=True))
    assert max(scores, key=scores.__getitem__) == "actor"
    near = 0.4 if method in (gradient_shap, smooth_grad) else 0.05
    assert scores["good"] == pytest.approx(scores["great"], abs=near)
    assert scores["good"] > scores["plot"]
    if method in SIGNED:
        assert scores["bad"] < scores["plot"] == pytest.approx(0.0, abs=near)
    else:
        assert scores["bad"] == pytest.approx(scores["good"], abs=1e-5)


@each(METHODS)
def test_no_method_returns_nothing_and_signed_ones_beat_chance(bert: Explainable, method: ModuleType) -> None:
    found = explain(bert, sentences(25, seed=6, low=4), method)
    assert all(np.abs(a.scores).max() > 1e-6 for a in found)
    assert all(np.count_nonzero(a.scores) == len(a.words) for a in found)
    if method in SIGNED:
        gaps = [f.dnaopc for f in faithfulness(bert, found) if f.dnaopc is not None]
        assert np.mean(gaps) > 0.25


def test_lime_is_not_all_zeros_where_captums_default_is(bag: Callable[..., Explainable]) -> None:
    found = explain(bag({"good": 0.02, "bad": -0.03}), ["good film bad"], lime, targets=[1])[0]
    np.testing.assert_allclose(found.scores, [0.02, 0.0, -0.03], atol=1e-3)


@each(WHOLE)
@pytest.mark.parametrize("which", ["bert", "roberta"])
def test_batch_order_and_padding_change_nothing(method: ModuleType, which: str, request: pytest.FixtureRequest) -> None:
    model = request.getfixturevalue(which)
    texts = sentences(7, seed=2, high=9)
    together = explain(model, texts, method, batch_tokens=20_000)
    reverse = explain(model, texts[::-1], method, batch_tokens=700)[::-1]
    alone = [explain(model, [text], method)[0] for text in texts]
    for first, second, third in zip(together, reverse, alone, strict=True):
        size = max(1.0, float(np.abs(third.scores).max()))
        np.testing.assert_allclose(first.scores, third.scores, atol=2e-5 * size)
        np.testing.assert_allclose(second.scores, third.scores, atol=2e-5 * size)


@each(WHOLE)
def test_the_seed_is_that_of_the_text(bert: Explainable, method: ModuleType) -> None:
    texts = sentences(3, seed=9, low=11, high=12)
    one, again = explain(bert, texts, method, seed=1), explain(bert, texts, method, seed=1)
    assert [a.scores for a in one] == [a.scores for a in again]
    other = explain(bert, texts, method, seed=2)
    assert all((a.scores != b.scores) == (method in SEEDED) for a, b in zip(one, other, strict=True))
    assert text_seed(1, texts[0]) != text_seed(1, texts[1])


@each(WHOLE)
def test_the_model_is_given_back_as_it_was_and_global_randomness_too(bert: Explainable, method: ModuleType) -> None:
    bert.module.train()
    weights = {key: value.clone() for key, value in bert.module.state_dict().items()}
    torch.manual_seed(5)
    np.random.seed(5)
    before = torch.get_rng_state(), np.random.get_state()[1].copy()
    with torch.inference_mode():
        explain(bert, ["good film", "bad"], method)
    assert torch.equal(before[0], torch.get_rng_state())
    assert np.array_equal(before[1], np.random.get_state()[1])
    assert all(part.training for part in bert.module.modules())
    assert all(weight.requires_grad and weight.grad is None for weight in bert.module.parameters())
    assert all(torch.equal(weights[key], value) for key, value in bert.module.state_dict().items())


@each(WHOLE)
def test_odd_texts(bert: Explainable, method: ModuleType) -> None:
    found = explain(bert, ["good", "!?...", "x" * 200, "good " * 500, "=1+1 <b> 日本"], method)
    assert [len(a.words) for a in found] == [1, 1, 1, 62, 3]
    assert explain(bert, [], method) == []


@each(METHODS)
def test_scores_follow_the_scale_of_the_logits(bag: Callable[..., Explainable], method: ModuleType) -> None:
    weights = {"good": 2.0, "bad": -3.0, "film": 0.25}
    plain, loud = (explain(bag(weights, s), ["good bad film"], method)[0] for s in (1.0, 20.0))
    np.testing.assert_allclose(np.multiply(plain.scores, 20.0), loud.scores, rtol=1e-4, atol=1e-5)


@each(WHOLE)
def test_bfloat16_runs(bert: Explainable, method: ModuleType) -> None:
    bert.module.to(torch.bfloat16)
    found = explain(bert, ["good film bad plot"], method)[0]
    assert np.isfinite(found.scores).all()
    assert np.count_nonzero(found.scores)


@each(WHOLE)
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_a_compiled_module_is_explained_as_the_plain_one(bert: Explainable, method: ModuleType) -> None:
    compiled = Explainable(torch.compile(bert.module, backend="eager"), bert.tokenizer, 64)
    texts = sentences(2, seed=8, low=3, high=4)
    for one, two in zip(explain(bert, texts, method), explain(compiled, texts, method), strict=True):
        np.testing.assert_allclose(one.scores, two.scores, atol=1e-5)


@pytest.mark.parametrize("text", sentences(4, seed=11, low=3, high=6))
def test_gradients_equal_captums(bert: Explainable, text: str) -> None:
    with frozen(bert.module):
        batch = batch_of(bert, text)
        arguments = forward_arguments(batch)
        point = batch.inputs.clone().requires_grad_(True)
        slopes = Saliency(batch.forward).attribute(point, abs=False, additional_forward_args=arguments)
        squares = by_word(batch, slopes.square().sum(-1))

        def moved(step: torch.Tensor, *rest: torch.Tensor) -> torch.Tensor:
            return batch.forward(batch.baselines + step, *rest)

        step = (batch.inputs - batch.baselines).requires_grad_(True)
        taylor = InputXGradient(moved).attribute(step, additional_forward_args=arguments)
        expected = by_word(batch, taylor.sum(-1))
        size = max(1.0, float(np.abs(expected).max()))
    np.testing.assert_allclose(explain(bert, [text], saliency_l2)[0].scores, np.sqrt(squares), rtol=2e-6)
    np.testing.assert_allclose(explain(bert, [text], input_x_gradient)[0].scores, expected, atol=1e-6 * size)
    still = smooth_grad.Config(samples=3, noise=0.0)
    np.testing.assert_allclose(explain(bert, [text], smooth_grad, config=still)[0].scores, expected, atol=1e-6 * size)


def test_random_gradients_agree_with_captums_in_the_mean(bert: Explainable) -> None:
    text = "good bad film plot"
    with frozen(bert.module):
        batch = batch_of(bert, text)
        arguments = forward_arguments(batch)
        torch.manual_seed(0)
        np.random.seed(0)
        captum_shap = GradientShap(batch.forward).attribute(
            batch.inputs, baselines=batch.baselines, n_samples=600, stdevs=0.0, additional_forward_args=arguments
        )
        inside = batch.word_of[0] >= 0
        pieces = batch.inputs[0, inside]
        spread = 0.1 * float(pieces.max() - pieces.min())

        def words_only(noisy: torch.Tensor, *rest: torch.Tensor) -> torch.Tensor:
            fixed = batch.inputs.expand_as(noisy)
            return batch.forward(torch.where(inside[None, :, None], noisy, fixed), *rest)

        smooth = NoiseTunnel(Saliency(words_only)).attribute(
            batch.inputs.clone().requires_grad_(True),
            nt_type="smoothgrad",
            nt_samples=600,
            stdevs=spread,
            abs=False,
            additional_forward_args=arguments,
        )
        smooth = (batch.inputs - batch.baselines) * smooth
    ours = explain(bert, [text], gradient_shap, config=gradient_shap.Config(samples=200, noise=0.0))[0]
    size = np.abs(ours.scores).max()
    np.testing.assert_allclose(ours.scores, by_word(batch, captum_shap.sum(-1)), atol=0.1 * size)
    assert sum(ours.scores) == pytest.approx(ours.margin - ours.baseline_margin, abs=0.02 * size)
    ours = explain(bert, [text], smooth_grad, config=smooth_grad.Config(samples=600))[0]
    size = np.abs(ours.scores).max()
    np.testing.assert_allclose(ours.scores, by_word(batch, smooth.sum(-1)), atol=0.1 * size)


def test_occlusion_equals_captums_ablation_of_words(bert: Explainable) -> None:
    for text in sentences(4, seed=12, low=2, high=7):
        with frozen(bert.module):
            batch = batch_of(bert, text)
            ablated = FeatureAblation(batch.forward).attribute(
                batch.inputs,
                baselines=batch.baselines,
                feature_mask=features(batch),
                additional_forward_args=forward_arguments(batch),
            )
        np.testing.assert_allclose(explain(bert, [text], occlusion)[0].scores, first_of_each(batch, ablated), atol=2e-6)


def exact_shapley(batch: Batch, words: int) -> np.ndarray:
    """Straight from the definition: the mean gain over all orders."""
    codes = np.array(list(itertools.product([False, True], repeat=words)))
    value = dict(zip(map(tuple, codes), _coalitions.margins(batch, 0, codes), strict=True))
    gains = np.zeros(words)
    for order in itertools.permutations(range(words)):
        keep = [False] * words
        for word in order:
            before = value[tuple(keep)]
            keep[word] = True
            gains[word] += value[tuple(keep)] - before
    return gains / factorial(words)


def test_shapley_values_are_exact_for_short_texts_and_near_for_many_orders(bert: Explainable) -> None:
    text = "good bad filming plot not"
    with frozen(bert.module):
        batch = batch_of(bert, text)
        expected = exact_shapley(batch, 5)
        arguments = {
            "baselines": batch.baselines,
            "feature_mask": features(batch),
            "additional_forward_args": forward_arguments(batch),
        }
        captum = first_of_each(batch, ShapleyValues(batch.forward).attribute(batch.inputs, **arguments))
    np.testing.assert_allclose(expected, captum, atol=2e-6)
    fitted = explain(bert, [text], kernel_shap)[0]
    np.testing.assert_allclose(fitted.scores, expected, atol=2e-6)
    sampled = explain(bert, [text], shapley_sampling, config=shapley_sampling.Config(orders=2000))[0]
    np.testing.assert_allclose(sampled.scores, expected, atol=0.05 * np.abs(expected).max())
    rough = explain(bert, [text], shapley_sampling)[0]
    assert np.corrcoef(rough.scores, expected)[0, 1] > 0.95
    assert max(a.completeness_error for a in (fitted, sampled, rough)) < 1e-4


def test_kernel_shap_of_longer_texts_agrees_with_captum_and_with_sampled_orders(bert: Explainable) -> None:
    text = " ".join(WORDS[:10])
    with frozen(bert.module):
        batch = batch_of(bert, text)
        torch.manual_seed(0)
        fitted = KernelShap(batch.forward).attribute(
            batch.inputs,
            baselines=batch.baselines,
            feature_mask=features(batch),
            additional_forward_args=forward_arguments(batch),
            n_samples=1500,
            perturbations_per_eval=1,
        )
    captum = first_of_each(batch, fitted)
    ours = explain(bert, [text], kernel_shap)[0]
    orders = explain(bert, [text], shapley_sampling, config=shapley_sampling.Config(orders=1000))[0]
    near = 0.15 * np.abs(orders.scores).max()
    np.testing.assert_allclose(ours.scores, orders.scores, atol=near)
    np.testing.assert_allclose(captum, orders.scores, atol=near)
    assert ours.completeness_error < 1e-4


def test_equal_sets_of_words_are_computed_once_and_forwards_are_bounded(bert: Explainable) -> None:
    rows: list[int] = []

    class Counting(Explainable):
        def logits(self, embeds: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
            rows.append(len(embeds))
            return super().logits(embeds, attention_mask)

    counting = Counting(bert.module, bert.tokenizer, 64)
    text = "good bad film plot"
    explain(counting, [text], shapley_sampling, config=shapley_sampling.Config(orders=400))
    assert sum(rows) == 3 + 2**4  # the engine's three (class, both margins), and every set of words once
    rows.clear()
    explain(counting, [text], occlusion, batch_tokens=13)
    assert sum(rows) == 3 + 4
    assert max(rows) <= 2  # 13 tokens hold two texts of six


@pytest.mark.parametrize(
    ("method", "wrong"),
    [
        (smooth_grad, {"samples": 0}),
        (smooth_grad, {"noise": -0.1}),
        (gradient_shap, {"samples": 5000}),
        (gradient_shap, {"noise": float("nan")}),
        (shapley_sampling, {"orders": 3}),
        (shapley_sampling, {"orders": 0}),
        (kernel_shap, {"samples": 15}),
        (lime, {"samples": 10**6}),
    ],
)
def test_configs_refuse_bad_values(method: ModuleType, wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="give"):
        method.Config(**wrong)
