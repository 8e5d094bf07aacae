"""Known answers of what acts on weights: optimisers, gradient hooks, initialisation, frozen parts, averages."""

from __future__ import annotations

import dataclasses
import random
from types import SimpleNamespace

import pytest
import torch
from torch.nn.utils import parametrize

from tests.training.conftest import stack_of
from training.errors import UserError
from training.hooks import Settings, cross_entropy
from training.loop import Session, fine_tune
from training.mitigations import aeda, clip_value, grad_normalise, mixout, no_bias_correction
from training.model import open_classifier

SETTINGS = Settings(learning_rate=0.1, epochs=1)


def with_gradient(*rows: list[float]):
    module = torch.nn.ParameterList([torch.zeros(len(row)) for row in rows])
    for parameter, row in zip(module, rows, strict=True):
        parameter.grad = torch.tensor(row)
    return SimpleNamespace(module=module, clipped=None)


def test_clip_value_cuts_entry_by_entry():
    state = with_gradient([0.5, -3.0], [0.1])
    clip_value.after_backward(state, clip_value.Config(value=0.4))
    assert torch.allclose(torch.cat([p.grad for p in state.module]), torch.tensor([0.4, -0.4, 0.1]))
    assert bool(state.clipped)
    clip_value.after_backward(state, clip_value.Config(value=0.4))
    assert not bool(state.clipped)


@pytest.mark.parametrize("scale", [1.0, 1e-3])
def test_grad_normalise_gives_every_gradient_the_same_length(scale):
    state = with_gradient([3.0 * scale, 0.0], [-4.0 * scale])
    grad_normalise.after_backward(state, grad_normalise.Config(norm=2.0))
    assert torch.allclose(torch.cat([p.grad for p in state.module]), torch.tensor([1.2, 0.0, -1.6]))


def test_no_bias_correction_is_adam_without_it():
    module = torch.nn.Linear(2, 1)
    weight = module.weight.detach().clone()
    optimizer = no_bias_correction.optimiser(module, SETTINGS, None)
    m = v = torch.zeros_like(weight)
    torch.manual_seed(0)
    for step in range(20):
        rate = 0.1 / (step + 1)
        for group in optimizer.param_groups:
            group["lr"] = rate
        # tiny gradients, so that eps matters too
        module.weight.grad, module.bias.grad = torch.randn(1, 2) * 1e-7, torch.zeros(1)
        m = 0.9 * m + 0.1 * module.weight.grad
        v = 0.999 * v + 0.001 * module.weight.grad**2
        weight = weight * (1 - rate * 0.01) - rate * m / (v.sqrt() + 1e-8)
        optimizer.step()
        assert torch.allclose(module.weight.detach(), weight, atol=1e-6)
        assert [group["lr"] for group in optimizer.param_groups] == [rate, rate]
        assert [group["eps"] for group in optimizer.param_groups] == [1e-8, 1e-8]
        assert [group["weight_decay"] for group in optimizer.param_groups] == [0.01, 0.0]


def test_llrd_rates_by_hand(make_context, sentiment_task):
    classifier, context = make_context(sentiment_task(train=16), learning_rate=0.01)
    session = Session(classifier, stack_of("llrd", decay=0.5), context)
    names = {id(p): name for name, p in classifier.module.named_parameters()}
    rates = {names[id(p)]: g["lr"] for g in session.state.optimizer.param_groups for p in g["params"]}
    assert len(rates) == len(names)
    expected = {"classifier": 0.01, "pooler": 0.01, ".layer.1.": 0.005, ".layer.0.": 0.0025, "embeddings": 0.00125}
    for part, rate in expected.items():
        found = [value for name, value in rates.items() if part in name]
        assert found == [pytest.approx(rate)] * len(found), part
        assert found
    assert session.base_rates[0] == 0.01
    decays = {names[id(p)]: g["weight_decay"] for g in session.state.optimizer.param_groups for p in g["params"]}
    assert all(
        decay == (0.01 if classifier.module.get_parameter(name).ndim > 1 else 0) for name, decay in decays.items()
    )


@pytest.mark.parametrize(
    ("name", "config", "rate", "decay"), [("small_lr", {}, 2e-5, 0.01), ("weight_decay", {"decay": 0.3}, 5e-3, 0.3)]
)
def test_optimiser_settings(name, config, rate, decay, make_context, sentiment_task):
    classifier, context = make_context(sentiment_task(train=16))
    session = Session(classifier, stack_of(name, **config), context)
    assert session.base_rates == [rate, rate]
    assert [group["weight_decay"] for group in session.state.optimizer.param_groups] == [decay, 0.0]


def test_mixout_is_either_pretrained_or_pushed_away_and_right_on_average():
    torch.manual_seed(0)
    pretrained, weight = torch.zeros(20, 20) + 0.5, torch.randn(20, 20)
    mixed = mixout.Mixed(pretrained, 0.75, torch.Generator().manual_seed(0))
    draws = torch.stack([mixed(weight) for _ in range(4000)])
    kept = draws != 0.5
    # w0, or w0 + (w - w0) / (1 - p)
    assert torch.allclose(draws[kept], (0.5 + (weight - 0.5) / 0.25).expand_as(draws)[kept])
    assert float(kept.float().mean()) == pytest.approx(0.25, abs=0.002)
    assert float(((draws.mean(dim=0) - weight).abs() / (weight - 0.5).abs()).max()) < 0.12
    assert mixed.eval()(weight) is weight


