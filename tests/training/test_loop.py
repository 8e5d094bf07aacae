"""The training loop: it learns, it is deterministic, it reports what it did."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from training.hooks import IGNORE
from training.loop import Coded, DivergedError, Session, bucketed_batches, collate, fine_tune, score
from training.stack import Stack


def test_learns_a_learnable_task(make_context, sentiment_task):
    task = sentiment_task()
    classifier, context = make_context(task, epochs=15)
    trained = fine_tune(classifier, Stack([]), context)
    assert score(trained.classifier, task, task.test) >= 0.95
    losses = trained.telemetry["loss"]
    assert losses.iloc[-5:].mean() < losses.iloc[:5].mean() / 2
    assert not trained.classifier.module.training


def test_tagging_learns_strict_entities(make_context, tagging_task):
    classifier, context = make_context(tagging_task, epochs=12)
    trained = fine_tune(classifier, Stack([]), context)
    assert score(trained.classifier, tagging_task, tagging_task.test) == 1.0


def test_same_seed_same_weights_other_seed_other_weights(make_context, sentiment_task):
    def weights(seed: int) -> torch.Tensor:
        classifier, context = make_context(sentiment_task(train=32), seed=seed, epochs=1)
        module = fine_tune(classifier, Stack([]), context).classifier.module
        return torch.cat([p.detach().flatten() for p in module.parameters()])

    first = weights(0)
    assert torch.equal(first, weights(0))
    assert not torch.equal(first, weights(1))


def test_telemetry_has_one_row_per_step_and_counts_real_tokens(make_context, sentiment_task):
    task = sentiment_task(train=40)
    classifier, context = make_context(task, epochs=2)
    table = fine_tune(classifier, Stack([]), context).telemetry
    assert list(table["step"]) == list(range(1, 11))
    assert table["samples"].sum() == 80
    ids = classifier.tokenizer([e.text for e in task.train])["input_ids"]
    assert table["tokens"].sum() == 2 * sum(map(len, ids))
    layers = [name for name in table if name.startswith("norm:")]
    assert layers == ["norm:embeddings", "norm:head", "norm:layer.00", "norm:layer.01"]
    assert np.allclose(table["grad_norm"], np.sqrt((table[layers] ** 2).sum(axis=1)), rtol=1e-5)
    assert (table["clipped"] == (table["grad_norm"] > 1.0)).all()


def test_schedule_warms_up_then_decays_linearly(make_context, sentiment_task):
    classifier, context = make_context(sentiment_task(train=80), epochs=2, learning_rate=1.0, warmup=0.2)
    session = Session(classifier, Stack([]), context)
    rates = []
    for step in range(session.state.total_steps):
        session.state.step = step
        rates.append(session.schedule())
    assert session.state.total_steps == 20
    assert rates[:4] == pytest.approx([0.25, 0.5, 0.75, 1.0])
    assert rates[4:] == pytest.approx([(20 - step) / 16 for step in range(4, 20)])


def test_a_diverging_run_says_so(make_context, sentiment_task):
    classifier, context = make_context(sentiment_task(train=32))
    with torch.no_grad():
        classifier.module.classifier.weight.fill_(math.nan)
    with pytest.raises(DivergedError, match="step 1 of"):
        fine_tune(classifier, Stack([]), context)


def test_early_stopping_keeps_the_best_epoch(make_context, sentiment_task):
    task = sentiment_task()
    classifier, context = make_context(task, epochs=30, patience=2)
    trained = fine_tune(classifier, Stack([]), context)
    assert trained.summary["epochs"] < 30
    assert trained.summary["validation_score"] == 1.0


def test_batches_cover_the_data_once_and_group_lengths():
    lengths = list(np.random.default_rng(0).integers(3, 60, size=200))
    batches = bucketed_batches(lengths, 16, torch.Generator().manual_seed(3))
    assert sorted(i for batch in batches for i in batch) == list(range(200))
    padded = sum(len(batch) * max(lengths[i] for i in batch) for batch in batches)
    assert padded < 1.15 * sum(lengths)
    again = bucketed_batches(lengths, 16, torch.Generator().manual_seed(3))
    assert batches == again
    assert batches != bucketed_batches(lengths, 16, torch.Generator().manual_seed(4))


def test_collate_pads_to_the_batch_and_masks_labels():
    batch = collate([Coded([5, 6, 7], [0, 1, 0], [IGNORE, 1, IGNORE]), Coded([5, 7], [0, 0], [IGNORE, IGNORE])], pad=9)
    assert batch.input_ids.tolist() == [[5, 6, 7], [5, 7, 9]]
    assert batch.attention_mask.tolist() == [[1, 1, 1], [1, 1, 0]]
    assert batch.labels.tolist() == [[IGNORE, 1, IGNORE], [IGNORE, IGNORE, IGNORE]]
    assert batch.word_mask.tolist() == [[0, 1, 0], [0, 0, 0]]


def test_padding_does_not_change_logits(make_context, sentiment_task):
    classifier, _ = make_context(sentiment_task())
    texts = ["good .", "the film was very very very really really bad and dull and boring ."]
    together = classifier.logits(texts)
    alone = np.concatenate([classifier.logits([text]) for text in texts])
    assert np.allclose(together, alone, atol=1e-5)


def test_words_without_pieces_or_cut_off_do_not_shift_the_others(make_context, tagging_task):
    from dataclasses import replace

    from training.loop import predict_tags

    classifier, context = make_context(tagging_task, epochs=12)
    trained = fine_tune(classifier, Stack([]), context).classifier
    example = replace(tagging_task.test[0], words=("\u200b", "the", "film", "was"), tags=(0, 0, 1, 0))
    assert predict_tags(trained, [example]) == [["O", "O", "B-THING", "O"]]
    trained.max_length = 4  # [CLS], two pieces, [SEP]
    assert predict_tags(trained, [example])[0][3] == "O"
