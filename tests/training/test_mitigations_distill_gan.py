"""Known answers of the distillations and of the generator of perturbations."""

from __future__ import annotations

import dataclasses
import math
from types import SimpleNamespace

import pytest
import torch

from tests.training.conftest import stack_of, weights, without_dropout
from training import registry
from training.errors import UserError
from training.hooks import IGNORE, Batch, Output
from training.loop import Session, fine_tune
from training.mitigations import _networks, _teacher, defensive_distillation, distill, gan_perturbation
from training.model import open_classifier
from training.passes import Passes
from training.stack import Stack


def taught(logits: torch.Tensor) -> SimpleNamespace:
    """A state whose teacher gives these logits."""
    return SimpleNamespace(memory={_teacher.KEY: lambda **_: SimpleNamespace(logits=logits)})


def answers(logits: torch.Tensor):
    """A forward that gives these logits with their cross-entropy."""

    def forward(batch: Batch) -> Output:
        flat = logits.reshape(-1, logits.shape[-1])
        return Output(torch.nn.functional.cross_entropy(flat, batch.labels.reshape(-1), ignore_index=IGNORE), logits)

    return forward


def labelled(labels: list) -> Batch:
    ids = torch.zeros(len(labels), 3, dtype=torch.long)
    return Batch(ids, torch.ones_like(ids), torch.ones_like(ids), torch.tensor(labels))


LOG3 = math.log(3)


def test_hintons_loss_by_hand():
    # at T = 2 the teacher says (1/4, 3/4) and (1/2, 1/2), the student (1/2, 1/2) twice
    teacher = torch.tensor([[0.0, 2 * LOG3], [1.0, 1.0]])
    student = torch.tensor([[0.0, 0.0], [0.5, 0.5]])
    config = distill.Config(temperature=2.0, alpha=0.7)
    output = distill.loss(answers(student), taught(teacher), labelled([0, 1]), config)
    divergence = (0.25 * math.log(0.25 / 0.5) + 0.75 * math.log(0.75 / 0.5) + 0.0) / 2
    assert float(output.loss) == pytest.approx(0.7 * 4 * divergence + 0.3 * math.log(2), abs=1e-6)
    assert torch.equal(output.logits, student)


def test_hintons_gradient_is_t_times_the_difference_and_keeps_its_size():
    # d/dz of T^2 KL is T (q - p); for large T it tends to (z - v) / k for centred logits, whatever T
    teacher = torch.tensor([[1.0, -0.4, -0.6]])
    sizes = {}
    for temperature in (1.0, 3.0, 200.0, 400.0):
        student = torch.tensor([[-0.3, 0.5, -0.2]], requires_grad=True)
        config = distill.Config(temperature=temperature, alpha=1.0)
        distill.loss(answers(student), taught(teacher), labelled([0]), config).loss.backward()
        q, p = (student / temperature).softmax(dim=1), (teacher / temperature).softmax(dim=1)
        assert torch.allclose(student.grad, temperature * (q - p).detach(), atol=1e-4)
        sizes[temperature] = student.grad
    assert torch.allclose(sizes[400.0], (student - teacher).detach() / 3, atol=2e-3)
    assert torch.allclose(sizes[200.0], sizes[400.0], atol=2e-3)


@pytest.mark.parametrize("plugin", [distill, defensive_distillation])
def test_distillation_leaves_unlabelled_pieces_out(plugin):
    quiet, loud = [0.0, 0.0], [0.0, 50.0]
    teacher, student = torch.tensor([[loud, loud]]), torch.tensor([[loud, quiet]])
    output = plugin.loss(answers(student), taught(teacher), labelled([[1, IGNORE]]), plugin.Config(temperature=1.0))
    assert float(output.loss) == pytest.approx(0.0, abs=1e-6)
    output = plugin.loss(answers(student), taught(teacher), labelled([[IGNORE, 1]]), plugin.Config(temperature=1.0))
    assert float(output.loss) == pytest.approx(math.log(2), abs=1e-6)


