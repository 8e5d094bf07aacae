"""Known answers of the gradients family: accumulation, consistency with noise, clipping, schedules, a failing arm."""

from __future__ import annotations

import copy
import dataclasses

import pytest
import torch
from torch.nn.functional import kl_div

from tests.training.conftest import stack_of, without_dropout
from tests.training.test_mitigations_known_answers import linear_world
from training.errors import UserError
from training.hooks import IGNORE, Output, cross_entropy
from training.loop import Session, fine_tune, score
from training.mitigations import accumulate, r3f, smart, unstable
from training.stack import Stack


def session_of(make_context, task, *names: str, settings: dict | None = None, **config) -> Session:
    classifier, context = make_context(task, **(settings or {}))
    without_dropout(classifier.module)
    with torch.no_grad():
        for name, parameter in classifier.module.named_parameters():
            if parameter.ndim > 1 and "embeddings" not in name:
                parameter.mul_(8)  # of drawn weights as small as BERT's, next to nothing reaches the logits
    return Session(classifier, stack_of(*names, **config) if names else Stack([]), context)


def gradients(session: Session, batch) -> tuple[list[torch.Tensor], float]:
    """The gradient of one step's loss over all parameters, and the loss that is recorded."""
    session.state.module.train()
    session.state.module.zero_grad()
    session.early_loss = []
    output = session.stack.loss(session.state, batch)
    session.accelerator.backward(output.loss)
    recorded = torch.stack([*session.early_loss, output.loss.detach()]).sum()
    found = [torch.zeros_like(p) if p.grad is None else p.grad.clone() for p in session.state.module.parameters()]
    return found, float(recorded)