def test_mixout_leaves_a_plain_model_without_dropout(make_context, sentiment_task, tmp_path):
    task = sentiment_task(train=16)
    classifier, context = make_context(task, epochs=1)
    names = set(classifier.module.state_dict())
    session = Session(classifier, stack_of("mixout"), context)
    # per layer: query, key, value, attention output, intermediate, output
    assert sum(parametrize.is_parametrized(part) for part in classifier.module.modules()) == 2 * 6
    dropouts = [part.p for part in session.state.module.modules() if isinstance(part, torch.nn.Dropout)]
    assert set(dropouts) == {0.0}
    classifier, context = make_context(task, epochs=1)
    trained = fine_tune(classifier, stack_of("mixout"), context).classifier
    assert set(trained.module.state_dict()) == names
    trained.save(tmp_path)
    texts = [example.text for example in task.test]
    assert (open_classifier(tmp_path, task, 32, seed=5).logits(texts) == trained.logits(texts)).all()


@pytest.mark.parametrize(("settings", "rate"), [(("dropout", {"probability": 0.35}), 0.35), (("mixout", {}), 0.0)])
def test_dropout_reaches_layers_and_fused_attention(settings, rate, make_context, sentiment_task, monkeypatch):
    classifier, context = make_context(sentiment_task(train=16))
    name, values = settings
    module = stack_of(name, **values).prepare_model(classifier.module, context).train()
    assert {part.p for part in module.modules() if isinstance(part, torch.nn.Dropout)} == {rate}
    attend, fused = torch.nn.functional.scaled_dot_product_attention, []

    def watched(*given, dropout_p=None, **named):
        fused.append(dropout_p)
        return attend(*given, dropout_p=dropout_p, **named)

    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", watched)
    module(input_ids=torch.tensor([[2, 5, 6, 3]]), attention_mask=torch.ones(1, 4, dtype=torch.long))
    assert fused == [rate] * 2


def test_sam_steps_along_the_gradient_at_the_worst_nearby_weights(make_context, sentiment_task):
    classifier, context = make_context(sentiment_task(train=16))
    stack_of("dropout", probability=0.0).prepare_model(classifier.module, context)
    session = Session(classifier, stack_of("sam", rho=0.1), context)
    state, batch = session.state, next(session.batches())
    weights = list(state.module.parameters())
    before = [p.detach().clone() for p in weights]
    output = session.stack.loss(state, batch)
    session.accelerator.backward(output.loss)
    found = [p.grad.clone() for p in weights]
    assert all(torch.equal(p.detach(), old) for p, old in zip(weights, before, strict=True))

    gradient = torch.autograd.grad(cross_entropy(state, batch).loss, weights)
    length = sum(g.double().pow(2).sum() for g in gradient).sqrt().float()
    with torch.no_grad():
        for p, g in zip(weights, gradient, strict=True):
            p.add_(0.1 * g / length)
    sharp = cross_entropy(state, batch).loss
    expected = torch.autograd.grad(sharp, weights)
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(found, expected, strict=True))
    assert float(session.early_loss[0] + output.loss.detach()) == pytest.approx(float(sharp.detach()), abs=1e-6)


def test_ema_is_the_recursion_over_the_steps(make_context, sentiment_task):
    classifier, context = make_context(sentiment_task(train=16), epochs=3)
    start = classifier.module.classifier.weight.detach().clone()
    seen: list[torch.Tensor] = []
    stack = stack_of("ema", decay=0.3)
    module = classifier.module

    def look(step: int, total: int) -> None:
        seen.append(module.classifier.weight.detach().clone())

    fine_tune(classifier, stack, context, look)
    mean = start
    for step, weight in enumerate(seen, start=1):
        decay = min(0.3, (1 + step) / (10 + step))
        mean = decay * mean + (1 - decay) * weight
    assert torch.allclose(classifier.module.classifier.weight, mean, atol=1e-6)
    assert not torch.allclose(seen[-1], mean, atol=1e-6)
    assert not [name for name in vars(classifier.module) if "ema" in name]


def test_ema_says_what_it_does_not_go_with(make_context, sentiment_task):
    task = sentiment_task(train=16)
    classifier, context = make_context(task, epochs=1, patience=1)
    with pytest.raises(UserError, match="early stopping"):
        fine_tune(classifier, stack_of("ema"), context)
    classifier, context = make_context(task, epochs=1)
    with pytest.raises(UserError, match="name it first"):
        fine_tune(classifier, stack_of("lora", "ema"), context)
    classifier, context = make_context(task, epochs=1)
    assert "lora" not in "".join(fine_tune(classifier, stack_of("ema", "lora"), context).classifier.module.state_dict())


