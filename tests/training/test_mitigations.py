"""One contract for every mitigation the registry finds, and known answers for the tricky ones."""

from __future__ import annotations

import dataclasses
import random
import re

import pytest
import torch

from tests.training.conftest import stack_of, weights, without_dropout
from training import registry
from training.errors import UserError
from training.loop import Session, fine_tune
from training.mitigations import eda, saliency_guided
from training.model import open_classifier
from training.stack import Mitigation, Stack

NAMES = registry.names("training.mitigations")
FAMILIES = {"reference", "gradients", "adversarial", "generalisation", "efficiency", "interpretability", "control"}
# early_stopping: of one epoch, the best is the last; adversarial_augmentation: the plain model is still constant, so no
# text fools it; hard_labels: changes what the model answers, no weight
CHANGES_NOTHING_HERE = {"baseline", "early_stopping", "adversarial_augmentation", "hard_labels"}


def test_the_registry_found_them():
    assert {"baseline", "clip_none", "fgm", "eda", "lora", "saliency_guided"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_declares_itself(name):
    plugin = registry.load("training.mitigations", name)
    assert plugin.FAMILY in FAMILIES
    assert isinstance(plugin.VERSION, int)
    assert plugin.VERSION >= 1
    assert set(plugin.TASKS) <= {"classification", "tagging"}
    assert len(plugin.__doc__ or "") > 100
    assert re.search(r"\b(19|20)\d\d\b|our own", plugin.SOURCE), "SOURCE: authors, year, where; or our own design"
    if hasattr(plugin, "Config"):
        assert plugin.Config.__dataclass_params__.frozen


@pytest.mark.parametrize("name", NAMES)
def test_config_refuses_bad_values(name):
    plugin = registry.load("training.mitigations", name)
    with pytest.raises(UserError, match="has no setting"):
        registry.configure(plugin, {"no_such_setting": 1})
    if hasattr(plugin, "Config"):
        for field in dataclasses.fields(plugin.Config):
            with pytest.raises(UserError):
                registry.configure(plugin, {field.name: -1})


@pytest.mark.parametrize("kind", ["classification", "tagging"])
@pytest.mark.parametrize("name", NAMES)
def test_two_steps_deterministic_and_different_from_the_baseline(
    name, kind, make_context, sentiment_task, tagging_task, tmp_path
):
    plugin = registry.load("training.mitigations", name)
    if kind not in plugin.TASKS:
        pytest.skip(f"{name} is not for {kind}")
    task = sentiment_task(train=16) if kind == "classification" else tagging_task
    task = dataclasses.replace(task, train=task.train[:16])

    def train(stack: Stack):
        # a bound at which the gradients are clipped, so that leaving clipping out shows
        classifier, context = make_context(task, epochs=1, clip_norm=0.05)
        return fine_tune(classifier, stack, context)

    trained = train(stack_of(name))
    first = weights(trained.classifier.module)
    assert torch.isfinite(first).all()
    assert torch.equal(first, weights(train(stack_of(name)).classifier.module))
    plain = weights(train(Stack([])).classifier.module)
    assert torch.equal(first, plain) == (name in CHANGES_NOTHING_HERE)
    _counts_as_declared(plugin, trained.summary)
    _reopens(trained.classifier, task, tmp_path)


def _counts_as_declared(plugin, summary):
    """PASSES is what the loop counted, per step; passes made before the first step come on top."""
    counted = (summary["forward_passes"], summary["backward_passes"])
    declared = tuple(summary["steps"] * number for number in getattr(plugin, "PASSES", (1, 1)))
    if hasattr(plugin, "PREPARATION"):
        assert summary["preparation_passes"] > 0
        assert sum(counted) - summary["preparation_passes"] == pytest.approx(sum(declared))
    else:
        assert summary["preparation_passes"] == 0
        assert counted == pytest.approx(declared)


def _reopens(classifier, task, folder):
    """The stored checkpoint, opened afresh, answers as the trained model did, with gradients to its embeddings."""
    classifier.save(folder)
    again = open_classifier(folder, task, classifier.max_length, seed=5)
    if task.kind == "classification":
        texts = [example.text for example in task.test]
        assert (again.logits(texts) == classifier.logits(texts)).all()
    else:
        sentences = [example.words for example in task.test]
        for now, before in zip(again.word_logits(sentences), classifier.word_logits(sentences), strict=True):
            assert (now == before).all()
    ids = torch.tensor([[5, 6, 7, 8]])
    embeddings = again.module.get_input_embeddings()(ids).detach().requires_grad_()
    again.module(inputs_embeds=embeddings, attention_mask=torch.ones_like(ids)).logits.sum().backward()
    assert embeddings.grad is not None
    assert embeddings.grad.abs().sum() > 0


@pytest.mark.parametrize("partner", ["lora", "fgm", "masked_fine_tuning", "ema"])
@pytest.mark.parametrize("name", NAMES)
def test_stacks_or_says_why_not(name, partner, make_context, sentiment_task, tagging_task, tmp_path):
    """With a model, an early-backward, a wrapping and a step mitigation: it trains and reopens, or says why not."""
    plugin = registry.load("training.mitigations", name)
    if name == partner:
        pytest.skip("a mitigation does not stack with itself")
    task = sentiment_task(train=16) if "classification" in plugin.TASKS else tagging_task
    task = dataclasses.replace(task, train=task.train[:16])
    classifier, context = make_context(task, epochs=1)
    try:
        trained = fine_tune(classifier, stack_of(name, partner), context)
    except UserError as error:
        assert name in str(error) or partner in str(error)  # noqa: PT017
        return
    assert torch.isfinite(torch.tensor(trained.telemetry["loss"].tolist())).all()
    _reopens(trained.classifier, task, tmp_path)


def test_checkpoints_are_plain_models(make_context, sentiment_task, tmp_path):
    task = sentiment_task(train=16)
    classifier, context = make_context(task, epochs=1)
    trained = fine_tune(classifier, stack_of("lora", "fgm"), context).classifier
    trained.save(tmp_path)
    texts = [example.text for example in task.test]
    again = open_classifier(tmp_path, task, 32, seed=5)
    assert (again.logits(texts) == trained.logits(texts)).all()
    assert not list(tmp_path.glob("*.bin"))


def test_lora_trains_a_small_share(make_context, sentiment_task):
    classifier, context = make_context(sentiment_task(train=16), epochs=1)
    summary = fine_tune(classifier, stack_of("lora", rank=2), context).summary
    # 2 layers x (query, value) x 2 x 32 x rank 2, and the head's 2 x 32 weights and 2 biases
    assert summary["trainable_parameters"] == 2 * 2 * 2 * 32 * 2 + 66


@pytest.mark.parametrize("pair", [("clip_none", "clip_none"), ("fgm", "fgm")])
def test_rivals_cannot_stack(pair):
    plugin = registry.load("training.mitigations", pair[0])
    one = Mitigation("first", plugin, registry.configure(plugin, {}))
    with pytest.raises(UserError, match="'first' and 'second' cannot stack"):
        Stack([one, dataclasses.replace(one, name="second")])


def test_says_which_explainer_cannot_judge_it():
    assert stack_of("lora", "saliency_guided").trained_on("saliency_l2") == "saliency_guided"
    assert stack_of("lora", "saliency_guided").trained_on("integrated_gradients") is None


def test_backpropagating_loss_goes_outermost():
    assert [m.name for m in stack_of("saliency_guided", "fgm")._losses] == ["fgm", "saliency_guided"]


def test_fgm_gradient_is_the_sum_of_clean_and_perturbed(make_context, sentiment_task):
    classifier, context = make_context(sentiment_task(train=16))
    without_dropout(classifier.module)
    session = Session(classifier, stack_of("fgm", epsilon=0.5), context)
    state, batch = session.state, next(session.batches())
    weight = state.module.classifier.weight

    embeddings = state.embed(batch).detach().requires_grad_()
    clean = Stack([]).loss(state, batch.with_embeddings(embeddings)).loss
    gradient, of_clean = torch.autograd.grad(clean, (embeddings, weight))
    gradient = gradient * batch.word_mask[..., None]
    shift = torch.stack([0.5 * row / row.norm() for row in gradient])
    assert torch.allclose(shift.flatten(1).norm(dim=1), torch.tensor(0.5))
    moved = Stack([]).loss(state, batch.with_embeddings(embeddings.detach() + shift)).loss
    (of_moved,) = torch.autograd.grad(moved, weight)

    state.module.zero_grad()
    output = session.stack.loss(state, batch)
    session.accelerator.backward(output.loss)
    assert torch.allclose(weight.grad, of_clean + of_moved, atol=1e-6)
    assert float(output.loss.detach()) == pytest.approx(float(moved.detach()), abs=1e-6)


def test_saliency_masks_the_lowest_half_of_the_words_only():
    from types import SimpleNamespace

    from training.hooks import Batch

    ids = torch.tensor([[1, 10, 11, 12, 13, 2], [1, 10, 11, 2, 0, 0]])
    words = torch.tensor([[0, 1, 1, 1, 1, 0], [0, 1, 1, 0, 0, 0]])
    batch = Batch(ids, (ids > 0).long(), words, torch.tensor([0, 1]))
    saliency = torch.tensor([[0.0, 0.4, 0.1, 0.3, 0.2, 0.0], [0.0, 0.2, 0.9, 0.0, 0.0, 0.0]])
    masked = saliency_guided._mask_lowest(saliency, batch, SimpleNamespace(mask_token_id=99), 0.5)
    assert masked.tolist() == [[1, 10, 99, 12, 99, 2], [1, 99, 11, 2, 0, 0]]


def test_saliency_divergence_by_hand():
    clean, masked = torch.tensor([[0.0, 0.0]]), torch.tensor([[0.0, 1.0986123]])  # (1/2, 1/2) and (1/4, 3/4)
    expected = 0.5 * torch.log(torch.tensor(0.5 / 0.25)) + 0.5 * torch.log(torch.tensor(0.5 / 0.75))
    found = saliency_guided._divergence(clean, masked, torch.tensor([0]))
    assert float(found) == pytest.approx(float(expected), abs=1e-6)


def test_eda_operations():
    words = ["the", "good", "film", "was", "not", "the", "bad", "film", "of", "the", "year", "at", "all", "but", "fine"]
    synonyms = {"good": ["great"], "bad": ["poor"], "film": ["movie"]}.get

    def find(word: str) -> list[str]:
        return synonyms(word) or []

    rng = random.Random(0)
    replaced = eda.replace_synonyms(words, 0.2, rng, find)
    changed = [(a, b) for a, b in zip(words, replaced, strict=True) if a != b]
    assert len(changed) == 3
    assert set(changed) <= {("good", "great"), ("bad", "poor"), ("film", "movie")}
    assert len(eda.insert_synonyms(words, 0.2, rng, find)) == len(words) + 3
    assert sorted(eda.swap_words(words, 0.2, rng, find)) == sorted(words)
    kept = [len(eda.delete_words(words, 0.2, random.Random(i), find)) / len(words) for i in range(400)]
    assert sum(kept) / len(kept) == pytest.approx(0.8, abs=0.02)
    assert eda.delete_words(["alone"], 0.999, rng, find) == ["alone"]


def test_eda_copies_depend_on_the_example_alone(make_context, sentiment_task):
    task = sentiment_task(train=12)
    _, context = make_context(task)
    config = eda.Config(copies=4)
    forward = eda.prepare_data(task.train, context, config)
    backward = eda.prepare_data(task.train[::-1], context, config)
    assert len(forward) == 12 * 5
    assert {(e.id, e.text) for e in forward} == {(e.id, e.text) for e in backward}
    assert all(made.label == task.train[i // 5].label for i, made in enumerate(forward))


def test_sharpened_logits_are_exactly_scaled(make_context, sentiment_task):
    task = sentiment_task(train=16)
    classifier, context = make_context(task, epochs=1)
    plain = fine_tune(classifier, Stack([]), context).classifier.logits(["good film", "bad film"])
    classifier, context = make_context(task, epochs=1)
    sharp = fine_tune(classifier, stack_of("sharpened_logits"), context).classifier.logits(["good film", "bad film"])
    assert sharp == pytest.approx(20 * plain, rel=1e-4)
