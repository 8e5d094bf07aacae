"""Known answers of the pruning mitigations: schedules, masks, movement scores and the zeros of the checkpoint."""

from __future__ import annotations

import copy
import itertools

import pytest
import torch

from tests.training.conftest import stack_of, without_dropout
from training.loop import Session, fine_tune
from training.mitigations import _gradual, _pruning, magnitude_pruning, movement_pruning, two_four_sparsity
from training.model import open_classifier
from training.stack import Stack


@pytest.mark.parametrize("name", ["magnitude_pruning", "movement_pruning", "two_four_sparsity"])
def test_pruning_trains_as_many_parameters_as_the_baseline(name, make_context, sentiment_task):
    counts = []
    for stack in (Stack([]), stack_of(name)):
        classifier, context = make_context(sentiment_task(train=16), epochs=1)
        summary = fine_tune(classifier, stack, context).summary
        counts.append((summary["trainable_parameters"], summary["parameters"]))
    assert counts[0] == counts[1]


def blocks(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    """The weight matrices of the encoder blocks of BERT, by name."""
    return {
        name: parameter.detach()
        for name, parameter in module.named_parameters()
        if ".layer." in name and name.endswith(".weight") and parameter.ndim == 2
    }


def test_cubic_schedule_by_hand():
    def share(done: int) -> float:
        return _gradual.share_at(done, 100, 0.8, 0.2, 0.6)

    assert [share(done) for done in (0, 20, 60, 100)] == [0, 0, 0.8, 0.8]
    assert share(30) == pytest.approx(0.8 * (1 - 0.75**3))
    assert share(40) == pytest.approx(0.8 * (1 - 0.5**3))


def test_keep_largest_by_sorting():
    torch.manual_seed(0)
    ranking = torch.randn(7, 9)
    for share in (0.0, 0.01, 0.3, 0.5, 0.99):
        order = sorted(range(63), key=lambda i: float(ranking.flatten()[i]))
        expected = torch.ones(63, dtype=torch.bool)
        expected[order[: round(share * 63)]] = False
        assert torch.equal(_gradual.keep_largest(ranking, share).flatten(), expected)


@pytest.mark.parametrize("patience", [None, 1])
@pytest.mark.parametrize(("name", "sparsity"), [("magnitude_pruning", 0.75), ("movement_pruning", 0.3)])
def test_the_checkpoint_has_the_sparsity_asked_for(name, sparsity, patience, make_context, sentiment_task, tmp_path):
    task = sentiment_task(train=48)
    classifier, context = make_context(task, epochs=3, patience=patience, learning_rate=1e-3)
    dense = {key for key, value in classifier.module.named_parameters() if (value != 0).all()}
    trained = fine_tune(classifier, stack_of(name, sparsity=sparsity), context).classifier
    trained.save(tmp_path)
    module = open_classifier(tmp_path, task, 32, seed=5).module
    found = blocks(module)
    assert len(found) == 2 * 6
    for weight in found.values():
        assert float((weight == 0).float().mean()) == pytest.approx(sparsity, abs=1 / weight.numel())
    assert all((value != 0).all() for key, value in module.named_parameters() if key in dense and key not in found)


def test_small_weights_become_zero_one_after_the_other_and_stay(make_context, sentiment_task):
    classifier, context = make_context(sentiment_task(train=96), epochs=1)
    session = Session(classifier, stack_of("magnitude_pruning", start=0.0, end=0.5), context)
    parts = _pruning.matrices(session.state.module)
    gone = [torch.zeros_like(part.weight, dtype=torch.bool) for part in parts]
    for step, batch in enumerate(itertools.islice(session.batches(), 12), start=1):
        # ranked by what the step has made of them, before the mask is renewed
        session.stack.after_step, renew = lambda _: None, session.stack.after_step
        session.step(batch)
        session.state.step -= 1
        sizes = [part.weight.detach().abs() for part in parts]
        renew(session.state)
        session.stack.after_step = renew
        session.state.step += 1
        share = 0.5 * (1 - (1 - min(1, step / 6)) ** 3)
        for part, size, before in zip(parts, sizes, gone, strict=True):
            zero = part.weight == 0
            assert zero[before].all()
            assert int(zero.sum()) == round(share * zero.numel())
            assert size[zero].max() <= size[~zero].min()
            before |= zero


def test_a_pruned_weight_gets_no_gradient(make_context, sentiment_task):
    classifier, context = make_context(sentiment_task(train=16))
    session = Session(classifier, stack_of("two_four_sparsity"), context)
    state, batch = session.state, next(session.batches())
    session.stack.loss(state, batch).loss.backward()
    for weight, holder in _pruning.masked(state.module):
        assert not weight.grad[~holder.mask].any()
        assert weight.grad[holder.mask].any()


def test_averages_are_pruned_when_pruning_is_named_last(make_context, sentiment_task):
    classifier, context = make_context(sentiment_task(train=48), epochs=1)
    module = fine_tune(classifier, stack_of("ema", "magnitude_pruning"), context).classifier.module
    for weight in blocks(module).values():
        assert float((weight == 0).float().mean()) == pytest.approx(0.5, abs=1e-3)


def test_movement_scores_by_hand_over_two_steps():
    # y = w1' x1 + w2' x2 with x = (1, 2), loss y, so dL/dw' = (1, 2); plain gradient descent with rate 0.5
    layer = torch.nn.Linear(2, 1, bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[3.0, -4.0]]))
    holder = movement_pruning.Scored(layer.weight)
    torch.nn.utils.parametrize.register_parametrization(layer, "weight", holder)
    weight = layer.parametrizations.weight.original
    descent = torch.optim.SGD([weight], lr=0.5)

    def step(x: tuple[float, float]) -> None:
        descent.zero_grad()
        holder.gradient.zero_()
        layer(torch.tensor([x])).sum().backward()
        descent.step()

    step((1.0, 2.0))
    # dL/dS = (1 * 3, 2 * -4); both weights move: 3 - 0.5 * 1, -4 - 0.5 * 2
    assert holder.gradient.tolist() == [[3.0, -8.0]]
    assert weight.tolist() == [[2.5, -5.0]]
    # Adam's first step is one rate along the sign
    holder.descend(1, 0.1)
    assert torch.allclose(holder.scores, torch.tensor([[-0.1, 0.1]]))
    assert not holder.gradient.any()
    holder.mask.copy_(_gradual.keep_largest(holder.scores, 0.5))
    assert layer.weight.tolist() == [[0.0, -5.0]]
    step((-4.0, 1.0))
    # the masked weight stands still, but its score has the gradient it would have had, -4 * 2.5
    assert holder.gradient.tolist() == [[-10.0, -5.0]]
    assert weight.tolist() == [[2.5, -5.5]]
    holder.scores.copy_(torch.tensor([[0.2, 0.1]]))
    holder.mask.copy_(_gradual.keep_largest(holder.scores, 0.5))
    assert layer.weight.tolist() == [[2.5, 0.0]]


