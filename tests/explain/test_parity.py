"""Methods that draw at random, given Captum's draws or giving it ours: the same numbers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from captum._utils.models.linear_model import SkLearnRidge
from captum.attr import GradientShap, LimeBase, NoiseTunnel, Saliency

from explain.engine import Batch, batch_of, explain, predicted
from explain.inputs import Explainable, encode, frozen
from explain.methods import _coalitions, gradient_shap, lime, smooth_grad
from explain.pool import Pool
from tests.explain.conftest import sentences

TEXTS = sentences(2, seed=61, low=4, high=7)


def batch_for(model: Explainable, text: str) -> Batch:
    return batch_of(model, predicted(model, [encode(model, text)]), 0, 4096, Pool(model))


def by_word(batch: Batch, tokens: torch.Tensor) -> np.ndarray:
    owner = batch.word_of[0]
    words = torch.zeros(int(owner.max()) + 1, dtype=torch.float64)
    return words.index_add_(0, owner[owner >= 0], tokens[0][owner >= 0].detach().double()).numpy()


def draws(batch: Batch, count: int, share: float, places: bool) -> tuple[torch.Tensor, list[float]]:
    """What our methods draw for the batch's one text: noise (count, t, d), and a place in each part."""
    rng = np.random.default_rng(batch.seeds[0])
    inside = batch.word_of[0] >= 0
    pieces = batch.inputs[0, inside]
    noise, found = torch.zeros(count, *batch.inputs.shape[1:]), []
    for row in noise:
        drawn = rng.standard_normal(tuple(pieces.shape), dtype=np.float32)
        row[inside] = torch.from_numpy(drawn) * (share * (pieces.max() - pieces.min()))
        if places:
            found.append(rng.random())
    return noise, found


@pytest.mark.parametrize("text", TEXTS)
def test_gradient_shap(bert: Explainable, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    count = 12
    with frozen(bert.module):
        batch = batch_for(bert, text)
        noise, places = draws(batch, count, 0.05, places=True)
        along = (np.arange(count) + np.array(places)) / count
        monkeypatch.setattr(torch, "normal", lambda *_, **__: noise)
        monkeypatch.setattr(np.random, "uniform", lambda *_, **__: along)
        captum = GradientShap(batch.forward).attribute(
            batch.inputs,
            baselines=batch.baselines,
            n_samples=count,
            stdevs=1.0,
            additional_forward_args=(batch.attention_mask, batch.targets, batch.others),
        )
        monkeypatch.undo()
        expected = by_word(batch, captum.sum(-1))
    ours = explain(bert, [text], gradient_shap, config=gradient_shap.Config(samples=count))[0]
    np.testing.assert_allclose(ours.scores, expected, rtol=0, atol=1e-6 * max(1.0, np.abs(expected).max()))


@pytest.mark.parametrize("text", TEXTS)
def test_smooth_grad(bert: Explainable, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    count = 12
    with frozen(bert.module):
        batch = batch_for(bert, text)
        noise, _ = draws(batch, count, 0.1, places=False)
        monkeypatch.setattr(torch, "normal", lambda *_, **__: noise)
        captum = NoiseTunnel(Saliency(batch.forward)).attribute(
            batch.inputs.clone().requires_grad_(True),
            nt_type="smoothgrad",
            nt_samples=count,
            stdevs=1.0,
            abs=False,
            additional_forward_args=(batch.attention_mask, batch.targets, batch.others),
        )
        monkeypatch.undo()
        expected = by_word(batch, ((batch.inputs - batch.baselines) * captum).sum(-1))
    ours = explain(bert, [text], smooth_grad, config=smooth_grad.Config(samples=count))[0]
    np.testing.assert_allclose(ours.scores, expected, rtol=0, atol=1e-6 * max(1.0, np.abs(expected).max()))


@pytest.mark.parametrize("text", TEXTS)
def test_lime(bert: Explainable, text: str) -> None:
    samples = 64
    with frozen(bert.module):
        batch = batch_for(bert, text)
        words = _coalitions.word_counts(batch)[0]
        rng = np.random.default_rng(batch.seeds[0])
        dropped = rng.integers(1, words + 1, size=samples)
        keep = rng.random((samples, words)).argsort(axis=1) >= dropped[:, None]
        keep[0] = True
        close = np.exp(-(((1 - np.sqrt(keep.mean(axis=1))) / lime.WIDTH) ** 2) / 2)
        total = close.sum()
        own, other = iter(keep), iter(close)

        def masked(kept: torch.Tensor, original: torch.Tensor, **_: object) -> torch.Tensor:
            stays = torch.cat([kept[0].bool(), torch.ones(1, dtype=torch.bool)])[batch.word_of[0]]
            return torch.where(stays[:, None], original, batch.baselines)

        base = LimeBase(
            batch.forward,
            SkLearnRidge(alpha=lime.RIDGE * total),
            similarity_func=lambda *_, **__: float(next(other)),
            perturb_func=lambda *_, **__: torch.from_numpy(next(own))[None].float(),
            perturb_interpretable_space=True,
            from_interp_rep_transform=masked,
            to_interp_rep_transform=None,
        )
        expected = base.attribute(
            batch.inputs,
            n_samples=samples,
            additional_forward_args=(batch.attention_mask, batch.targets, batch.others),
        )[0].numpy()
    ours = explain(bert, [text], lime, config=lime.Config(samples=samples))[0]
    # Captum fits in float32
    np.testing.assert_allclose(ours.scores, expected, rtol=0, atol=2e-5 * max(1.0, np.abs(expected).max()))