def symmetric(one: torch.Tensor, two: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """KL both ways by torch's own function, over the labelled rows."""
    known = labels.reshape(-1) != IGNORE
    p, q = (rows.reshape(-1, rows.shape[-1])[known].log_softmax(dim=1) for rows in (one, two))
    return kl_div(q, p.exp(), reduction="batchmean") + kl_div(p, q.exp(), reduction="batchmean")


@pytest.fixture(params=["classification", "tagging"])
def task(request, sentiment_task, tagging_task):
    return sentiment_task(train=32) if request.param == "classification" else tagging_task


def batch_of_32(session: Session):
    batch = next(session.batches())
    assert len(batch.labels) == 32
    return batch


@pytest.mark.parametrize("inner", [(), ("label_smoothing",)])
def test_accumulated_gradient_is_that_of_the_whole_batch(task, inner, make_context):
    whole = session_of(make_context, task, *inner, settings={"batch_size": 32})
    split = session_of(make_context, task, *inner, "accumulate", settings={"batch_size": 32}, parts=4)
    batch = batch_of_32(whole)
    if task.kind == "tagging":
        labels = batch.labels.clone()
        labels[3:8, 2:] = IGNORE  # parts of unequal weight, and
        labels[8:16] = IGNORE  # one without any label
        batch = dataclasses.replace(batch, labels=labels)
        counts = [int((part != IGNORE).sum()) for part in labels.chunk(4)]
        assert counts[1] == 0
        assert len(set(counts)) > 2
    expected, loss = gradients(whole, batch)
    found, recorded = gradients(split, batch)
    assert recorded == pytest.approx(loss, abs=1e-6)
    largest = max(float(a.abs().max()) for a in expected)
    assert largest > 1e-2
    assert max(float((a - b).abs().max()) for a, b in zip(expected, found, strict=True)) < 1e-6 * max(1.0, largest)


def test_the_plain_mean_over_parts_would_be_wrong(make_context, tagging_task):
    session = session_of(make_context, tagging_task, settings={"batch_size": 32})
    batch = batch_of_32(session)
    labels = batch.labels.clone()
    labels[:24, 2:] = IGNORE
    batch = dataclasses.replace(batch, labels=labels)
    means = [float(cross_entropy(session.state, batch.select(slice(i, i + 8))).loss.detach()) for i in (0, 8, 16, 24)]
    assert abs(sum(means) / 4 - gradients(session, batch)[1]) > 1e-3


def test_accumulation_weighs_and_selects_by_hand():
    _, batch, _, _, _ = linear_world(words=((0, 1, 1, 0), (0, 1, 0, 0), (0, 1, 1, 0)))
    labels = torch.tensor([[IGNORE, 0, 1, IGNORE], [IGNORE] * 4, [IGNORE, 1, IGNORE, IGNORE]])
    batch = dataclasses.replace(batch, labels=labels)
    losses = iter([torch.tensor(3.0), torch.tensor(torch.nan), torch.tensor(9.0)])
    seen, sent = [], []

    def forward(part) -> Output:
        seen.append(part)
        return Output(next(losses), torch.full((len(part.labels), 4, 2), float(len(seen))))

    class State:
        backward = sent.append

    # three texts cannot make five parts
    output = accumulate.loss(forward, State, batch, accumulate.Config(parts=5))
    assert [float(loss) for loss in sent] == [pytest.approx(3 * 2 / 3), 0.0]
    assert float(output.loss) == pytest.approx(9 * 1 / 3)
    assert output.logits[:, 0, 0].tolist() == [1.0, 2.0, 3.0]
    assert [part.labels.tolist() for part in seen] == [[row] for row in labels.tolist()]
    assert torch.equal(torch.cat([part.embeddings for part in seen]), batch.embeddings)


def test_accumulation_costs_what_the_baseline_costs(make_context, task):
    classifier, context = make_context(task, epochs=1, batch_size=16)
    summary = fine_tune(classifier, stack_of("accumulate", parts=8), context).summary
    assert summary["forward_passes"] == summary["backward_passes"] == 8 * summary["steps"]
    assert summary["counted_cost"] == pytest.approx(1.0)


@pytest.mark.parametrize("noise", ["uniform", "normal"])
def test_r3f_is_the_loss_and_gradient_of_the_paper(noise, task, make_context):
    session = session_of(make_context, task, "r3f", epsilon=0.4, weight=3.0, noise=noise)
    state, batch = session.state, next(session.batches())
    state.generator.manual_seed(5)
    found, recorded = gradients(session, batch)

    state.generator.manual_seed(5)
    shape = (*batch.input_ids.shape, 32)
    drawn = torch.rand(shape, generator=state.generator) * 0.8 - 0.4
    if noise == "normal":
        state.generator.manual_seed(5)
        drawn = torch.randn(shape, generator=state.generator) * 0.4
    table = state.module.get_input_embeddings().weight
    clean = cross_entropy(state, batch)
    moved = cross_entropy(
        state, batch.with_embeddings(table.detach()[batch.input_ids] + drawn * batch.word_mask[..., None])
    )
    divergence = symmetric(clean.logits, moved.logits, batch.labels)
    assert float(divergence.detach()) > 1e-4
    loss = clean.loss + 3 * divergence
    expected = torch.autograd.grad(loss, list(state.module.parameters()))
    assert recorded == pytest.approx(float(loss.detach()), abs=1e-6)
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(found, expected, strict=True))


def test_r3f_noise_is_what_it_says():
    state, batch, _, _, _ = linear_world(words=((0, *[1] * 400, 0),) * 4)
    for name, std in (("uniform", 0.5 / 3**0.5), ("normal", 0.5)):
        drawn = r3f._noise(state, batch, batch.embeddings, r3f.Config(epsilon=0.5, noise=name))
        assert (drawn[:, [0, -1]] == 0).all()
        inside = drawn[:, 1:-1]
        assert float(inside.std()) == pytest.approx(std, rel=0.05)
        assert float(inside.mean()) == pytest.approx(0.0, abs=0.02)
        assert (float(inside.abs().max()) <= 0.5) == (name == "uniform")


@pytest.mark.parametrize("name", ["r3f", "smart"])
def test_consistency_losses_vanish_without_noise_and_dropout(name, task, make_context):
    config = {"r3f": {"epsilon": 1e-12}, "smart": {"epsilon": 1e-12, "noise": 1e-12}}[name]
    quiet = session_of(make_context, task, name, **config)
    batch = next(quiet.batches())
    found, loss = gradients(quiet, batch)
    expected, plain = gradients(session_of(make_context, task), batch)
    assert loss == pytest.approx(plain, abs=1e-6)
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(found, expected, strict=True))