def test_movement_scores_in_training_descend_with_adam_along_the_masked_model(make_context, sentiment_task):
    classifier, context = make_context(sentiment_task(train=32), epochs=1)
    without_dropout(classifier.module)
    plain = copy.deepcopy(classifier.module)
    session = Session(classifier, stack_of("movement_pruning", start=0.0, end=0.5), context)
    held = dict(zip(blocks(plain), _pruning.masked(session.state.module), strict=True))
    expected = {name: torch.zeros_like(weight) for name, (weight, _) in held.items()}
    adam = torch.optim.Adam(expected.values())
    for batch in itertools.islice(session.batches(), 3):
        with torch.no_grad():
            current = dict(session.state.module.named_parameters())
            for name, parameter in plain.named_parameters():
                if name in held:
                    parameter.copy_(held[name][0] * held[name][1].mask)
                else:
                    parameter.copy_(current[name])
        loss = plain(input_ids=batch.input_ids, attention_mask=batch.attention_mask, labels=batch.labels).loss
        gradients = torch.autograd.grad(loss, [plain.get_parameter(name) for name in held])
        for (name, (weight, _)), gradient in zip(held.items(), gradients, strict=True):
            expected[name].grad = gradient * weight.detach()
        session.step(batch)
        adam.param_groups[0]["lr"] = session.state.optimizer.param_groups[0]["lr"]
        adam.step()
    for name, (_, holder) in held.items():
        # where a gradient is a rounding error Adam makes a step of it
        close = torch.isclose(holder.scores, expected[name], rtol=1e-2, atol=1e-5)
        assert close.float().mean() > 0.99
        assert torch.equal(holder.mask, _gradual.keep_largest(holder.scores, 0.5))


def test_a_steady_movement_ranks_above_a_loud_one():
    holder = movement_pruning.Scored(torch.ones(1, 2))
    for step in range(1, 22):
        holder.gradient.copy_(torch.tensor([[-1.0, 1000.0 * (-1) ** step]]))
        holder.descend(step, 0.01)
    steady, loud = holder.scores[0].tolist()
    assert steady == pytest.approx(0.21, rel=1e-3)
    assert loud < 0.5 * steady  # the plain sums are 21 and 1000


@pytest.mark.parametrize("width", [4, 8, 11])
def test_two_of_four_by_trying_all_pairs(width):
    torch.manual_seed(width)
    weight = torch.randn(5, width)
    mask = two_four_sparsity.two_of_four(weight)
    for row, start in itertools.product(range(5), range(0, width - 3, 4)):
        group = weight[row, start : start + 4].abs()
        best = max(itertools.combinations(range(4), 2), key=lambda pair: float(group[list(pair)].sum()))
        assert mask[row, start : start + 4].nonzero().flatten().tolist() == sorted(best)
    assert mask[:, width // 4 * 4 :].all()


def test_two_four_checkpoint_keeps_the_mask_of_the_pretrained_weights(make_context, sentiment_task, tmp_path):
    task = sentiment_task(train=48)
    classifier, context = make_context(task, epochs=1)
    masks = {name: two_four_sparsity.two_of_four(weight) for name, weight in blocks(classifier.module).items()}
    pretrained = {name: weight.clone() for name, weight in blocks(classifier.module).items()}
    fine_tune(classifier, stack_of("two_four_sparsity"), context).classifier.save(tmp_path)
    found = blocks(open_classifier(tmp_path, task, 32, seed=5).module)
    assert len(found) == 2 * 6
    for name, weight in found.items():
        assert ((weight != 0).unflatten(1, (-1, 4)).sum(dim=-1) <= 2).all()
        assert torch.equal(weight != 0, masks[name])
        assert not torch.equal(weight[masks[name]], pretrained[name][masks[name]])


def test_pruning_refuses_a_schedule_that_runs_backwards():
    for plugin in (magnitude_pruning, movement_pruning):
        with pytest.raises(ValueError, match="start < end"):
            plugin.Config(start=0.5, end=0.5)
        with pytest.raises(ValueError, match="sparsity"):
            plugin.Config(sparsity=1.0)