def test_papernots_loss_by_hand():
    # at T = 20 the teacher says (1/4, 3/4) and the student (1/2, 1/2); the label does not enter
    teacher, student = torch.tensor([[0.0, 20 * LOG3]]), torch.tensor([[20 * LOG3, 0.0]])
    for label in (0, 1):
        output = defensive_distillation.loss(
            answers(student), taught(teacher), labelled([label]), defensive_distillation.Config()
        )
        expected = -0.25 * math.log(0.75) - 0.75 * math.log(0.25)
        assert float(output.loss) == pytest.approx(expected, abs=1e-6)


def test_the_teacher_is_frozen_trained_and_no_part_of_the_student(make_context, sentiment_task):
    task = sentiment_task(train=32)
    plain, context = make_context(task)
    untrained = weights(plain.module)
    session = Session(make_context(task)[0], stack_of("distill"), context)
    # the student starts where the baseline starts, also in torch's random state: its first dropout masks are the same
    reference = Session(make_context(task)[0], Stack([]), make_context(task)[1])
    state_of_baseline = torch.get_rng_state()
    again = Session(make_context(task)[0], stack_of("distill"), make_context(task)[1])
    assert torch.equal(torch.get_rng_state(), state_of_baseline)
    assert torch.equal(weights(again.state.module), weights(reference.state.module))
    assert torch.equal(weights(session.state.module), untrained)

    batch = next(session.batches())
    session.step(batch)
    teacher = session.state.memory[_teacher.KEY]
    assert not teacher.training
    assert not any(p.requires_grad for p in teacher.parameters())
    assert not any(part is teacher for part in session.state.module.modules())
    before = weights(teacher)
    # the teacher is what fine_tune makes of the baseline's start
    classifier, other = make_context(task)
    assert torch.equal(before, weights(fine_tune(classifier, Stack([]), other).classifier.module))
    assert not torch.equal(before, untrained)
    counted = dataclasses.replace(context.passes)
    session.step(batch)
    assert torch.equal(before, weights(teacher))
    assert context.passes.since(counted) == Passes(1, 0, batch.input_ids.numel(), 0)  # the loop counts the student's
    assert torch.equal(_teacher.logits(session.state, batch), _teacher.logits(session.state, batch))
    _teacher.dismiss(session.state.module)
    assert not any(_teacher.KEY in vars(part) for part in session.state.module.modules())


def test_the_teacher_trains_with_its_mitigation(make_context, sentiment_task):
    task = sentiment_task(train=16)
    for asked, expected in (("fgm", ("fgm",)), ("lora+fgm", ("lora", "fgm"))):
        classifier, context = make_context(task, epochs=1)
        session = Session(classifier, stack_of("distill", teacher=asked), context)
        session.step(next(session.batches()))
        classifier, context = make_context(task, epochs=1)
        alone = fine_tune(classifier, stack_of(*expected), context).classifier.module
        assert torch.equal(weights(session.state.memory[_teacher.KEY]), weights(alone))


def test_a_distilled_student_ends_near_its_teacher(make_context, sentiment_task):
    task = sentiment_task(train=96)
    classifier, context = make_context(task, epochs=4)
    trained = fine_tune(classifier, stack_of("distill", alpha=1.0), context)
    assert trained.summary["validation_score"] > 0.9
    assert trained.summary["preparation_passes"] == 2 * trained.summary["steps"]
    assert not any(_teacher.KEY in vars(part) for part in trained.classifier.module.modules())