def test_r3f_refuses_an_unknown_noise():
    with pytest.raises(UserError, match="uniform, normal"):
        stack_of("r3f", noise="pink")


def test_smart_reaches_the_worst_corner_of_the_ball():
    state, batch, forward, direction, seen = linear_world()
    config = smart.Config(epsilon=0.3, step_size=0.3, steps=100, noise=0.01)
    target = forward(batch).logits.detach()
    shift = smart._ascend(forward, state, batch, target, config)
    # two classes, linear scores: the divergence grows with |w . d|, so its maximum is at +-epsilon sign(w)
    corner = 0.3 * direction.sign()
    for row, expected in zip(shift, corner, strict=True):
        assert torch.allclose(row, expected, atol=1e-6) or torch.allclose(row, -expected, atol=1e-6)
    assert len(seen) == 101
    start = seen[1]
    assert float(start.std()) > 0
    assert all((moved.abs() <= 0.3 + 1e-6).all() for moved in seen[2:])
    assert all((moved[batch.word_mask == 0] == 0).all() for moved in seen)


def test_smart_first_step_by_hand():
    state, batch, forward, direction, seen = linear_world()
    smart._ascend(
        forward, state, batch, forward(batch).logits.detach(), smart.Config(epsilon=9.0, step_size=0.2, steps=2)
    )
    start, moved = seen[1], seen[2]
    assert float(start.abs().max()) < 1e-4  # noise = 1e-5
    # each piece moves along its own gradient, which is +-w, with 0.2 as its largest entry
    largest = direction.abs().amax(dim=-1, keepdim=True).clamp_min(1e-30)
    for row, expected in zip(moved - start, 0.2 * direction / largest, strict=True):
        assert torch.allclose(row, expected, atol=1e-5) or torch.allclose(row, -expected, atol=1e-5)


def test_smart_is_the_loss_and_gradient_of_the_paper(task, make_context):
    config = {"weight": 2.0, "mu": 3.0, "beta": 0.6, "epsilon": 0.2, "step_size": 0.1, "steps": 3, "noise": 0.05}
    session = session_of(make_context, task, "smart", **config)
    state, batch = session.state, next(session.batches())
    first = copy.deepcopy(state.module)
    gradients(session, batch)
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in state.module.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    session.stack.after_step(state)
    slow = copy.deepcopy(first)
    with torch.no_grad():
        for kept, was, now in zip(slow.parameters(), first.parameters(), state.module.parameters(), strict=True):
            kept.copy_(0.6 * was + 0.4 * now)
    state.generator.manual_seed(9)
    found, recorded = gradients(session, batch)

    state.generator.manual_seed(9)
    fixed, mask = state.embed(batch).detach(), batch.word_mask[..., None]
    shift = 0.05 * torch.randn(fixed.shape, generator=state.generator) * mask
    clean = cross_entropy(state, batch)
    known = batch.labels.reshape(-1) != IGNORE
    target = clean.logits.detach().reshape(len(known), -1)[known].softmax(dim=1)
    for _ in range(3):
        shift = shift.detach().requires_grad_()
        logits = cross_entropy(state, batch.with_embeddings(fixed + shift)).logits.reshape(len(known), -1)[known]
        (slope,) = torch.autograd.grad(kl_div(logits.log_softmax(dim=1), target, reduction="batchmean"), shift)
        largest = slope.abs().max(dim=-1, keepdim=True).values
        slope = torch.where(largest > 0, slope / largest, 0.0) * mask
        shift = torch.clamp(shift.detach() + 0.1 * slope, -0.2, 0.2)
    moved = cross_entropy(state, batch.with_embeddings(state.embed(batch) + shift))
    smoothness = symmetric(clean.logits, moved.logits, batch.labels)
    before = slow.eval()(input_ids=batch.input_ids, attention_mask=batch.attention_mask).logits.detach()
    proximal = symmetric(clean.logits, before, batch.labels)
    assert min(float(smoothness.detach()), float(proximal.detach())) > 1e-4
    loss = clean.loss + 2 * smoothness + 3 * proximal
    expected = torch.autograd.grad(loss, list(state.module.parameters()))
    assert recorded == pytest.approx(float(loss.detach()), abs=1e-5)
    # slopes reach 8.7: rounding is a hundred-thousandth of that
    assert all(torch.allclose(a, b, atol=1e-4) for a, b in zip(found, expected, strict=True))


