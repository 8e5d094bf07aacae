"""The throughput script: equal work on all sides, and figures that mean what they say. No times are asserted."""

from __future__ import annotations

import pytest
import torch

from bench.speed import fine_tuning


@pytest.fixture(scope="module")
def setting(tiny_model, sentiment_task):
    from training.hooks import Context, Settings
    from training.model import open_classifier

    task = sentiment_task(train=96)
    classifier = open_classifier(tiny_model, task, 32, 0)
    settings = Settings(learning_rate=1e-3, epochs=1, batch_size=8, max_length=32)
    return classifier, Context(task, classifier.tokenizer, settings, 0, lambda: None)


def test_three_ways_learn_alike_and_only_ours_hardly_pads(setting):
    classifier, context = setting
    before = {name: tensor.clone() for name, tensor in classifier.module.state_dict().items()}
    ticks = []
    table = fine_tuning.measure(classifier, context, steps=30, rounds=1, tick=lambda: ticks.append(1))
    assert list(table["way"]) == list(fine_tuning.WAYS)
    assert len(ticks) == 3
    assert all(torch.equal(before[name], tensor) for name, tensor in classifier.module.state_dict().items())
    rows = table.set_index("way")
    # 25 timed batches of 8 texts each, the same data in another order: about as many tokens
    assert rows["tokens"].max() < 1.15 * rows["tokens"].min()
    assert rows.loc["Trainer, padded", "positions"] == 25 * 8 * 32
    assert rows.loc["ours", "positions"] < rows.loc["Trainer", "positions"] < rows.loc["Trainer, padded", "positions"]
    assert rows["end_loss"].max() - rows["end_loss"].min() < 0.25
    shown = fine_tuning.summary(table, classifier.module, 8, 30, 1e9)
    assert shown.row_count == 3


def test_arithmetic_counts_the_linear_layers(setting):
    classifier, _ = setting
    block = 4 * 32 * 32 + 2 * 32 * 64
    assert fine_tuning.arithmetic_per_token(classifier.module) == 6 * (2 * block + 32 * 32 + 32 * 2)


def test_matrix_rate_is_a_plausible_number():
    assert 1e7 < fine_tuning.matrix_rate(size=128, rounds=3) < 1e16
