"""Gradient health: what telemetry records of updates, and the verdict on runs, real ones and tables made by hand."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from collections import Counter
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

from tests.conftest import make_tiny_model
from training.health import MEANINGS, UNHEALTHY, constant_score, judge, loss_spikes
from training.hooks import State
from training.loop import DivergedError, Session, fine_tune
from training.model import open_classifier
from training.stack import Mitigation, Stack
from training.telemetry import EVERY, SAMPLES, Telemetry, layer_of

LAYERS = ("embeddings", "head", "layer.00", "layer.01")


def made(steps: int = 60, **columns: object) -> pd.DataFrame:
    """A healthy run's table; `columns` replaces or adds columns, `norm_head=2.0` for `norm:head`."""
    table = pd.DataFrame(
        {
            "step": np.arange(1, steps + 1),
            "loss": 0.7 - 0.001 * np.arange(steps) + 0.01 * (np.arange(steps) % 3),
            "clipped": np.arange(steps) % 4 == 0,
            "grad_norm": 2.0,
            "nonfinite": 0,
            **{f"norm:{layer}": 1.0 for layer in LAYERS},
            **{f"update:{layer}": np.where(np.arange(steps) % EVERY == 0, 1e-3, np.nan) for layer in LAYERS},
        }
    )
    for name, values in columns.items():
        table[name.replace("norm_", "norm:").replace("grad:", "grad_").replace("update_", "update:")] = values
    return table


def at(step: int, value: float, usual: float, steps: int = 60) -> np.ndarray:
    values = np.full(steps, usual)
    values[step] = value
    return values


# what telemetry records


def test_updates_are_the_ratio_of_two_norms_on_evenly_spaced_steps(make_context, sentiment_task):
    classifier, context = make_context(sentiment_task(train=96), epochs=2)
    session = Session(classifier, Stack([]), context)
    expected = []
    for _, batch in zip(range(session.state.total_steps), session.batches(), strict=False):
        before = {name: p.detach().clone() for name, p in session.state.module.named_parameters()}
        session.step(batch)
        moved, length = Counter(), Counter()
        for name, p in session.state.module.named_parameters():
            moved[layer_of(name)] += float((p.detach() - before[name]).double().square().sum())
            length[layer_of(name)] += float(before[name].double().square().sum())
        expected.append({layer: (moved[layer] / length[layer]) ** 0.5 for layer in LAYERS})
    table = session.telemetry.table()
    sampled = np.arange(24) % EVERY == 0
    for layer in LAYERS:
        values = table[f"update:{layer}"]
        assert (values.notna() == sampled).all()
        np.testing.assert_allclose(
            values[sampled], [row[layer] for row, here in zip(expected, sampled, strict=True) if here], rtol=1e-3
        )
    assert (table["nonfinite"] == 0).all()


def test_a_frozen_layer_has_no_update_and_what_after_step_does_counts(make_context, sentiment_task):
    def after_step(state: State, config: None) -> None:
        with torch.no_grad():
            for name, parameter in state.module.named_parameters():
                if layer_of(name) == "layer.01":
                    parameter.mul_(3.0)

    classifier, context = make_context(sentiment_task(train=16), epochs=1, learning_rate=1e-6)
    for name, parameter in classifier.module.named_parameters():
        parameter.requires_grad_(layer_of(name) != "layer.00")
    tripling = Mitigation("tripling", SimpleNamespace(after_step=after_step), None)
    table = fine_tune(classifier, Stack([tripling]), context).telemetry
    assert "update:layer.00" not in table
    assert table["update:layer.01"][0] == pytest.approx(2.0, rel=1e-3)
    assert table["update:embeddings"][0] < 1e-3