def test_smart_keeps_its_copy_to_itself(make_context, sentiment_task):
    session = session_of(make_context, sentiment_task(train=16), "smart", beta=0.5)
    before = [p.detach().clone() for p in session.state.module.parameters()]
    session.step(next(session.batches()))
    now = [p.detach() for p in session.state.module.parameters()]
    slow = list(session.state.memory[smart.SLOW].values())
    assert all(torch.allclose(s, (a + b) / 2, atol=1e-6) for s, a, b in zip(slow, before, now, strict=True))
    assert any(not torch.equal(a, b) for a, b in zip(before, now, strict=True))


def test_smart_copy_predicts_without_dropout(make_context, sentiment_task):
    classifier, context = make_context(sentiment_task(train=16))
    state, batch = (session := Session(classifier, stack_of("smart"), context)).state, next(session.batches())
    state.module.train()
    slow = smart._slow_logits(state, batch)
    assert state.module.training
    assert not torch.equal(cross_entropy(state, batch).logits, cross_entropy(state, batch).logits)
    plain = state.module.eval()(input_ids=batch.input_ids, attention_mask=batch.attention_mask).logits
    assert torch.equal(slow, plain)
    assert not slow.requires_grad


def test_clip_norm_sets_the_bound_and_reports_the_share(make_context, sentiment_task):
    task = sentiment_task(train=64)
    classifier, context = make_context(task)
    table = fine_tune(classifier, stack_of("clip_norm", bound=0.2), context).telemetry
    assert (table["clipped"] == (table["grad_norm"] > 0.2)).all()
    assert table["clipped"].any()
    session = session_of(make_context, task, "clip_norm", bound=0.2)
    gradients(session, next(session.batches()))
    session.stack.after_backward(session.state)
    every = torch.cat([p.grad.flatten() for p in session.state.module.parameters()])
    assert float(every.norm()) == pytest.approx(0.2, rel=1e-4)


def test_warmup_none_starts_at_the_peak(make_context, sentiment_task):
    classifier, context = make_context(sentiment_task(train=80), epochs=2, learning_rate=1.0)
    session = Session(classifier, stack_of("warmup_none"), context)
    rates = []
    for session.state.step in range(20):
        rates.append(session.schedule())
    assert rates == pytest.approx([(20 - step) / 20 for step in range(20)])


@pytest.mark.parametrize("corrected", [False, True])
def test_unstable_is_adam_without_clipping_warm_up_and_correction(corrected, make_context, sentiment_task):
    task, given = sentiment_task(train=32), {"clip_norm": 0.01}
    session = session_of(make_context, task, "unstable", factor=4.0, bias_correction=corrected, settings=given)
    state = session.state
    shadow = {name: p.detach().clone() for name, p in state.module.named_parameters()}
    m = {name: torch.zeros_like(p) for name, p in shadow.items()}
    v = copy.deepcopy(m)
    batches = session.batches()
    for step in range(4):
        batch = next(batches)
        gradients(session, batch)
        slopes = {name: p.grad.clone() for name, p in state.module.named_parameters()}
        state.module.zero_grad()
        rate = 4 * 5e-3 * (8 - step) / 8  # 32 texts by 8, 2 epochs; it starts at its peak
        session.step(batch)
        for name, w in shadow.items():
            m[name] = 0.9 * m[name] + 0.1 * slopes[name]
            v[name] = 0.999 * v[name] + 0.001 * slopes[name] ** 2
            decay = 0.01 if w.ndim > 1 else 0.0
            by_m, by_v = (1 - 0.9 ** (step + 1), 1 - 0.999 ** (step + 1)) if corrected else (1, 1)
            shadow[name] = w - rate * (m[name] / by_m / ((v[name] / by_v).sqrt() + 1e-8) + decay * w)
        now = dict(state.module.named_parameters())
        assert all(torch.allclose(now[name].detach(), w, atol=1e-4) for name, w in shadow.items()), step
        # rounding must not add up: each step is checked on its own
        shadow = {name: p.detach().clone() for name, p in now.items()}
    table = session.telemetry.table()
    assert table["learning_rate"].tolist() == pytest.approx([4 * 5e-3 * (8 - step) / 8 for step in range(4)])
    assert not table["clipped"].any()


