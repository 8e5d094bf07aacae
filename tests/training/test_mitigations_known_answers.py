"""Known answers of the adversarial and consistency losses: hand computations on models small enough to have them."""

from __future__ import annotations

import dataclasses
import itertools
from types import SimpleNamespace

import pytest
import torch

from tests.training.conftest import stack_of, without_dropout
from training.errors import UserError
from training.hooks import Batch, Output
from training.loop import Session
from training.mitigations import _embedding_ball, cutoff, label_smoothing, masked_fine_tuning, pgd, r_drop, vat
from training.stack import Stack


def linear_world(words=((0, 1, 1, 1, 0), (0, 1, 1, 0, 0)), hidden: int = 3):
    """A state, a batch and a model with two classes whose logits are (w . sum of the embeddings, 0)."""
    torch.manual_seed(0)
    mask = torch.tensor(words)
    table, weight = torch.randn(len(words), mask.shape[1], hidden), torch.randn(mask.shape[1], hidden)
    batch = Batch(torch.zeros_like(mask), torch.ones_like(mask), mask, torch.ones(len(words), dtype=torch.long), table)
    seen: list[torch.Tensor] = []

    def forward(inner: Batch) -> Output:
        seen.append(inner.embeddings.detach() - table)
        score = (inner.embeddings * weight).sum(dim=(1, 2))
        logits = torch.stack([score, torch.zeros_like(score)], dim=1)
        return Output(torch.nn.functional.cross_entropy(logits, inner.labels), logits)

    state = SimpleNamespace(embed=lambda b: b.embeddings, generator=torch.Generator().manual_seed(3))
    # the gradient with respect to every word's embedding is w, up to a positive factor: the worst direction is known
    direction = weight * mask[..., None]
    direction = direction / direction.flatten(1).norm(dim=1)[:, None, None]
    return state, batch, forward, direction, seen


def test_pgd_reaches_the_worst_point_of_the_ball():
    state, batch, forward, direction, seen = linear_world()
    pgd.loss(forward, state, batch, pgd.Config(epsilon=0.3, step_size=10.0, steps=1))
    # a step far longer than the radius ends at the boundary, at the start plus ten times the direction, projected
    expected = seen[0] + 10 * direction
    expected = 0.3 * expected / expected.flatten(1).norm(dim=1)[:, None, None]
    assert torch.allclose(seen[-1], expected, atol=1e-6)
    state, batch, forward, direction, seen = linear_world()
    output = pgd.loss(forward, state, batch, pgd.Config(epsilon=0.3, step_size=1.0, steps=30))
    assert len(seen) == 31
    assert torch.allclose(seen[-1], 0.3 * direction, atol=1e-4)
    worst = forward(batch.with_embeddings(batch.embeddings + 0.3 * direction)).loss
    assert float(output.loss) == pytest.approx(float(worst), abs=1e-5)


def test_pgd_stays_in_the_ball_and_off_special_tokens():
    state, batch, forward, direction, seen = linear_world()
    pgd.loss(forward, state, batch, pgd.Config(epsilon=0.3, step_size=0.1, steps=5))
    for before, after in itertools.pairwise(seen):
        assert (after.flatten(1).norm(dim=1) <= 0.3 + 1e-6).all()
        assert (after[batch.word_mask == 0] == 0).all()
        assert (after.flatten(1).norm(dim=1) <= before.flatten(1).norm(dim=1) + 0.1 + 1e-6).all()
    # inside the ball nothing is cut: 1e6 as radius leaves start + K * alpha * direction
    state, batch, forward, direction, seen = linear_world()
    pgd.loss(forward, state, batch, pgd.Config(epsilon=999.0, step_size=0.5, steps=2))
    assert torch.allclose(seen[-1], seen[0] + 2 * 0.5 * direction, atol=1e-4)


def test_projection_shortens_only_what_is_too_long():
    rows = torch.tensor([[[3.0, 4.0]], [[0.3, 0.4]], [[0.0, 0.0]]])
    assert torch.allclose(_embedding_ball.project(rows, 1.0), torch.tensor([[[0.6, 0.8]], [[0.3, 0.4]], [[0.0, 0.0]]]))


def test_vat_finds_the_dominant_direction_of_a_logistic_model():
    # the Hessian of the KL of a logistic model is p (1 - p) w w^T: one power step from any start gives +-w
    state, batch, forward, direction, seen = linear_world()
    config = vat.Config(epsilon=0.3, xi=0.01, weight=2.0)
    output = vat.loss(forward, state, batch, config)
    assert torch.allclose(seen[1].flatten(1).norm(dim=1), torch.tensor(0.01), atol=1e-6)
    signs = (seen[2] * direction).sum(dim=(1, 2)) / 0.3
    assert torch.allclose(signs.abs(), torch.ones(2), atol=1e-3)
    clean, moved = (forward(batch.with_embeddings(batch.embeddings + shift)).logits for shift in (seen[0], seen[2]))
    p, q = clean.softmax(dim=1), moved.softmax(dim=1)
    kl = torch.nn.functional.kl_div(q.log(), p, reduction="batchmean")
    assert float(output.loss) == pytest.approx(float(forward(batch).loss + 2 * kl), abs=1e-6)
    assert float(kl) > 0


