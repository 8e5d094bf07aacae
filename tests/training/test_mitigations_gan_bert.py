"""Known answers of GAN-BERT: its losses, whose gradient goes to whom, and what it reads of texts without a label."""

from __future__ import annotations

import dataclasses
import math
from types import SimpleNamespace

import pytest
import torch

from tests.training.conftest import stack_of, weights, without_dropout
from training.errors import UserError
from training.hooks import IGNORE, Batch, Output
from training.loop import Session, fine_tune
from training.mitigations import gan_bert
from training.model import open_classifier
from training.passes import Passes
from training.stack import Stack


def test_gan_berts_losses_by_hand():
    # probabilities over (class 0, class 1, fake)
    real = torch.tensor([[0.5, 0.3, 0.2], [0.1, 0.5, 0.4]]).log() + 3.0
    made = torch.tensor([[0.25, 0.25, 0.5], [0.1, 0.1, 0.8]]).log() - 1.0
    found = gan_bert.unsupervised_loss(real, made)
    expected = -(math.log(0.8) + math.log(0.6)) / 2 - (math.log(0.5) + math.log(0.8)) / 2
    assert float(found) == pytest.approx(expected, abs=1e-6)
    features, copied = torch.tensor([[1.0, 2.0], [3.0, 0.0]]), torch.tensor([[0.0, 0.0], [2.0, 4.0]])
    found = gan_bert.generator_loss(made, features, copied)
    # the means are (2, 1) and (1, 2): squares 1 and 1, their mean 1
    assert float(found) == pytest.approx(-(math.log(0.5) + math.log(0.2)) / 2 + 1.0, abs=1e-6)


def withheld(make_context, task, known: int, **settings):
    """A classifier and a context in which only the first `known` training texts have a label."""
    classifier, context = make_context(task, **settings)
    task = dataclasses.replace(task, train=task.train[:known])
    return classifier, dataclasses.replace(context, task=task, unlabelled=context.task.train[known:])


def test_gan_bert_hides_the_withheld_labels_and_repeats_the_known(make_context, sentiment_task):
    task = sentiment_task(train=96)
    for known, copies in ((96, 1), (48, 1), (24, 2), (12, 3), (2, 5)):
        _, context = withheld(make_context, task, known)
        rows = gan_bert.prepare_data(context.task.train, context, gan_bert.Config())
        assert [row.label for row in rows] == [e.label for e in task.train[:known]] * copies + [None] * (96 - known)
        assert {row.text for row in rows} == {e.text for e in task.train}


def step_of_gan_bert(make_context, task, labels: list[int]):
    classifier, context = make_context(task, learning_rate=1e-3)
    without_dropout(classifier.module)
    session = Session(classifier, stack_of("gan_bert"), context)
    batch = dataclasses.replace(next(session.batches()).select(slice(0, len(labels))), labels=torch.tensor(labels))
    session.stack.loss(session.state, batch)
    players = session.state.memory["gan_bert"]
    without_dropout(players.generator)
    players.optimizer.zero_grad()
    session.state.module.zero_grad()
    return session, batch, players


def test_gan_berts_gradients_go_to_their_players(make_context, sentiment_task):
    session, batch, players = step_of_gan_bert(make_context, sentiment_task(train=16), [0, IGNORE, 1, IGNORE])
    state, module = session.state, session.state.module
    state.generator.manual_seed(5)
    output = session.stack.loss(state, batch)
    # an independent forward: BERT's pooled output is what its head reads
    noise = torch.rand(4, 100, generator=torch.Generator().manual_seed(5))
    made = players.generator(noise)
    real = module.bert(input_ids=batch.input_ids, attention_mask=batch.attention_mask).pooler_output
    probabilities = [
        torch.cat([module.classifier(x), x @ players.fake[0].weight.T + players.fake[0].bias], dim=1).softmax(dim=1)
        for x in (real, made.detach(), made)
    ]
    own = (module.classifier(real)[[0, 2]]).softmax(dim=1)
    supervised = -(own[0, 0].log() + own[1, 1].log()) / 2
    of_d = supervised - (1 - probabilities[0][:, 2]).log().mean() - probabilities[1][:, 2].log().mean()
    of_g = -(1 - probabilities[2][:, 2]).log().mean() + ((real.detach().mean(0) - made.mean(0)) ** 2).mean()
    assert float(output.loss.detach()) == pytest.approx(float(of_d.detach()), abs=1e-5)

    drawing = [*players.generator.parameters()]
    for p, slope in zip(drawing, torch.autograd.grad(of_g, drawing), strict=True):
        assert torch.allclose(p.grad, slope, atol=1e-6)
    assert all(p.grad is None for p in [*module.parameters(), *players.fake.parameters()])
    kept = [p.grad.clone() for p in drawing]
    watched = [module.classifier.weight, module.bert.embeddings.word_embeddings.weight, players.fake[0].weight]
    slopes = torch.autograd.grad(of_d, watched)
    session.accelerator.backward(output.loss)
    for p, slope in zip(watched, slopes, strict=True):
        assert torch.allclose(p.grad, slope, atol=1e-6)
    assert all(torch.equal(p.grad, g) for p, g in zip(drawing, kept, strict=True))
    theirs = {id(p) for group in state.optimizer.param_groups for p in group["params"]}
    before = weights(players.generator), weights(players.fake)
    assert not theirs & {id(p) for p in [*players.generator.parameters(), *players.fake.parameters()]}
    session.stack.after_step(state)
    assert not torch.equal(before[0], weights(players.generator))
    assert not torch.equal(before[1], weights(players.fake))


