"""Known answers of the generalisation family: mixed states, group weights, masked pieces, transferred encoders."""

from __future__ import annotations

import dataclasses
import math
import random
from types import SimpleNamespace

import pytest
import torch
from seqeval.scheme import IOB2, Entities

from tests.training.conftest import stack_of
from training.errors import UserError
from training.hooks import IGNORE, Batch, Output
from training.loop import Coded, Session, collate, fine_tune
from training.mitigations import _masked_language, group_dro, intermediate_task, jtt, tapt, tmix
from training.mitigations import label_preserving_ner_augmentation as augmentation
from training.model import open_classifier
from training.stack import Stack
from training.task import Example, tagged


def weights(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in module.state_dict().items()}


# label_preserving_ner_augmentation

LABELS = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC")


def test_a_sentence_is_cut_into_mentions_and_words() -> None:
    words = ["Ada", "Bo", "Cy", "saw", "New", "York", "Rome"]
    example = tagged(words, [1, 2, 1, 0, 3, 4, 3])
    assert augmentation.segments(example, LABELS) == [
        *[("PER", ("Ada", "Bo")), ("PER", ("Cy",)), ("", ("saw",)), ("LOC", ("New", "York")), ("LOC", ("Rome",))]
    ]
    assert augmentation.mentions([example, example], LABELS) == {
        "PER": [("Ada", "Bo"), ("Cy",)],
        "LOC": [("New", "York"), ("Rome",)],
    }


def test_a_mention_of_other_length_is_tagged_by_hand() -> None:
    example = tagged(["Cy", "saw", "New", "York", "again"], [1, 0, 3, 4, 0])
    parts = augmentation.segments(example, LABELS)
    pools = {"PER": [("Ada", "van", "Bo"), ("Cy",)], "LOC": [("New", "York"), ("Rome",)]}
    synonyms = {"again": ["anew"]}
    changed = augmentation.change(parts, pools, lambda word: synonyms.get(word, []), 1.0, random.Random(0))
    made = augmentation.assemble(example, "copy", changed, LABELS)
    assert made.words == ("Ada", "van", "Bo", "saw", "Rome", "anew")
    assert [LABELS[tag] for tag in made.tags] == ["B-PER", "I-PER", "I-PER", "O", "B-LOC", "O"]
    assert (made.id, made.text) == ("copy", "Ada van Bo saw Rome anew")