@pytest.mark.parametrize(
    ("name", "variance", "bound"), [("init_xavier", 2 / 34, (6 / 34) ** 0.5), ("init_he", 2 / 32, 9)]
)
def test_head_initialisation(name, variance, bound, make_context, sentiment_task):
    classifier, context = make_context(sentiment_task(train=16))
    before = {key: value.clone() for key, value in classifier.module.state_dict().items()}
    classifier.module.classifier.bias.data.fill_(1.0)
    draws = []
    for seed in range(200):
        stack_of(name).prepare_model(classifier.module, dataclasses.replace(context, seed=seed))
        draws.append(classifier.module.classifier.weight.detach().clone())
    found = torch.stack(draws)  # 200 heads of 2 x 32 numbers
    assert float(found.var()) == pytest.approx(variance, rel=0.05)
    assert float(found.mean()) == pytest.approx(0.0, abs=0.01)
    assert float(found.abs().max()) <= bound
    after = classifier.module.state_dict()
    assert (after.pop("classifier.bias") == 0).all()
    assert all(torch.equal(before[key], value) for key, value in after.items() if key != "classifier.weight")


def test_reinit_top_draws_the_last_layer_and_the_pooler_only(make_context, sentiment_task):
    classifier, context = make_context(sentiment_task(train=16))
    for parameter in classifier.module.parameters():
        parameter.data.fill_(7.0)
    stack_of("reinit_top").prepare_model(classifier.module, context)
    drawn = []
    for name, parameter in classifier.module.named_parameters():
        if "layer.1." not in name and "pooler" not in name:
            assert (parameter == 7.0).all(), name
        elif name.endswith("bias"):
            assert (parameter == 0.0).all(), name
        elif "LayerNorm" in name:
            assert (parameter == 1.0).all(), name
        else:
            drawn.append(parameter.detach().flatten())
    assert len(drawn) == 7
    assert float(torch.cat(drawn).std()) == pytest.approx(0.02, rel=0.05)
    with pytest.raises(UserError, match="this model has 2"):
        stack_of("reinit_top", layers=3).prepare_model(classifier.module, context)


@pytest.mark.parametrize("name", ["bitfit", "top_layers", "ia3"])
def test_what_learns_and_what_stays(name, make_context, sentiment_task):
    classifier, context = make_context(sentiment_task(train=16), epochs=1, weight_decay=0.5)
    before = {key: value.clone() for key, value in classifier.module.state_dict().items()}
    result = fine_tune(classifier, stack_of(name), context)
    after = result.classifier.module.state_dict()
    assert set(after) == set(before)
    changed = {key for key in before if not torch.equal(before[key], after[key])}
    head = {"classifier.weight", "classifier.bias"}
    biases = {key for key in before if key.endswith("bias")}
    # the key bias shifts all scores of a query alike, so its gradient is rounding; it may or may not move
    idle = {key for key in before if key.endswith("key.bias")}
    if name == "bitfit":
        assert changed | idle == biases | head
        expected = sum(before[key].numel() for key in biases | head)
    elif name == "top_layers":
        upper = {key for key in before if "layer.1." in key or "pooler" in key} | head
        assert changed | idle == upper | idle
        expected = sum(before[key].numel() for key in upper)
    else:
        scaled = ("key.weight", "value.weight", "key.bias", "value.bias")
        places = {k for k in before if k.endswith(scaled) or (".output.dense.weight" in k and "attention" not in k)}
        assert changed - idle <= places | head
        assert {key for key in places if key.endswith("weight")} <= changed
        expected = 2 * (32 + 32 + 64) + 66  # keys, values, feed-forward of two layers; the head
    assert result.summary["trainable_parameters"] == expected


@pytest.mark.parametrize("name", ["bitfit", "mixout", "reinit_top"])
def test_refuses_a_model_with_adapters(name, make_context, sentiment_task):
    classifier, context = make_context(sentiment_task(train=16))
    with pytest.raises(UserError, match=f"'{name}'"):
        stack_of("lora", name).prepare_model(classifier.module, context)


def test_aeda_inserts_marks_and_nothing_else():
    words = [f"w{i}" for i in range(20)]
    counts = set()
    for seed in range(300):
        made = aeda.insert_marks(words, 0.3, random.Random(seed))
        assert [word for word in made if word not in aeda.MARKS] == words
        assert made[-1] == "w19"
        counts.add(len(made) - 20)
    assert counts == set(range(1, 8))  # 1 .. floor(0.3 * 20 + 1)
    assert aeda.insert_marks(["one"], 0.9, random.Random(0))[-1] == "one"


def test_aeda_copies_depend_on_the_example_alone(make_context, sentiment_task):
    task = sentiment_task(train=12)
    _, context = make_context(task)
    forward = aeda.prepare_data(task.train, context, aeda.Config())
    backward = aeda.prepare_data(task.train[::-1], context, aeda.Config())
    assert len(forward) == 12 * 5
    assert {(e.id, e.text) for e in forward} == {(e.id, e.text) for e in backward}
    assert all(made.label == task.train[i // 5].label for i, made in enumerate(forward))