def test_a_batch_without_a_label_teaches_d_about_fakes_only(make_context, sentiment_task):
    session, batch, _ = step_of_gan_bert(make_context, sentiment_task(train=16), [IGNORE] * 4)
    state = session.state
    state.generator.manual_seed(5)
    output = session.stack.loss(state, batch)
    session.accelerator.backward(output.loss)
    found = state.module.classifier.weight.grad.clone()
    assert torch.isfinite(found).all()
    assert float(found.abs().sum()) > 0
    # the same loss with labels, less their cross-entropy
    state.module.zero_grad()
    state.generator.manual_seed(5)
    named = dataclasses.replace(batch, labels=torch.tensor([0, 1, 1, 0]))
    difference = session.stack.loss(state, named).loss - Stack([]).loss(state, named).loss
    assert float(output.loss.detach()) == pytest.approx(float(difference.detach()), abs=1e-6)
    session.accelerator.backward(difference)
    assert torch.allclose(state.module.classifier.weight.grad, found, atol=1e-6)


def test_gan_bert_learns_from_few_labels(make_context, sentiment_task):
    task = sentiment_task(train=96)
    # an encoder that knows no language needs a fast generator: a slow one leaves D time to separate by one direction
    classifier, context = withheld(make_context, task, 24, epochs=30, learning_rate=1e-3)
    trained = fine_tune(classifier, stack_of("gan_bert", learning_rate=0.02), context)
    assert trained.summary["train_examples"] == 24 * 2 + 72
    assert trained.summary["validation_score"] > 0.75


def test_gan_bert_reads_the_unlabelled_texts_and_not_their_labels(make_context, sentiment_task):
    task = sentiment_task(train=48)
    classifier, context = withheld(make_context, task, 12, epochs=1)
    trained = fine_tune(classifier, stack_of("gan_bert"), context)
    # nothing of the players is left in the model
    plain = make_context(task)[0].module
    assert trained.classifier.module.state_dict().keys() == plain.state_dict().keys()
    # other unlabelled texts, another model; other hidden labels, the same one
    swapped = tuple(dataclasses.replace(e, label=1 - e.label) for e in context.unlabelled)
    other = tuple(dataclasses.replace(e, text="the plot was dull .") for e in context.unlabelled)
    made = []
    for unlabelled in (swapped, other):
        classifier, _ = make_context(task)
        changed = dataclasses.replace(context, unlabelled=unlabelled, passes=Passes())
        made.append(weights(fine_tune(classifier, stack_of("gan_bert"), changed).classifier.module))
    assert torch.equal(made[0], weights(trained.classifier.module))
    assert not torch.equal(made[1], made[0])


@pytest.mark.parametrize(
    "names", [("gan_bert", "lora"), ("lora", "gan_bert"), ("gan_bert", "r_drop"), ("gan_bert", "fgm")]
)
def test_gan_bert_stacks_where_few_texts_have_labels(names, make_context, sentiment_task, tmp_path):
    task = sentiment_task(train=48)
    classifier, context = withheld(make_context, task, 4, epochs=1, learning_rate=1e-3)
    trained = fine_tune(classifier, stack_of(*names), context).classifier
    trained.save(tmp_path)
    texts = [example.text for example in task.test]
    assert (open_classifier(tmp_path, task, 32, seed=5).logits(texts) == trained.logits(texts)).all()


def test_gan_bert_needs_a_head_it_can_find():
    module = torch.nn.Linear(4, 7)
    context = SimpleNamespace(task=SimpleNamespace(labels=("a", "b")))
    state = SimpleNamespace(module=module, context=context, memory={})
    ids = torch.zeros(1, 3, dtype=torch.long)
    batch = Batch(ids, ids, ids, torch.tensor([0]))
    with pytest.raises(UserError, match="no linear head"):
        gan_bert.loss(lambda _: Output(torch.zeros(()), torch.zeros(1, 2)), state, batch, gan_bert.Config())


def test_gan_berts_players_keep_the_classifiers_schedule(make_context, sentiment_task):
    classifier, context = make_context(sentiment_task(train=48), epochs=2, learning_rate=1e-3)
    session = Session(classifier, stack_of("gan_bert", learning_rate=0.5), context)
    rates = []
    for batch, _ in zip(session.batches(), range(12), strict=False):
        session.step(batch)
        rates.append(session.state.memory["gan_bert"].optimizer.param_groups[0]["lr"])
    # 12 steps, one of warm-up: 1, then from 11/11 down to 1/11
    assert rates == pytest.approx([0.5, *(0.5 * (12 - step) / 11 for step in range(1, 12))])
