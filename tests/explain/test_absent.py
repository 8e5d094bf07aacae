"""What Captum's absent methods do on a transformer: if one of these fails, look again whether the name may come."""

from __future__ import annotations

import warnings

import pytest
import torch
from captum.attr import LRP, Deconvolution, DeepLift, GuidedBackprop, Saliency

from bench.explanations.explainers import load
from explain.engine import Batch, batch_of, predicted
from explain.inputs import Explainable, encode, frozen
from explain.methods import _absent
from explain.pool import Pool
from tests.explain.conftest import sentences
from training.errors import UserError


class Margin(torch.nn.Module):
    """The margin as a module, which these methods want for their hooks."""

    def __init__(self, batch: Batch) -> None:
        super().__init__()
        self.module, self.batch = batch.model.module, batch

    def forward(self, embeds: torch.Tensor) -> torch.Tensor:
        count = len(embeds)
        repeated = (part.expand(count, *part.shape[1:]) for part in (self.batch.targets, self.batch.others))
        return self.batch.forward(embeds, self.batch.attention_mask.expand(count, -1), *repeated)


def batch_for(bert: Explainable, text: str) -> Batch:
    return batch_of(bert, predicted(bert, [encode(bert, text)]), 0, 4096, Pool(bert))


@pytest.mark.parametrize("method", [GuidedBackprop, Deconvolution])
def test_relu_rules_are_the_plain_gradient(bert: Explainable, method: type) -> None:
    with frozen(bert.module), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Captum announces its hooks
        batch = batch_for(bert, "good bad film plot")
        point = batch.inputs.clone().requires_grad_(True)
        plain = Saliency(Margin(batch)).attribute(point, abs=False)
        assert torch.equal(method(Margin(batch)).attribute(point), plain)


def test_deep_lift_runs_and_its_sum_is_wrong(bert: Explainable) -> None:
    off = []
    with frozen(bert.module), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for text in sentences(8, seed=41, low=4):
            batch = batch_for(bert, text)
            scores = DeepLift(Margin(batch)).attribute(batch.inputs.clone().requires_grad_(True), batch.baselines)
            gap = float(batch.margins - batch.baseline_margins)
            off.append(abs(float(scores.detach().sum()) - gap) / abs(gap))
    assert sorted(off)[4] > 0.2


def test_lrp_refuses(bert: Explainable) -> None:
    with frozen(bert.module):
        batch = batch_for(bert, "good film")
        with pytest.raises(TypeError, match="no rule"):
            LRP(Margin(batch)).attribute(batch.inputs.clone().requires_grad_(True))


@pytest.mark.parametrize("name", sorted(_absent.ABSENT))
def test_asking_for_one_says_why(name: str) -> None:
    for spelling in (name, name.replace("_", "-"), name.replace("_", "").upper()):
        with pytest.raises(UserError, match="left out on purpose"):
            load(spelling)


def test_other_names_are_answered_as_before() -> None:
    assert load("saliency_l2").__name__ == "explain.methods.saliency_l2"
    with pytest.raises(UserError, match="Did you mean 'occlusion'"):
        load("oclusion")
    assert _absent.why("occlusion") is None
