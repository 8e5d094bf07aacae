"""Where rationales come from, and known answers of the losses that use them."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import pytest
import torch

from tests.training.conftest import stack_of, without_dropout
from training.errors import UserError
from training.hooks import Batch, Output
from training.loop import Session, collate, encode, fine_tune
from training.mitigations import _rationales, attention_supervision, attribution_prior, rationale_loss
from training.resources import MissingResource
from training.stack import Stack
from training.task import classified, tagged

LOSSES = ("rationale_loss", "attribution_prior", "attention_supervision")


def linear_world(rationale=((0, 1, 0, 0, 0), (0, 0, 0, 0, 0), (0, 0, 1, 0, 0))):
    """A state, a batch and a model of two classes with logits (w . sum of the embeddings, 0); the second text has no
    rationale, the third is shorter."""
    torch.manual_seed(0)
    words = torch.tensor([[0, 1, 1, 1, 0], [0, 1, 1, 1, 0], [0, 1, 1, 0, 0]])
    table, weight = torch.randn(3, 5, 4), torch.randn(5, 4, requires_grad=True)
    ids, labels = torch.zeros_like(words), torch.tensor([0, 1, 1])
    batch = Batch(ids, torch.ones_like(words), words, labels, table, rationale=torch.tensor(rationale))

    def forward(inner: Batch) -> Output:
        score = (inner.embeddings * weight).sum(dim=(1, 2))
        logits = torch.stack([score, torch.zeros_like(score)], dim=1)
        return Output(torch.nn.functional.cross_entropy(logits, inner.labels), logits)

    state = SimpleNamespace(
        embed=lambda b: b.embeddings,
        generator=torch.Generator().manual_seed(3),
        module=SimpleNamespace(get_input_embeddings=lambda: lambda _: torch.full((1, 1, 4), 9.0)),
        tokenizer=SimpleNamespace(mask_token_id=7),
    )
    return state, batch, forward, weight


def value(scalar: torch.Tensor) -> float:
    return float(scalar.detach())


def decided(classifier) -> None:
    """Gives the fresh head opinions, so that gradients are no rounding errors, and takes dropout out."""
    with torch.no_grad():
        classifier.module.classifier.weight *= 30
        classifier.module.classifier.bias[0] += 2
    without_dropout(classifier.module)


@pytest.fixture
def trained_session(make_context, sentiment_task):
    """(Session, batch) of a stack on the toy task, with a rationale in every text, and a `decided` model."""

    def make(*names: str, task=None, **config):
        classifier, context = make_context(task or sentiment_task(train=16))
        decided(classifier)
        session = Session(classifier, stack_of(*names, **config), context)
        return session, next(session.batches())

    return make


# where rationales come from


def test_words_of_the_lexicon_stand_in_and_own_rationales_stay(make_context, sentiment_task):
    _, context = make_context(sentiment_task())
    own = dataclasses.replace(classified("the good film", 1), rationale=(1, 0, 0))
    texts = ["It was SUPERB, not bad!", "the film of the actors"]
    first, second, third = _rationales.with_rationales([own, *(classified(text, 1) for text in texts)], context)
    assert first == own
    # case and punctuation do not hide a word, and both signs count
    assert second.rationale == (0, 0, 1, 0, 1)
    assert third.rationale == ()


def test_own_rationales_need_no_lexicon(make_context, sentiment_task):
    _, context = make_context(sentiment_task())
    own = dataclasses.replace(classified("the good film", 1), rationale=(1, 0, 0))
    context = dataclasses.replace(context, resource=lambda _: pytest.fail("opened"))
    assert _rationales.with_rationales([own], context) == [own]


def test_entities_stand_in_for_tagging(make_context, tagging_task):
    _, context = make_context(tagging_task)
    found = _rationales.with_rationales([tagged(("hated", "the", "plot", "story"), (0, 0, 1, 2))], context)
    assert found[0].rationale == (0, 0, 1, 1)
    plain = _rationales.with_rationales([*found, tagged(("a", "scene"), (0, 0))], context)
    assert plain[1].rationale == ()


def test_a_task_without_any_rationale_is_refused(make_context, sentiment_task):
    _, context = make_context(sentiment_task())
    with pytest.raises(UserError, match="task 'toy' has no rationales"):
        _rationales.with_rationales([classified("the film", 1)], context)


def test_without_the_lexicon_the_command_that_gets_it_is_named(make_context, sentiment_task, tmp_path):
    from training.resources import Resources

    task = sentiment_task(train=16)
    classifier, context = make_context(task)
    context = dataclasses.replace(context, resource=Resources(tmp_path).path)
    with pytest.raises(MissingResource, match="temper fetch vader-lexicon"):
        Session(classifier, stack_of("rationale_loss"), context)


@pytest.mark.resources
def test_the_fetched_lexicon(resources):
    strong = _rationales.strong_words(resources.path("vader-lexicon"))
    assert {"good", "superb", "bad", "boring", "fine", ":)"} <= strong
    assert not {"the", "film", "not", "never", ""} & strong
    assert len(strong) > 6000


def test_every_piece_of_a_rationale_word_is_marked(make_context, sentiment_task):
    classifier, _ = make_context(sentiment_task())
    # "zzz" is no word of the vocabulary: z ##z ##z
    example = dataclasses.replace(classified("the zzz film", 1), rationale=(0, 1, 0))
    batch = collate(encode([example, classified("the film", 1)], classifier), 0)
    assert batch.rationale.tolist() == [[0, 0, 1, 1, 1, 0, 0], [0] * 7]
    assert _rationales.outside(batch).tolist() == [[0, 1, 0, 0, 0, 1, 0], [0] * 7]
    assert _rationales.has_rationale(batch).tolist() == [True, False]


def test_a_text_whose_label_is_withheld_enters_no_term():
    _, batch, _, _ = linear_world()
    batch = dataclasses.replace(batch, labels=torch.tensor([0, 1, -100]))
    assert _rationales.has_rationale(batch).tolist() == [True, False, False]
    assert _rationales.outside(batch)[2].sum() == 0


@pytest.mark.parametrize("augment", ["eda", "aeda"])
def test_augmented_copies_do_not_keep_the_marks_of_the_original(augment, make_context, sentiment_task):
    _, context = make_context(sentiment_task(train=16))
    examples = stack_of("rationale_loss", augment).prepare_data(context.task.train, context)
    assert len(examples) > 16
    assert all(len(e.rationale) in (0, len(e.text.split())) for e in examples)
    assert sum(bool(e.rationale) for e in examples) == 16


# right for the right reasons


def test_rationale_penalty_of_a_linear_model_by_hand():
    state, batch, forward, weight = linear_world()
    found = rationale_loss.loss(forward, state, batch, rationale_loss.Config(weight=2.0))
    plain = forward(batch)
    p = torch.sigmoid(plain.logits[:, 0])
    # d/dx_i of log p + log (1 - p) is (1 - 2 p) w_i; outside are pieces 2 and 3 of text 0 and piece 1 of text 2
    squares = weight.square().sum(dim=1)
    expected = ((1 - 2 * p[0]) ** 2 * (squares[2] + squares[3]) + (1 - 2 * p[2]) ** 2 * squares[1]) / 3
    assert value(found.loss) == pytest.approx(value(plain.loss + 2 * expected), rel=1e-5)
    (slope,) = torch.autograd.grad(found.loss, weight)
    (by_hand,) = torch.autograd.grad(plain.loss + 2 * expected, weight)
    assert torch.allclose(slope, by_hand, atol=1e-5)


@pytest.mark.parametrize("kind", ["classification", "tagging"])
def test_rationale_penalty_agrees_with_finite_differences(kind, trained_session, tagging_task):
    session, batch = trained_session("rationale_loss", task=tagging_task if kind == "tagging" else None)
    module = session.state.module.double().eval()
    embeddings = module.get_input_embeddings()(batch.input_ids).detach()

    def scores(point: torch.Tensor) -> torch.Tensor:
        logits = module(inputs_embeds=point, attention_mask=batch.attention_mask).logits
        each = torch.log_softmax(logits, dim=-1).sum(dim=-1)
        if kind == "classification":
            return each
        entity = (batch.labels > 0).double()  # O is 0, pieces without a label are negative
        return (each * entity).sum(dim=1) / entity.sum(dim=1).clamp_min(1)

    total, pieces = 0.0, 0
    with torch.no_grad():
        for row, column in batch.word_mask.nonzero().tolist():
            if batch.rationale[row, column] or not batch.rationale[row].any():
                continue
            pieces += 1
            for dimension in range(embeddings.shape[-1]):
                step = torch.zeros_like(embeddings)
                step[row, column, dimension] = 1e-5
                total += float((scores(embeddings + step) - scores(embeddings - step))[row] / 2e-5) ** 2
    forward = lambda inner: Stack([]).loss(session.state, inner)  # noqa: E731
    with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
        point = embeddings.requires_grad_()
        # the penalty computes in single precision
        found = rationale_loss.penalty(forward(batch.with_embeddings(point)).logits, point, batch)
    assert pieces > 8
    assert value(found) == pytest.approx(total / pieces, rel=1e-4)


def test_taggers_have_a_weight_of_their_own(trained_session, tagging_task):
    session, batch = trained_session("rationale_loss", task=tagging_task, weight=7.0, tagging_weight=0.5)
    state = session.state
    state.module.eval()
    point = state.embed(batch).detach().requires_grad_()
    with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
        plain = Stack([]).loss(state, batch.with_embeddings(point))
        expected = plain.loss + 0.5 * rationale_loss.penalty(plain.logits, point, batch)
    assert value(expected) > value(plain.loss) + 1e-4
    assert value(session.stack.loss(state, batch).loss) == pytest.approx(value(expected), rel=1e-5)


def test_the_default_weight_of_taggers_is_one_at_which_they_learn():
    # at 1 the penalty's shortest way down is to answer O everywhere
    assert 0 < rationale_loss.Config().tagging_weight <= 0.02


# expected gradients


def test_expected_gradients_of_a_linear_model_by_hand_and_complete():
    state, batch, forward, weight = linear_world()
    start, alpha = attribution_prior.reference(state, batch, 1), torch.tensor([0.2, 0.5, 0.9]).view(3, 1, 1)
    found = attribution_prior.attributions(forward, batch, start, batch.embeddings, alpha, forward(batch).logits)
    sign = torch.tensor([1.0, -1.0, -1.0])  # the label's logit less the other's; only class 0 has one that moves
    by_hand = ((batch.embeddings - start) * weight).sum(dim=-1) * sign[:, None]
    assert torch.allclose(found, by_hand, atol=1e-5)
    change = forward(batch).logits[:, 0] - forward(batch.with_embeddings(start)).logits[:, 0]
    assert torch.allclose(found.sum(dim=1), sign * change, atol=1e-4)


def test_expected_gradients_are_taken_at_alpha():
    state, batch, _, _ = linear_world()

    def squared(inner: Batch) -> Output:
        score = inner.embeddings.square().sum(dim=(1, 2))
        return Output(score.sum(), torch.stack([score, torch.zeros_like(score)], dim=1))

    start, alpha = attribution_prior.reference(state, batch, 1), torch.tensor([0.2, 0.5, 0.9]).view(3, 1, 1)
    end = batch.embeddings
    found = attribution_prior.attributions(squared, batch, start, end, alpha, torch.zeros(3, 2))
    by_hand = ((end - start) * 2 * (start + alpha * (end - start))).sum(dim=-1)
    assert torch.allclose(found, by_hand * torch.tensor([1.0, -1.0, -1.0])[:, None], atol=1e-4)


def test_the_rival_is_the_largest_other_logit():
    _, batch, _, _ = linear_world()

    def three(inner: Batch) -> Output:
        score = inner.embeddings.sum(dim=(1, 2))
        return Output(score.sum(), torch.stack([score, 10 * score, 100 * score], dim=1))

    clean = torch.tensor([[9.0, 1.0, 2.0], [9.0, 1.0, 2.0], [0.0, 1.0, 2.0]])  # labels 0, 1, 1: rivals 2, 0, 2
    start = torch.zeros_like(batch.embeddings)
    found = attribution_prior.attributions(three, batch, start, batch.embeddings, torch.ones(3, 1, 1), clean)
    factor = torch.tensor([1.0 - 100, 10 - 1, 10 - 100])
    assert torch.allclose(found, batch.embeddings.sum(dim=-1) * factor[:, None], rtol=1e-4, atol=1e-3)


def test_the_reference_is_another_text_at_words_and_the_mask_where_it_has_none():
    state, batch, _, _ = linear_world()
    start, table = attribution_prior.reference(state, batch, 1), batch.embeddings
    assert torch.equal(start[0, 1:4], table[1, 1:4])
    assert torch.equal(start[1, 1:3], table[2, 1:3])
    assert torch.equal(start[1, 3], torch.full((4,), 9.0))  # text 2 has two words only
    assert torch.equal(start[:, [0, 4]], table[:, [0, 4]])  # special tokens stay
    assert torch.equal(start[2, 3], table[2, 3])
    alone = attribution_prior.reference(state, batch.select(slice(0, 1)), 0)
    assert torch.equal(alone[0, 1:4], torch.full((3, 4), 9.0))


def test_attribution_penalty_counts_pieces_outside_only():
    state, batch, forward, weight = linear_world()
    found = attribution_prior.loss(forward, state, batch, attribution_prior.Config(weight=2.0))
    turn = int(torch.randint(1, 3, (1,), generator=torch.Generator().manual_seed(3)))
    step = batch.embeddings - attribution_prior.reference(state, batch, turn)
    size = (step * weight).sum(dim=-1).abs()  # of a linear model, whatever alpha
    expected = forward(batch).loss + 2 * (size[0, 2] + size[0, 3] + size[2, 1]) / 3
    assert value(found.loss) == pytest.approx(value(expected), rel=1e-5)


# attention


def test_attention_target_by_hand():
    words, marks = torch.tensor([[0, 1, 1, 1, 0], [0, 1, 1, 0, 0]]), torch.tensor([[0, 0, 1, 0, 0], [0, 1, 1, 0, 0]])
    batch = Batch(torch.zeros_like(words), torch.ones_like(words), words, torch.tensor([0, 1]), rationale=marks)
    found = attention_supervision.target(batch, sharpness=1.0986123)  # e to this is 3
    assert torch.allclose(found, torch.tensor([[0, 0.2, 0.6, 0.2, 0], [0, 0.5, 0.5, 0, 0]]), atol=1e-6)


def test_attention_is_the_models_own(trained_session):
    session, batch = trained_session("attention_supervision", heads=1.0)
    module = session.state.module.eval()
    seen = {}
    for index, part in attention_supervision.last_projections(module):
        part.register_forward_hook(lambda _, __, out, index=index: seen.update({index: out}))
    module.set_attn_implementation("eager")
    output = module(input_ids=batch.input_ids, attention_mask=batch.attention_mask, output_attentions=True)
    found = attention_supervision.log_attention(seen[0], seen[1], batch, 2)
    expected = output.attentions[-1][:, :, 0].clamp_min(1e-30).log() * batch.word_mask[:, None]
    assert torch.allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize(("heads", "count"), [(0.01, 1), (0.5, 1), (1.0, 2)])
def test_attention_loss_is_cross_entropy_of_the_first_heads(heads, count, trained_session):
    session, batch = trained_session("attention_supervision", heads=heads, weight=3.0)
    session.state.module.eval()
    found = session.stack.loss(session.state, batch).loss
    plain = Stack([]).loss(session.state, batch).loss
    session.state.module.set_attn_implementation("eager")
    output = session.state.module(
        input_ids=batch.input_ids, attention_mask=batch.attention_mask, output_attentions=True
    )
    wanted = torch.zeros_like(batch.rationale, dtype=torch.float)
    for row, (words, marks) in enumerate(zip(batch.word_mask, batch.rationale, strict=True)):
        wanted[row, words == 1] = torch.softmax(5.0 * marks[words == 1].float(), dim=0)
    terms = [
        -(wanted[row, words == 1] * output.attentions[-1][row, head, 0, words == 1].log()).sum()
        for row, words in enumerate(batch.word_mask)
        for head in range(count)
    ]
    assert value(found) == pytest.approx(value(plain + 3 * torch.stack(terms).mean()), rel=1e-4)


def test_other_attention_is_refused(trained_session):
    session, batch = trained_session("attention_supervision")
    session.state.module.config.model_type = "deberta"
    with pytest.raises(UserError, match="cannot read the attention of a deberta encoder"):
        session.stack.loss(session.state, batch)
    assert not any(part._forward_hooks for part in session.state.module.bert.modules())


# all three


@pytest.mark.parametrize("name", LOSSES)
def test_texts_without_a_rationale_add_nothing(name, trained_session):
    session, batch = trained_session(name, weight=5.0)
    session.state.module.eval()
    none = dataclasses.replace(batch, rationale=torch.zeros_like(batch.input_ids))
    plain = Stack([]).loss(session.state, batch).loss
    for bare in (none, dataclasses.replace(batch, rationale=None)):
        assert value(session.stack.loss(session.state, bare).loss) == pytest.approx(value(plain), abs=1e-5)
    marked = value(session.stack.loss(session.state, batch).loss)
    assert marked > value(plain) + 1e-4
    # one text of eight with a rationale: the others are in no mean
    alone = none.rationale.clone()
    alone[0] = batch.rationale[0]
    if name != "attribution_prior":  # its reference is another text of the batch
        mixed = session.stack.loss(session.state, dataclasses.replace(batch, rationale=alone)).loss - plain
        single = batch.select(slice(0, 1))
        term = session.stack.loss(session.state, single).loss - Stack([]).loss(session.state, single).loss
        assert value(mixed) == pytest.approx(value(term), rel=1e-3)


@pytest.mark.parametrize("kind", ["classification", "tagging"])
@pytest.mark.parametrize("name", LOSSES)
def test_a_step_on_the_penalty_lowers_it(name, kind, trained_session, tagging_task):
    if kind == "tagging" and name == "attention_supervision":
        pytest.skip("not for tagging")
    session, batch = trained_session(name, task=tagging_task if kind == "tagging" else None)
    state = session.state
    state.module.eval()

    def penalty() -> torch.Tensor:
        state.generator.manual_seed(0)  # the same reference and alpha
        return session.stack.loss(state, batch).loss - Stack([]).loss(state, batch).loss

    before = penalty()
    before.backward()
    gradients = {key: p.grad for key, p in state.module.named_parameters() if p.grad is not None}
    assert any(part in key for key in gradients for part in ("layer.0.", "layer.1."))
    norm = torch.stack([g.norm() for g in gradients.values()]).norm()
    assert norm > 0
    with torch.no_grad():
        for key, parameter in state.module.named_parameters():
            if key in gradients:
                parameter -= 0.02 * gradients[key] / norm
    assert value(penalty()) < value(before)


@pytest.mark.parametrize("outer", ["fgm", "r_drop", "mixout", "lora", "masked_fine_tuning"])
@pytest.mark.parametrize("name", LOSSES)
def test_they_stack(name, outer, make_context, sentiment_task):
    task = sentiment_task(train=16)
    for names in ((outer, name), (name, outer)):
        classifier, context = make_context(task, epochs=1)
        trained = fine_tune(classifier, stack_of(*names), context)
        assert torch.isfinite(torch.tensor(trained.summary["validation_score"]))