@pytest.mark.parametrize("steps", [0, 7, EVERY * SAMPLES, EVERY * SAMPLES + 1, 12345])
def test_no_more_than_so_many_steps_are_sampled_at_equal_distances(steps):
    telemetry, module = Telemetry(steps), torch.nn.Linear(1, 1)
    taken = []
    for step in range(steps):
        if telemetry.weights(module):
            taken.append(step)
        telemetry.rows.append({})
    assert len(taken) <= SAMPLES
    assert len(set(np.diff(taken))) <= 1
    assert not steps or (taken[0] == 0 and len(taken) >= min(SAMPLES // 2, steps // EVERY))


def test_copies_are_kept_for_the_next_sample_and_follow_what_is_trained():
    telemetry, module = Telemetry(), torch.nn.Linear(3, 2)
    (_, weight, first), (_, _, bias) = telemetry.weights(module)
    assert torch.equal(first, weight)
    assert (first.data_ptr(), first.requires_grad) != (weight.data_ptr(), True)
    with torch.no_grad():
        weight.fill_(2.0)
        module.bias.fill_(1.0)
    telemetry.updates(telemetry.weights(module))
    assert telemetry.weights(module)[0][2].data_ptr() == first.data_ptr()
    assert torch.equal(first, torch.full((2, 3), 2.0))
    weight.requires_grad_(False)
    assert telemetry.updates(telemetry.weights(module))["update:head"] == 0.0
    assert [copy.shape for copy in telemetry.copies] == [bias.shape]
    telemetry = Telemetry(sampling=False)
    assert telemetry.weights(module) == []
    assert telemetry.updates([]) == {}
    assert telemetry.copies == []


def test_recording_reads_no_number_back_from_the_device(monkeypatch):
    telemetry, module = Telemetry(), torch.nn.Linear(3, 3)
    module(torch.ones(1, 3)).sum().backward()

    def waits(*_: object, **__: object) -> None:
        raise AssertionError("a step waited for the device")

    for name in ("item", "tolist", "cpu", "numpy", "__bool__", "__float__", "__int__"):
        monkeypatch.setattr(torch.Tensor, name, waits)
    norms = {f"norm:{layer}": value for layer, value in telemetry.gradients(module).items()}
    updates = telemetry.updates(telemetry.weights(module))
    scalar = torch.zeros(())
    telemetry.add({"step": 1}, {"loss": scalar, "clipped": scalar, "tokens": scalar, **norms, **updates})
    monkeypatch.undo()
    assert telemetry.table()["update:head"].tolist() == [0.0]


def test_gradients_that_are_not_finite_are_counted_and_missing_ones_are_not():
    one, telemetry = torch.ones(()), Telemetry()
    common = {"loss": one, "clipped": one, "tokens": one}
    telemetry.add({"step": 1}, {**common, "norm:head": 9 * one, "norm:layer.00": 16 * one})
    telemetry.add({"step": 2}, {**common, "norm:head": one * torch.nan, "norm:layer.00": one * torch.inf})
    telemetry.add({"step": 3}, {**common, "norm:head": 4 * one})
    table = telemetry.table()
    assert table["nonfinite"].tolist() == [0, 2, 0]
    assert table["grad_norm"].tolist() == pytest.approx([5.0, np.nan, 2.0], nan_ok=True)
    assert np.isnan(table["norm:layer.00"][2])


# verdicts on tables made by hand


@pytest.mark.parametrize(
    ("columns", "score", "verdict", "reason"),
    [
        ({}, 0.8, "healthy", ""),
        ({"loss": at(7, np.nan, 0.5)}, None, "diverged", "step 8"),
        ({"loss": at(59, np.inf, 0.5)}, 0.8, "diverged", "step 60"),
        ({"nonfinite": at(3, 1, 0)}, 0.8, "exploding", "not finite in 1 of 60"),
        ({"grad_norm": np.where(np.arange(60) < 3, 101.0, 2.0)}, 0.8, "exploding", "above 100 in 5%"),
        ({"grad_norm": np.where(np.arange(60) < 2, 1e6, 2.0)}, 0.8, "healthy", ""),
        ({f"update_{layer}": at(2 * EVERY, 1.1, np.nan) for layer in LAYERS[:3]}, 0.8, "exploding", "1.1 times"),
        ({"update_embeddings": at(2 * EVERY, 50.0, np.nan)}, 0.8, "healthy", ""),
        ({f"norm_{layer}": 0.009 for layer in LAYERS if layer != "head"}, 0.8, "vanishing", "0.009"),
        ({f"norm_{layer}": 0.011 for layer in LAYERS if layer != "head"}, 0.8, "healthy", ""),
        ({"norm_embeddings": 1e-9}, 0.8, "healthy", ""),
        ({"norm_embeddings": 1e-9, "norm_layer.00": 1e-6, "loss": np.geomspace(1.0, 0.1, 60)}, 0.8, "healthy", ""),
        ({"norm_embeddings": 1e-9, "norm_layer.00": 1e-6, "loss": np.geomspace(1.0, 0.75, 60)}, 0.8, "vanishing", ""),
        ({"norm_embeddings": 1e-9, "norm_layer.00": 1e-6}, 0.8, "vanishing", ""),
        ({f"norm_{layer}": np.where(np.arange(60) < 30, 1e-9, 1.0) for layer in LAYERS}, 0.8, "healthy", ""),
        ({f"norm_{layer}": 0.0 for layer in LAYERS}, 0.5, "degenerate", "0.500"),
        ({}, 0.5, "degenerate", "a constant answer's is 0.500"),
        ({}, 0.501, "healthy", ""),
        ({}, None, "healthy", ""),
    ],
)
def test_each_rule_by_hand(columns, score, verdict, reason):
    found = judge(made(**columns), score, 0.5)
    assert found.verdict == verdict
    assert reason in found.reason
    assert bool(found.reason) == (verdict != "healthy")


def test_the_cause_comes_before_its_symptom():
    columns = {"grad_norm": 1e3} | {f"norm_{layer}": 1e-9 for layer in LAYERS if layer != "head"}
    order = []
    for change in ({"loss": np.nan}, {}, {"grad_norm": 1.0}, {"norm_layer.00": 1.0, "norm_layer.01": 1.0}):
        columns |= change if change != {"loss": np.nan} else {}
        order.append(judge(made(**(columns | change)), 0.1, 0.5).verdict)
    assert (*order, judge(made(), 0.6, 0.5).verdict) == tuple(MEANINGS)
    assert tuple(order) == UNHEALTHY


def test_facts_and_what_of_them_a_record_holds():
    loss = made()["loss"].to_numpy(copy=True)
    loss[[30, 45]] = 2.0
    table = made(loss=loss, nonfinite=at(5, 2, 0), norm_head=4.0, norm_embeddings=0.5)
    assert judge(table, 0.8, 0.5).summary() == {
        "health": "exploding",
        "health_reason": "the gradient is not finite in 1 of 60 steps",
        "clipped_share": 0.25,
        "loss_spikes": 2,
        "nonfinite_steps": 1,
        "layer_norm_ratio": 0.125,
    }
    silent = made(**{f"norm_{layer}": 0.0 for layer in LAYERS})
    assert judge(silent, 0.8, 0.5).layer_norm_ratio is None


def test_a_spike_stands_above_the_steps_before_it_and_above_the_start():
    steady = pd.Series(np.where(np.arange(60) % 2, 0.50, 0.52))  # median 0.51, median deviation 0.01
    assert not loss_spikes(steady).any()
    for value, expected in ((0.51 + 0.0880, False), (0.51 + 0.0900, True)):  # 6 * 1.4826 * 0.01 = 0.0890
        assert loss_spikes(steady.where(steady.index != 40, value)).tolist() == [
            expected and step == 40 for step in range(60)
        ]
    late = pd.Series(np.concatenate([np.linspace(0.7, 0.1, 40), np.linspace(0.1, 0.09, 20)]))
    assert not loss_spikes(late.where(late.index != 55, 0.5)).any()  # far above its neighbours, below the start
    assert loss_spikes(late.where(late.index != 55, 0.9)).sum() == 1
    assert loss_spikes(late.where(late.index != 3, np.nan))[3]


# verdicts on real runs


def test_a_learnable_task_with_the_baseline_is_healthy(make_context, sentiment_task):
    task = sentiment_task()
    classifier, context = make_context(task, epochs=15)
    trained = fine_tune(classifier, Stack([]), context)
    found = judge(trained.telemetry, trained.summary["validation_score"], constant_score(task))
    assert (found.verdict, found.nonfinite_steps) == ("healthy", 0)
    assert found.clipped_share == trained.summary["clipped_share"]


def test_tagging_with_the_baseline_is_healthy_and_without_an_entity_degenerate(make_context, tagging_task):
    assert constant_score(tagging_task) == 0.0
    for epochs, rate, verdict in ((12, 5e-3, "healthy"), (1, 1e-9, "degenerate")):
        classifier, context = make_context(tagging_task, epochs=epochs, learning_rate=rate)
        with torch.no_grad():
            classifier.module.classifier.bias[0] += 3.0 if verdict == "degenerate" else 0.0  # O everywhere
        trained = fine_tune(classifier, Stack([]), context)
        assert judge(trained.telemetry, trained.summary["validation_score"], 0.0).verdict == verdict


def test_a_constant_predictor_is_degenerate_whichever_class_it_answers(make_context, sentiment_task):
    task = sentiment_task(train=32)
    task = dataclasses.replace(task, validation=task.validation[:31])  # 16 of class 0, 15 of class 1
    assert constant_score(task) == 16 / 31
    for answer in (0, 1):
        classifier, context = make_context(task, epochs=1, learning_rate=1e-9)
        with torch.no_grad():
            classifier.module.classifier.bias[answer] += 3.0
        trained = fine_tune(classifier, Stack([]), context)
        found = judge(trained.telemetry, trained.summary["validation_score"], constant_score(task))
        assert found.verdict == "degenerate", answer


class Deep(torch.nn.Module):
    """24 layers of weights and tanh without a shortcut past them, the mean over the words, a linear head."""

    def __init__(self, gain: float) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embeddings = torch.nn.Embedding(200, 32)
        self.encoder = torch.nn.ModuleDict({"layer": torch.nn.ModuleList(torch.nn.Linear(32, 32) for _ in range(24))})
        self.classifier = torch.nn.Linear(32, 2)
        for layer in self.encoder["layer"]:
            torch.nn.init.xavier_normal_(layer.weight, gain)

    def get_input_embeddings(self) -> torch.nn.Module:
        return self.embeddings

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> SimpleNamespace:
        mask = attention_mask.unsqueeze(-1).float()
        hidden = (self.embeddings(input_ids) * mask).sum(1) / mask.sum(1)
        for layer in self.encoder["layer"]:
            hidden = torch.tanh(layer(hidden))
        return SimpleNamespace(logits=self.classifier(hidden))


@pytest.mark.parametrize(("gain", "vanishes"), [(0.5, True), (1.5, False)])
def test_a_deep_net_with_too_small_weights_vanishes(make_context, sentiment_task, gain, vanishes):
    classifier, context = make_context(sentiment_task(train=64), epochs=1, learning_rate=1e-4)
    trained = fine_tune(dataclasses.replace(classifier, module=Deep(gain)), Stack([]), context)
    found = judge(trained.telemetry, 1.0, 0.5)
    assert (found.verdict == "vanishing") == vanishes
    assert (found.layer_norm_ratio < 1e-6) == vanishes
    norms = trained.telemetry[[f"norm:layer.{i:02d}" for i in range(24)]].median()
    assert (norms["norm:layer.00"] < 1e-3 * norms["norm:layer.23"]) == vanishes


def test_a_deep_encoder_with_too_large_weights_explodes(make_context, sentiment_task, tmp_path):
    task = sentiment_task(train=32)
    _, context = make_context(task, epochs=1, learning_rate=1e-4)
    classifier = open_classifier(make_tiny_model(tmp_path, layers=24), task, 32, 0)
    with torch.no_grad():
        for name, parameter in classifier.module.named_parameters():
            if layer_of(name).startswith("layer.") and parameter.ndim > 1:
                parameter.mul_(50.0)
    found = judge(fine_tune(classifier, Stack([]), context).telemetry, 1.0, 0.5)
    assert (found.verdict, "gradient norm is above 100" in found.reason) == ("exploding", True)


def test_a_learning_rate_of_one_explodes_or_diverges(make_context, sentiment_task):
    task = sentiment_task(train=96)
    classifier, context = make_context(task, epochs=3, learning_rate=1.0, warmup=0.0)
    try:
        table = fine_tune(classifier, Stack([]), context).telemetry
    except DivergedError as error:
        table = error.telemetry
    found = judge(table, None, constant_score(task))
    assert found.verdict in ("exploding", "diverged")
    # the weights, of a size of 0.02, are moved by about 1 each
    assert table[[f"update:{layer}" for layer in LAYERS]].max().min() > 1


def test_a_run_that_diverges_hands_over_its_steps(make_context, sentiment_task):
    def after_step(state: State, config: None) -> None:
        if state.step == 4:
            with torch.no_grad():
                state.module.classifier.weight.fill_(torch.nan)

    classifier, context = make_context(sentiment_task(train=96))
    breaking = Mitigation("breaking", SimpleNamespace(after_step=after_step), None)
    with pytest.raises(DivergedError, match="step 6 of 24") as caught:
        fine_tune(classifier, Stack([breaking]), context)
    table = caught.value.telemetry
    assert table["step"].tolist() == [1, 2, 3, 4, 5, 6]
    assert np.isfinite(table["loss"][:5]).all()
    found = judge(table, None, 0.5)
    assert (found.verdict, found.reason, found.nonfinite_steps) == ("diverged", "the loss of step 6 is not finite", 1)
    # a worker process hands the error over pickled
    # a worker process hands its exception to the pool by pickle; it is the test's own object, no file is read
    again = pickle.loads(pickle.dumps(copy.copy(caught.value)))  # noqa: S301
    pd.testing.assert_frame_equal(again.telemetry, table)