def test_teacher_of_another_encoder_gets_its_own_learning_rate(make_context, sentiment_task, monkeypatch):
    task = dataclasses.replace(sentiment_task(train=16), name="movie_reviews")
    asked = []
    classifier, context = make_context(task, epochs=1)
    context = dataclasses.replace(context, build=lambda name=None: asked.append(name) or make_context(task)[0])
    seen = []
    monkeypatch.setattr(_teacher, "fine_tune", lambda _, __, given: seen.append(given.settings.learning_rate))
    _teacher.train(classifier.module, context, stack_of("baseline"), "bert-tiny")
    _teacher.train(make_context(task)[0].module, context, stack_of("baseline"))
    assert asked == ["bert-tiny", None]
    assert seen == [3e-4, context.settings.learning_rate]  # the best of the recorded grid, and the arm's


def test_a_teacher_that_cannot_teach_is_refused(make_context, sentiment_task, tagging_task):
    plugin = registry.load("training.mitigations", "distill")
    with pytest.raises(UserError, match="Did you mean 'freelb'"):
        registry.configure(plugin, {"teacher": "frelb"})
    for name in ("distill", "defensive_distillation", "lora+distill"):
        with pytest.raises(UserError, match="would train a teacher for the teacher"):
            registry.configure(plugin, {"teacher": name})
    classifier, context = make_context(sentiment_task(train=16))
    stranger = make_context(sentiment_task(train=16))[0]
    stranger.tokenizer.add_tokens(["wunderbar"])
    elsewhere = dataclasses.replace(context, build=lambda _=None: stranger)
    with pytest.raises(UserError, match="'other' has another vocabulary"):
        _teacher.train(classifier.module, elsewhere, stack_of("baseline"), "other")
    short = dataclasses.replace(make_context(sentiment_task(train=16))[0], max_length=8)
    elsewhere = dataclasses.replace(context, build=lambda _=None: short)
    with pytest.raises(UserError, match="reads 8 pieces of a text, the student 32"):
        _teacher.train(classifier.module, elsewhere, stack_of("baseline"), "other")
    classifier, context = make_context(tagging_task)
    with pytest.raises(UserError, match="'gan_bert' is not meaningful for tagging"):
        _teacher.train(classifier.module, context, stack_of("gan_bert"))
    classifier, context = make_context(sentiment_task(train=16), epochs=1)
    with pytest.raises(UserError, match="two distillations cannot stack"):
        Session(classifier, stack_of("distill", "defensive_distillation"), context)


def test_defensive_distillation_inflates_the_logits(make_context, sentiment_task):
    task = sentiment_task(train=96)
    texts = [example.text for example in task.test]

    def sizes(stack: Stack) -> float:
        classifier, context = make_context(task, epochs=12, learning_rate=1e-2)
        trained = fine_tune(classifier, stack, context)
        assert trained.summary["validation_score"] > 0.9
        return float(abs(trained.classifier.logits(texts)).mean())

    plain = sizes(Stack([]))
    assert sizes(stack_of("defensive_distillation")) > 3 * plain
    # at T = 1 it is plain self-distillation: the temperature is what inflates
    assert sizes(stack_of("defensive_distillation", temperature=1.0)) < 1.5 * plain


@pytest.mark.parametrize("names", [("distill", "lora"), ("lora", "distill"), ("fgm", "distill"), ("distill", "mixout")])
def test_distillation_stacks(names, make_context, sentiment_task, tmp_path):
    task = sentiment_task(train=16)
    classifier, context = make_context(task, epochs=1)
    trained = fine_tune(classifier, stack_of(*names), context).classifier
    trained.save(tmp_path)
    texts = [example.text for example in task.test]
    assert (open_classifier(tmp_path, task, 32, seed=5).logits(texts) == trained.logits(texts)).all()


def test_perceptron_is_drawn_from_its_generator_alone():
    torch.manual_seed(3)
    before = torch.get_rng_state()
    one, two = (_networks.perceptron([5, 7, 3], torch.Generator().manual_seed(1), dropout=0.1) for _ in range(2))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(weights(one), weights(two))
    assert not torch.equal(weights(one), weights(_networks.perceptron([5, 7, 3], torch.Generator().manual_seed(2))))
    assert [type(part).__name__ for part in one] == ["Linear", "LeakyReLU", "Dropout", "Linear"]
    assert float(one[0].weight.detach().abs().max()) <= 5**-0.5
    x = torch.randn(2, 5)
    hidden = x @ one[0].weight.T + one[0].bias
    by_hand = torch.where(hidden > 0, hidden, 0.2 * hidden) @ one[3].weight.T + one[3].bias
    assert torch.allclose(one.eval()(x), by_hand, atol=1e-6)