def test_augmented_copies_keep_their_entities(make_context, tagging_task) -> None:
    _, context = make_context(tagging_task)
    config = augmentation.Config(share=0.6, copies=5)
    made = augmentation.prepare_data(tagging_task.train, context, config)
    assert len(made) == 6 * len(tagging_task.train)
    assert len({example.id for example in made}) == len(made)
    pool = set(augmentation.mentions(tagging_task.train, tagging_task.labels)["THING"])
    lengths = set()
    for index, example in enumerate(made):
        names = [tagging_task.labels[tag] for tag in example.tags]
        assert len(names) == len(example.words)
        assert example.text == " ".join(example.words)
        found = [words for kind, words in augmentation.segments(example, tagging_task.labels) if kind]
        strict = Entities([names], IOB2).entities[0]
        assert [example.words[e.start : e.end] for e in strict] == found
        assert set(found) <= pool
        original = tagging_task.train[index // 6]
        assert len(found) == sum(tagging_task.labels[tag][0] == "B" for tag in original.tags)
        lengths.add(len(example.words) - len(original.words))
    assert {-1, 0, 1} <= lengths  # mentions of one word have been replaced by ones of two, and the other way round
    backward = augmentation.prepare_data(tagging_task.train[::-1], context, config)
    assert {(e.id, e.words, e.tags) for e in backward} == {(e.id, e.words, e.tags) for e in made}


# tmix


def mixing_world(make_context, sentiment_task, lengths=(5, 8, 7)):
    """A model in eval mode with weights large enough for texts to differ, a padded batch and a permutation of it."""
    classifier, context = make_context(sentiment_task(train=16))
    state = Session(classifier, Stack([]), context).state
    module = state.module.eval()
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.ndim > 1:
                parameter.normal_(0.0, 0.3)
    pieces = [torch.randint(5, 40, (length - 2,)).tolist() for length in lengths]
    rows = [Coded([2, *row, 3], [0, *[1] * len(row), 0], i % 2) for i, row in enumerate(pieces)]
    return state, module, collate(rows, 0), torch.tensor([1, 2, 0])


def plain_forward(state):
    def forward(inner: Batch) -> Output:
        output = Stack([]).loss(state, inner)
        return Output(output.loss.detach(), output.logits.detach())

    return forward


def test_tmix_at_one_is_the_plain_loss(make_context, sentiment_task) -> None:
    state, module, batch, order = mixing_world(make_context, sentiment_task, lengths=(8, 8, 8))
    layers = tmix.blocks(module)
    output = tmix.mixed(plain_forward(state), batch, layers[1:], order, 1.0)
    plain = plain_forward(state)(batch)
    assert torch.allclose(output.logits, plain.logits, atol=1e-6)
    assert float(output.loss) == pytest.approx(float(plain.loss), abs=1e-6)
    # the hooks are gone
    assert torch.equal(plain_forward(state)(batch).logits, plain.logits)


@pytest.mark.parametrize("block", [0, 1])
def test_tmix_is_a_forward_of_the_mixed_states(make_context, sentiment_task, block) -> None:
    state, module, batch, order = mixing_world(make_context, sentiment_task)
    layers, share = tmix.blocks(module), 0.5
    assert layers == list(module.bert.encoder.layer)
    output = tmix.mixed(plain_forward(state), batch, layers[block:], order, share)

    def additive(mask: torch.Tensor) -> torch.Tensor:
        return (1.0 - mask[:, None, None, :].float()) * torch.finfo(torch.float).min

    mask = batch.attention_mask
    states = module.bert.embeddings(input_ids=batch.input_ids)

    def after(layer: torch.nn.Module, states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        found = layer(states, mask)
        return found if isinstance(found, torch.Tensor) else found[0]

    for layer in layers[:block]:
        states = after(layer, states, additive(mask))
    states = share * states + (1 - share) * states[order]
    union = additive(((mask + mask[order]) > 0).long())
    for layer in layers[block:]:
        states = after(layer, states, union)
    logits = module.classifier(module.bert.pooler(states)).detach()
    assert torch.allclose(output.logits, logits, atol=1e-5)
    log_p = logits.log_softmax(dim=1)
    target = share * torch.eye(2)[batch.labels] + (1 - share) * torch.eye(2)[batch.labels[order]]
    assert float(output.loss) == pytest.approx(float(-(target * log_p).sum(dim=1).mean()), abs=1e-5)
    # the texts differ, and so do the plain model's answers
    assert float((logits - plain_forward(state)(batch).logits).abs().min()) > 0.01


def test_tmix_draws_the_upper_half_and_a_share_of_at_least_a_half(monkeypatch) -> None:
    drawn = []
    monkeypatch.setattr(tmix, "blocks", lambda _: list("abcdef"))
    monkeypatch.setattr(tmix, "mixed", lambda _, __, layers, order, share: drawn.append((layers[0], order, share)))
    state = SimpleNamespace(module=None, generator=torch.Generator().manual_seed(0))
    for _ in range(200):
        tmix.loss(lambda _: None, state, SimpleNamespace(labels=torch.zeros(4)), tmix.Config(alpha=16.0))
    assert {layer for layer, _, _ in drawn} == {"d", "e", "f"}
    shares = torch.tensor([share for _, _, share in drawn])
    assert shares.min() >= 0.5
    # Beta(16, 16) has the standard deviation 1 / (2 sqrt(33)); its mean distance from 1/2 is about 0.8 of that
    assert float(shares.mean()) == pytest.approx(0.5 + math.sqrt(2 / math.pi) / (2 * math.sqrt(33)), abs=0.01)
    assert all(sorted(order.tolist()) == [0, 1, 2, 3] for _, order, _ in drawn)


def test_tmix_refuses_a_pass_with_other_texts(make_context, sentiment_task) -> None:
    state, module, batch, order = mixing_world(make_context, sentiment_task)
    half = lambda inner: plain_forward(state)(inner.select(slice(0, 2)))  # noqa: E731
    with pytest.raises(UserError, match="changes how many texts"):
        tmix.mixed(half, batch, tmix.blocks(module)[1:], order, 0.5)


# group_dro


def grouped(task_groups=("a", "b", "c"), sizes=(4, 1, 16), kind="classification"):
    examples = [Example(f"{g}-{i}", "x", i % 2, group=g) for g, size in enumerate(sizes) for i in range(size)]
    task = SimpleNamespace(groups=task_groups, kind=kind, labels=("no", "yes"), train=tuple(examples))
    return SimpleNamespace(context=SimpleNamespace(task=task), memory={}, step=0)


def test_group_weights_by_hand_for_three_steps() -> None:
    state, config = grouped(), group_dro.Config(step_size=0.5, adjustment=2.0, balance=False)
    groups, labels = torch.tensor([0, 0, 2, -1]), torch.tensor([0, 1, 0, 1])
    batch = Batch(labels[:, None], labels[:, None], labels[:, None], labels, groups=groups)
    q = [1 / 3] * 3
    for step in range(3):
        logits = torch.tensor([[1.0 + step, 0.0], [0.5, 0.0], [0.0, 2.0], [9.0, 0.0]])
        pairs = zip(logits.tolist(), labels.tolist(), strict=True)
        ce = [math.log(math.exp(row[0]) + math.exp(row[1])) - row[y] for row, y in pairs]
        mean = [(ce[0] + ce[1]) / 2, 0.0, ce[2]]
        raw = [q[g] * math.exp(0.5 * (mean[g] + 2 / math.sqrt(n))) for g, n in enumerate((4, 1, 16))]
        q = [value / sum(raw) for value in raw]
        inner = Output(torch.nn.functional.cross_entropy(logits, labels), logits)
        output = group_dro.loss(lambda _, inner=inner: inner, state, batch, config)
        assert state.memory["group_dro:weights"][0].tolist() == pytest.approx(q, abs=1e-6)
        assert float(output.loss) == pytest.approx(sum(a * b for a, b in zip(q, mean, strict=True)), abs=1e-5)
        # a second pass in the same step uses the weights as they are
        again = group_dro.loss(lambda _, inner=inner: inner, state, batch, config)
        assert float(again.loss) == pytest.approx(float(output.loss), abs=1e-6)
        state.step += 1


def test_group_dro_keeps_what_an_inner_loss_adds() -> None:
    state, config = grouped(), group_dro.Config()
    labels = torch.tensor([0, 1])
    batch = Batch(labels[:, None], labels[:, None], labels[:, None], labels, groups=torch.tensor([0, 2]))
    logits = torch.tensor([[1.0, 0.0], [2.0, 0.0]])
    plain = torch.nn.functional.cross_entropy(logits, labels)
    without = group_dro.loss(lambda _: Output(plain, logits), state, batch, config).loss
    with_penalty = group_dro.loss(lambda _: Output(plain + 7, logits), state, batch, config).loss
    assert float(with_penalty - without) == pytest.approx(7, abs=1e-5)


def test_groups_where_a_task_has_none(tagging_task) -> None:
    labels = torch.tensor([[IGNORE, 0, 2, IGNORE], [IGNORE, 0, 0, IGNORE]])
    batch = Batch(labels, labels, labels, labels)
    state = SimpleNamespace(context=SimpleNamespace(task=tagging_task), module=None)
    assert group_dro.batch_groups(batch, state).tolist() == [1, 0]
    # in a user's task O need not be the first label, but in a span head class 0 is always no entity
    last = dataclasses.replace(tagging_task, labels=("B-THING", "I-THING", "O"))
    state = SimpleNamespace(context=SimpleNamespace(task=last), module=None)
    assert group_dro.batch_groups(batch, state).tolist() == [1, 1]
    state.module = SimpleNamespace(config=SimpleNamespace(span_width=2))
    assert group_dro.batch_groups(batch, state).tolist() == [1, 0]
    with_entity = sum(any(example.tags) for example in tagging_task.train)
    assert group_dro._sizes(tagging_task).tolist() == [len(tagging_task.train) - with_entity, with_entity]
    state = grouped(task_groups=())
    assert group_dro._sizes(state.context.task).tolist() == [11, 10]
    answers = torch.tensor([1, 0, IGNORE])
    assert group_dro.batch_groups(Batch(answers, answers, answers, answers), state).tolist() == [1, 0, IGNORE]


def test_tagging_groups_are_means_over_labelled_pieces(tagging_task) -> None:
    state = SimpleNamespace(context=SimpleNamespace(task=tagging_task), memory={}, step=0, module=None)
    labels = torch.tensor([[IGNORE, 0, 2, IGNORE], [IGNORE, 0, IGNORE, IGNORE]])
    torch.manual_seed(0)
    logits = torch.randn(2, 4, 3)
    plain = torch.nn.functional.cross_entropy(logits.reshape(-1, 3), labels.flatten())
    batch = Batch(labels, labels, labels, labels)
    output = group_dro.loss(lambda _: Output(plain, logits), state, batch, group_dro.Config(step_size=1.0))
    ce = -logits.log_softmax(dim=-1)
    entity, none = float((ce[0, 1, 0] + ce[0, 2, 2]) / 2), float(ce[1, 1, 0])
    raw = [math.exp(none), math.exp(entity)]
    expected = (raw[0] * none + raw[1] * entity) / sum(raw)
    assert float(output.loss) == pytest.approx(expected, abs=1e-5)


def test_small_groups_are_repeated_until_equal() -> None:
    context = grouped(sizes=(4, 1, 16)).context
    made = group_dro.prepare_data(context.task.train, context, group_dro.Config())
    assert [sum(example.group == g for example in made) for g in range(3)] == [16, 16, 16]
    assert len({example.id for example in made}) == len(made)
    assert group_dro.prepare_data(context.task.train, context, group_dro.Config(balance=False)) is context.task.train


# jtt


def test_jtt_repeats_exactly_the_errors(make_context, sentiment_task, monkeypatch) -> None:
    task = sentiment_task(train=40)
    # one wrong label in ten is what a model that has learned the rest gets wrong
    flipped = {example.id for example in task.train[::10]}
    train = tuple(dataclasses.replace(e, label=1 - e.label) if e.id in flipped else e for e in task.train)
    task = dataclasses.replace(task, train=train)
    seen = {}

    def watching(classifier, examples):
        predicted = classifier.logits([example.text for example in examples]).argmax(axis=1)
        seen["errors"] = {e.id for e, found in zip(examples, predicted, strict=True) if found != e.label}
        return real(classifier, examples)

    real = jtt.wrong
    monkeypatch.setattr(jtt, "wrong", watching)
    _, context = make_context(task, epochs=32)
    extra = (*task.train, Example("none", "the film was", None))
    made = jtt.prepare_data(extra[:40], context, jtt.Config(upweight=3))
    assert flipped & seen["errors"]
    assert len(seen["errors"]) < 20
    counts = {e.id: sum(m.id.partition("-jtt")[0] == e.id for m in made) for e in task.train}
    assert counts == {e.id: 3 if e.id in seen["errors"] else 1 for e in task.train}
    assert all(m.text == e.text and m.label == e.label for m in made for e in task.train if m.id.startswith(e.id))
    assert len({example.id for example in made}) == len(made)
    assert "none" not in real(make_context(task)[0], extra)


def test_jtt_counts_a_sentence_as_wrong_when_one_tag_is(make_context, tagging_task, monkeypatch) -> None:
    classifier, _ = make_context(tagging_task)
    answers = [["O", "B-THING", "O", "O"], ["O", "O", "B-THING", "O", "O"]]
    monkeypatch.setattr(jtt, "predict_tags", lambda *_: answers)
    assert jtt.wrong(classifier, tagging_task.train[:2]) == {tagging_task.train[1].id}


# tapt


def test_masking_has_the_shares_of_bert() -> None:
    words = torch.ones(400, 50, dtype=torch.long)
    words[:, 0] = words[:, -1] = 0
    pieces = torch.full_like(words, 7)
    batch = Batch(pieces, torch.ones_like(words), words, torch.zeros(400))
    ids, labels = _masked_language.mask(batch, 0.15, 4, 1000, torch.Generator().manual_seed(0))
    chosen = labels != IGNORE
    assert (labels[chosen] == 7).all()
    assert not chosen[words == 0].any()
    assert torch.equal(ids[~chosen], pieces[~chosen])
    assert float(chosen.sum() / words.sum()) == pytest.approx(0.15, abs=0.01)
    assert float((ids[chosen] == 4).float().mean()) == pytest.approx(0.8, abs=0.02)
    assert float((ids[chosen] == 7).float().mean()) == pytest.approx(0.1, abs=0.02)
    other = ids[chosen & (ids != 4) & (ids != 7)]
    assert len(other) / int(chosen.sum()) == pytest.approx(0.1, abs=0.02)
    assert len(set(other.tolist())) > 150


def test_the_head_is_asked_only_where_it_has_to_answer(make_context, sentiment_task) -> None:
    classifier, _ = make_context(sentiment_task(train=8))
    model = _masked_language.masked_model(classifier.module, "tapt").eval()
    ids = torch.randint(5, 40, (3, 6), generator=torch.Generator().manual_seed(0))
    attention, chosen = torch.ones_like(ids), ids % 3 == 0
    attention[0, 4:] = 0
    with torch.no_grad():
        found = _masked_language.chosen_logits(model, ids, attention, chosen)
        every = model(input_ids=ids, attention_mask=attention).logits
    assert 0 < len(found) < ids.numel()
    assert torch.allclose(found, every[chosen], atol=1e-6)
    nowhere = _masked_language.chosen_logits(model, ids, attention, torch.zeros_like(chosen))
    assert nowhere.shape == (0, every.shape[-1])


def test_tapt_moves_the_encoder_and_nothing_else(make_context, sentiment_task) -> None:
    classifier, context = make_context(sentiment_task(train=32))
    before, state = weights(classifier.module), torch.random.get_rng_state()
    after = weights(tapt.prepare_model(classifier.module, context, tapt.Config(learning_rate=1e-2)))
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert {"bert.embeddings.word_embeddings.weight", "bert.encoder.layer.0.attention.self.query.weight"} <= moved
    assert all(name.startswith(("bert.embeddings", "bert.encoder")) for name in moved)
    assert set(before) == set(after)
    assert context.passes.forward == context.passes.backward == 2 * 4
    assert all(parameter.grad is None for parameter in classifier.module.parameters())
    assert torch.equal(torch.random.get_rng_state(), state)  # fine-tuning draws what it would have drawn


def test_tapt_uses_withheld_texts_but_no_label(make_context, sentiment_task) -> None:
    task = sentiment_task(train=32)
    hidden = tuple(dataclasses.replace(example, label=None) for example in task.train)

    def trained(**changes) -> dict[str, torch.Tensor]:
        classifier, context = make_context(task)
        context = dataclasses.replace(context, **changes)
        return weights(tapt.prepare_model(classifier.module, context, tapt.Config()))

    all_known = trained()
    mixed = trained(task=dataclasses.replace(task, train=hidden[:8]), unlabelled=hidden[8:])
    assert all(torch.equal(all_known[name], mixed[name]) for name in all_known)


def test_tapt_takes_the_checkpoints_own_head_and_ties_a_fresh_one(make_context, sentiment_task, tmp_path) -> None:
    from transformers import BertForMaskedLM

    task = sentiment_task(train=8)
    classifier, _ = make_context(task)
    fresh = _masked_language.masked_model(classifier.module, "tapt")
    table = classifier.module.get_input_embeddings().weight
    assert fresh.get_output_embeddings().weight is table
    assert fresh.base_model is classifier.module.base_model
    with torch.no_grad():
        fresh.cls.predictions.bias.fill_(0.25)
    assert isinstance(fresh, BertForMaskedLM)
    fresh.save_pretrained(tmp_path)
    classifier.tokenizer.save_pretrained(tmp_path)
    again = open_classifier(tmp_path, task, 32, seed=1)
    own = _masked_language.masked_model(again.module, "tapt")
    assert (own.cls.predictions.bias == 0.25).all()
    assert torch.equal(own.cls.predictions.transform.dense.weight, fresh.cls.predictions.transform.dense.weight)
    assert own.get_output_embeddings().weight is again.module.get_input_embeddings().weight


def test_tapt_lowers_the_masked_loss(make_context, sentiment_task, monkeypatch) -> None:
    task = sentiment_task(train=96)
    classifier, context = make_context(task)
    model = _masked_language.masked_model(classifier.module, "tapt")
    monkeypatch.setattr(tapt, "masked_model", lambda *_: model)  # to see its head too, which is thrown away else
    rows = _masked_language.tokenised([e.text for e in task.test], context.tokenizer, 32)

    def loss() -> float:
        model.eval()
        with torch.no_grad():
            return float(tapt.masked_loss(model, rows, context.tokenizer, 0.15, torch.Generator().manual_seed(0)))

    before = loss()
    tapt.prepare_model(classifier.module, context, tapt.Config(epochs=10, learning_rate=3e-3))
    assert loss() < before - 1


@pytest.mark.parametrize("name", ["tapt", "intermediate_task"])
def test_adapters_come_after(name, make_context, sentiment_task) -> None:
    classifier, context = make_context(sentiment_task(train=8), epochs=1)
    with pytest.raises(UserError, match=f"name it first, as in '{name}\\+lora'"):
        Session(classifier, stack_of("lora", name), context)
    classifier, context = make_context(sentiment_task(train=8), epochs=1)
    Session(classifier, stack_of(name, "lora"), context)


# intermediate_task


def test_the_encoder_is_transferred_and_the_head_is_not(make_context, sentiment_task, tagging_task) -> None:
    review, context = make_context(sentiment_task(train=16))
    tagger = context.build(task=tagging_task).module
    with torch.no_grad():
        for parameter in tagger.parameters():
            parameter.add_(1.0)
    before = weights(review.module)
    intermediate_task.transfer(tagger, review.module)
    after, given = weights(review.module), weights(tagger)
    for name, value in after.items():
        if name.startswith(("bert.embeddings", "bert.encoder")):
            assert torch.equal(value, given[name])
        else:  # the head, and the pooler that a tagger has not
            assert torch.equal(value, before[name])
    assert not any(name.startswith("bert.pooler") for name in given)


def test_the_other_task_is_what_the_encoder_was_trained_on(make_context, sentiment_task, tagging_task) -> None:
    task = sentiment_task(train=16)
    asked = []

    def run(epochs: int) -> tuple[dict, dict]:
        classifier, context = make_context(task)
        context = dataclasses.replace(context, open_task=lambda name: asked.append(name) or tagging_task)
        before = weights(classifier.module)
        state = torch.random.get_rng_state()
        intermediate_task.prepare_model(classifier.module, context, intermediate_task.Config(epochs=epochs, texts=16))
        assert torch.equal(torch.random.get_rng_state(), state)
        assert context.passes.forward == context.passes.backward == epochs * 2
        return before, weights(classifier.module)

    before, after = run(3)
    _, _ = classifier_and_context = make_context(tagging_task, epochs=3)
    expected = fine_tune(*_first_sixteen(*classifier_and_context)).classifier.module
    for name, value in weights(expected).items():
        if name.startswith("bert."):
            assert torch.equal(after[name], value)
    assert torch.equal(after["classifier.weight"], before["classifier.weight"])
    assert asked == ["ner_finance"]


def _first_sixteen(classifier, context):
    task = dataclasses.replace(context.task, train=context.task.train[:16])
    return classifier, Stack([]), dataclasses.replace(context, task=task)


def test_no_evaluation_text_is_learned_beforehand(make_context, sentiment_task) -> None:
    task = sentiment_task(train=16)
    _, context = make_context(task)
    leaky = dataclasses.replace(task, name="leaky", train=(*task.test, *task.out_of_domain["elsewhere"], *task.train))
    context = dataclasses.replace(context, open_task=lambda _: leaky)
    other = intermediate_task.intermediate(context, intermediate_task.Config(texts=10))
    assert other.train == task.train[:10]
    assert intermediate_task.DEFAULT == {"classification": "ner_finance", "tagging": "movie_reviews"}
    with pytest.raises(UserError, match="Choose another task"):
        intermediate_task.intermediate(context, intermediate_task.Config(task="toy"))