def test_freelb_accumulates_the_mean_gradient_of_its_steps(make_context, sentiment_task):
    classifier, context = make_context(sentiment_task(train=16))
    without_dropout(classifier.module)
    config = {"epsilon": 0.3, "step_size": 0.2, "steps": 3}
    session = Session(classifier, stack_of("freelb", **config), context)
    state, batch = session.state, next(session.batches())
    weights = [state.module.classifier.weight, state.module.get_input_embeddings().weight]

    mask = batch.word_mask[..., None]
    state.generator.manual_seed(7)
    shift = _embedding_ball.start(state, batch, 0.3)
    assert (shift.flatten(1).norm(dim=1) <= 0.3).all()
    losses, gradients = [], []
    for _ in range(3):
        shift = shift.detach().requires_grad_()
        loss = Stack([]).loss(state, batch.with_embeddings(state.embed(batch) + shift)).loss
        *of_weights, of_shift = torch.autograd.grad(loss, [*weights, shift])
        losses.append(float(loss.detach()))
        gradients.append(of_weights)
        rows = []
        for row, slope in zip(shift.detach(), of_shift * mask, strict=True):
            moved = row + 0.2 * slope / slope.norm()
            rows.append(moved * min(1.0, 0.3 / float(moved.norm())))
        shift = torch.stack(rows)

    state.module.zero_grad()
    state.generator.manual_seed(7)
    session.early_loss = []
    output = session.stack.loss(state, batch)
    session.accelerator.backward(output.loss)
    for index, weight in enumerate(weights):
        expected = sum(step[index] for step in gradients) / 3
        assert torch.allclose(weight.grad, expected, atol=1e-6)
    recorded = float(torch.stack([*session.early_loss, output.loss.detach()]).sum())
    assert recorded == pytest.approx(sum(losses) / 3, abs=1e-6)


@pytest.mark.parametrize("name", ["fgm", "pgd", "freelb"])
def test_a_radius_of_zero_is_training_on_the_text_as_it_is(name, make_context, sentiment_task):
    classifier, context = make_context(sentiment_task(train=16))
    without_dropout(classifier.module)
    sessions = [Session(classifier, stack, context) for stack in (Stack([]), stack_of(name, epsilon=0.0))]
    batch = next(sessions[0].batches())
    found = []
    for session in sessions:
        session.state.module.zero_grad()
        session.early_loss = []
        session.accelerator.backward(session.stack.loss(session.state, batch).loss)
        found.append([weight.grad.clone() for weight in session.state.module.parameters() if weight.grad is not None])
    scale = 2.0 if name == "fgm" else 1.0  # fgm adds the gradient at the shift to the one without
    for plain, controlled in zip(*found, strict=True):
        assert torch.allclose(scale * plain, controlled, atol=1e-6)
    with pytest.raises(UserError, match="0 <= epsilon"):
        stack_of(name, epsilon=-0.1)


def answers(*logits: list[list[float]]):
    """A forward that gives these logits, one after the other."""
    queue = [torch.tensor(one) for one in logits]

    def forward(inner: Batch) -> Output:
        made = queue.pop(0)
        flat = made.reshape(-1, made.shape[-1])
        return Output(torch.nn.functional.cross_entropy(flat, inner.labels.reshape(-1)), made)

    return forward


def labelled(labels: list) -> Batch:
    ids = torch.tensor([[2, 10, 11, 12, 3]] * len(labels))
    return Batch(ids, torch.ones_like(ids), (ids >= 10).long(), torch.tensor(labels))


LOG3 = 1.0986123


def test_r_drop_by_hand():
    # (1/2, 1/2) against (1/4, 3/4), both ways; the second text agrees, and the divergence is a mean over the batch
    forward = answers([[0.0, 0.0], [0.0, 0.0]], [[0.0, LOG3], [0.0, 0.0]])
    output = r_drop.loss(forward, SimpleNamespace(), labelled([1, 0]), r_drop.Config(alpha=4.0))
    log = torch.log
    there = 0.5 * log(torch.tensor(0.5 / 0.25)) + 0.5 * log(torch.tensor(0.5 / 0.75))
    back = 0.25 * log(torch.tensor(0.25 / 0.5)) + 0.75 * log(torch.tensor(0.75 / 0.5))
    first = log(torch.tensor(2.0))
    second = (log(torch.tensor(4 / 3)) + log(torch.tensor(2.0))) / 2
    expected = (first + second) / 2 + 4.0 * (there + back) / 2 / 2
    assert float(output.loss) == pytest.approx(float(expected), abs=1e-6)


def test_r_drop_leaves_unlabelled_pieces_out():
    quiet, loud = [[0.0, 0.0], [0.0, 0.0]], [[0.0, 0.0], [0.0, 50.0]]
    batch = Batch(*[torch.tensor([[10, 11]])] * 3, torch.tensor([[1, -100]]))
    output = r_drop.loss(answers([quiet], [loud]), SimpleNamespace(), batch, r_drop.Config(alpha=4.0))
    assert float(output.loss) == pytest.approx(0.6931472, abs=1e-6)