def test_perturbation_lies_on_the_ball_and_off_special_tokens():
    words = torch.tensor([[0, 1, 1, 1, 0], [0, 1, 0, 0, 0], [0, 0, 0, 0, 0]])
    network = _networks.perceptron([8, 16, 8], torch.Generator().manual_seed(0))
    embeddings = torch.randn(3, 5, 8)
    shift = gan_perturbation.perturb(network, embeddings, words, 0.3)
    assert torch.allclose(shift.flatten(1).norm(dim=1), torch.tensor([0.3, 0.3, 0.0]), atol=1e-6)
    assert (shift[words == 0] == 0).all()
    # a piece gets what its embedding asks for, wherever it stands, up to the sequence's common scale
    embeddings[1, 1] = embeddings[0, 3]
    shift = gan_perturbation.perturb(network, embeddings, words, 0.3)
    assert float(torch.cosine_similarity(shift[1, 1], shift[0, 3], dim=0).detach()) == pytest.approx(1.0, abs=1e-6)


def test_the_generator_climbs_and_is_no_business_of_the_classifiers_optimiser(make_context, sentiment_task):
    classifier, context = make_context(sentiment_task(train=16))
    without_dropout(classifier.module)
    session = Session(classifier, stack_of("gan_perturbation", epsilon=1.0, learning_rate=0.01), context)
    state, batch = session.state, next(session.batches())
    plain = Stack([])

    def moved_loss() -> torch.Tensor:
        network = state.memory["gan_perturbation"].network
        embeddings = state.embed(batch)
        shift = gan_perturbation.perturb(network, embeddings.detach(), batch.word_mask, 1.0)
        return plain.loss(state, batch.with_embeddings(embeddings + shift)).loss

    output = session.stack.loss(state, batch)
    player = state.memory["gan_perturbation"]
    clean, moved = plain.loss(state, batch).loss, moved_loss()
    assert float(output.loss.detach()) == pytest.approx(float((clean + moved).detach()), abs=1e-6)
    theirs = {id(p) for group in state.optimizer.param_groups for p in group["params"]}
    assert not theirs & {id(p) for p in player.network.parameters()}
    assert not {id(p) for p in state.module.parameters()} & {id(p) for p in player.network.parameters()}

    head = state.module.classifier.weight
    (of_head,) = torch.autograd.grad(clean + moved, head)
    session.accelerator.backward(output.loss)
    assert torch.allclose(head.grad, of_head, atol=1e-6)
    losses = [float(moved.detach())]
    for _ in range(30):  # the classifier stands still, the generator takes its steps
        session.stack.after_step(state)
        assert all(p.grad is None for p in player.network.parameters())
        session.stack.loss(state, batch).loss.backward()
        losses.append(float(moved_loss().detach()))
    assert losses[1] > losses[0]
    assert losses[-1] > losses[0] + 0.5 * (_fgm_loss(state, batch, 1.0) - losses[0]) > losses[0]


def _fgm_loss(state, batch, epsilon: float) -> float:
    """The loss at the end of one gradient step of length epsilon: what a generator could reach, about."""
    embeddings = state.embed(batch).detach().requires_grad_()
    (slope,) = torch.autograd.grad(Stack([]).loss(state, batch.with_embeddings(embeddings)).loss, embeddings)
    slope = slope * batch.word_mask[..., None]
    shift = epsilon * slope / slope.flatten(1).norm(dim=1)[:, None, None]
    return float(Stack([]).loss(state, batch.with_embeddings(embeddings.detach() + shift)).loss.detach())