def test_what_follows_unstable_rescues_it(make_context, sentiment_task):
    task = sentiment_task(train=16)

    def settings(*names: str, **config):
        return session_of(make_context, task, *names, **config).context.settings

    alone = settings("unstable")
    assert (alone.warmup, alone.clip_norm) == (0.0, unstable.NEVER)
    assert alone.learning_rate == pytest.approx(unstable.Config().factor * 5e-3)
    assert settings("unstable", warmup=0.2).warmup == 0.2
    assert settings("unstable", "clip_norm") == alone.model_copy(update={"clip_norm": 5.0})
    assert settings("unstable", "small_lr") == alone.model_copy(update={"learning_rate": 2e-5})
    for other in ("clip_value", "grad_normalise", "accumulate", "smart", "r3f", "init_normal", "mixout"):
        assert settings("unstable", other) == alone
    with pytest.raises(UserError, match="'unstable' and 'llrd' cannot stack"):
        stack_of("unstable", "llrd")


def test_init_normal_draws_the_head_alone(make_context, sentiment_task):
    classifier, context = make_context(sentiment_task(train=16))
    before = {key: value.clone() for key, value in classifier.module.state_dict().items()}
    classifier.module.classifier.bias.data.fill_(1.0)
    draws = []
    for seed in range(200):
        stack_of("init_normal", std=0.3).prepare_model(classifier.module, dataclasses.replace(context, seed=seed))
        draws.append(classifier.module.classifier.weight.detach().clone())
    found = torch.stack(draws)  # 200 heads of 2 x 32 numbers
    assert float(found.std()) == pytest.approx(0.3, rel=0.03)
    assert float(found.mean()) == pytest.approx(0.0, abs=0.01)
    assert float((found.abs() < 0.3).float().mean()) == pytest.approx(0.683, abs=0.02)
    after = classifier.module.state_dict()
    assert (after.pop("classifier.bias") == 0).all()
    assert all(torch.equal(before[key], value) for key, value in after.items() if key != "classifier.weight")


@pytest.mark.parametrize("kind", ["classification", "tagging"])
def test_early_stopping_stops_and_keeps_the_first_best_epoch(kind, make_context, sentiment_task, tagging_task):
    task, size = (sentiment_task(train=96), 8) if kind == "classification" else (tagging_task, 4)
    classifier, context = make_context(task, epochs=20, batch_size=size)
    epochs: list[dict[str, torch.Tensor]] = []

    def look(step: int, total: int) -> None:
        if step % (total // 20) == 0:
            epochs.append(copy.deepcopy(classifier.module.state_dict()))

    summary = fine_tune(classifier, stack_of("early_stopping", patience=3), context, look).summary
    kept = copy.deepcopy(classifier.module.state_dict())
    scores = []
    for weights in epochs:
        classifier.module.load_state_dict(weights)
        scores.append(score(classifier, task, task.validation))
    best = scores.index(max(scores))
    assert summary["epochs"] == len(epochs) == best + 4 < 20
    assert all(torch.equal(kept[name], value) for name, value in epochs[best].items())
    assert not all(torch.equal(kept[name], value) for name, value in epochs[-1].items())
    assert summary["validation_score"] == max(scores) > min(scores)
    # scoring the epochs is not training
    assert summary["forward_passes"] == summary["backward_passes"] == summary["steps"]
    assert summary["counted_cost"] == pytest.approx(1.0)


@pytest.mark.parametrize("names", [("early_stopping", "ema"), ("ema", "early_stopping")])
def test_early_stopping_and_ema_refuse_each_other(names, make_context, sentiment_task):
    classifier, context = make_context(sentiment_task(train=16), epochs=1)
    with pytest.raises(UserError, match="early stopping"):
        fine_tune(classifier, stack_of(*names), context)