@pytest.mark.parametrize("labels", [[0, 2], [[0, -100, 1], [2, -100, -100]]])
def test_label_smoothing_is_torchs(labels):
    torch.manual_seed(0)
    target = torch.tensor(labels)
    logits = torch.randn(*target.shape, 3)
    batch = Batch(target, target, target, target)
    forward = answers(logits.tolist())
    found = label_smoothing.loss(forward, SimpleNamespace(), batch, label_smoothing.Config(share=0.2)).loss
    flat = logits.reshape(-1, 3)
    expected = torch.nn.functional.cross_entropy(flat, target.reshape(-1), label_smoothing=0.2)
    assert float(found) == pytest.approx(float(expected), abs=1e-6)


def test_cutoff_divergence_and_loss_by_hand():
    state = SimpleNamespace(embed=lambda b: torch.ones(*b.input_ids.shape, 4), generator=torch.Generator())
    forward = answers([[0.0, 0.0]], [[0.0, LOG3]])
    output = cutoff.loss(forward, state, labelled([1]), cutoff.Config(weight=2.0, divergence_weight=3.0))
    p, q = torch.tensor([0.5, 0.5]), torch.tensor([0.25, 0.75])
    middle = (p + q) / 2
    js = 0.5 * (p * (p / middle).log()).sum() + 0.5 * (q * (q / middle).log()).sum()
    expected = -p[1].log() - 2.0 * q[1].log() + 3.0 * js
    assert float(output.loss) == pytest.approx(float(expected), abs=1e-6)


def test_cutoff_hides_whole_pieces_of_words_only():
    state = SimpleNamespace(embed=lambda b: torch.ones(*b.input_ids.shape, 4), generator=torch.Generator())
    words = torch.tensor([[0, *[1] * 10, 0], [0, *[1] * 3, *[0] * 8]])
    batch = Batch(words, words, words, torch.tensor([0, 1]))
    drawn = {tuple(row.nonzero().flatten().tolist()) for _ in range(200) for row in cutoff._draw(state, batch, 0.25)}
    assert {len(row) for row in drawn} == {1, 3}  # ceil(0.25 * 3) and ceil(0.25 * 10)
    assert {place for row in drawn for place in row} == set(range(1, 11))
    seen: list[Batch] = []

    def forward(inner: Batch) -> Output:
        seen.append(inner)
        return Output(torch.zeros(()), torch.zeros(2, 2))

    cutoff.loss(forward, state, dataclasses.replace(batch, attention_mask=torch.ones_like(words)), cutoff.Config())
    hidden = seen[1].embeddings.sum(dim=-1) == 0
    assert (hidden == (seen[1].attention_mask == 0)).all()
    assert hidden.sum(dim=1).tolist() == [1, 1]


def test_masked_fine_tuning_masks_half_of_the_texts_at_a_uniform_rate():
    words = torch.tensor([[0, *[1] * 50, 0]]).repeat(4000, 1)
    batch = Batch(torch.full_like(words, 10), torch.ones_like(words), words, torch.zeros(4000, dtype=torch.long))
    state = SimpleNamespace(generator=torch.Generator().manual_seed(0))
    chosen = masked_fine_tuning._draw(state, batch, 0.5)
    assert not chosen[:, [0, -1]].any()
    rates = chosen.float().sum(dim=1) / 50
    touched = rates > 0
    assert float(touched.float().mean()) == pytest.approx(0.5 * 50 / 51, abs=0.03)
    # a uniform rate has mean 1/2 and variance 1/12, whatever the binomial count adds: 1/12 + (1/6) / 50
    masked = rates[touched]
    assert float(masked.mean()) == pytest.approx(0.5, abs=0.03)
    assert float(masked.var()) == pytest.approx(1 / 12 + 1 / 300, abs=0.008)


def test_masked_fine_tuning_replaces_ids_and_given_embeddings():
    table = torch.nn.Embedding(100, 4)
    module = SimpleNamespace(get_input_embeddings=lambda: table)
    tokenizer = SimpleNamespace(mask_token_id=99)
    state = SimpleNamespace(module=module, tokenizer=tokenizer, generator=torch.Generator().manual_seed(1))
    batch = labelled([0] * 20).with_embeddings(torch.zeros(20, 5, 4))
    seen = []
    masked_fine_tuning.loss(lambda inner: seen.append(inner), state, batch, masked_fine_tuning.Config(texts=1.0))
    ids, embeddings = seen[0].input_ids, seen[0].embeddings
    assert set(ids[:, 1:4].flatten().tolist()) == {10, 11, 12, 99}
    assert (ids[:, [0, 4]] == torch.tensor([2, 3])).all()
    assert torch.equal(embeddings[ids == 99], table.weight[99].expand(int((ids == 99).sum()), 4))
    assert (embeddings[ids != 99] == 0).all()
