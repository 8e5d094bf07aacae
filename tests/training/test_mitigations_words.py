"""Known answers of the word-level and embedding-space adversarial mitigations."""

from __future__ import annotations

import dataclasses
import importlib
from collections import Counter
from types import SimpleNamespace

import pytest
import torch

from tests.training.conftest import stack_of, without_dropout
from training.errors import UserError
from training.hooks import IGNORE, Batch, Context
from training.loop import Session, fine_tune
from training.mitigations import _substitutes, a2t, adversarial_augmentation, ascc, freelb_pp, random_synonyms
from training.stack import Stack

SUBJECTS, GOOD, BAD = ("film", "movie", "plot"), ("good", "fine", "great"), ("bad", "poor", "dull")
MEANING = {word: group for group in (SUBJECTS, GOOD, BAD) for word in group}


def number(one: torch.Tensor) -> float:
    return float(one.detach())


def encoded(tokenizer, texts: list[str], labels: list) -> Batch:
    made = tokenizer(texts, padding=True, return_tensors="pt")
    special = torch.tensor(tokenizer.all_special_ids)
    words = (~torch.isin(made["input_ids"], special)).long()
    return Batch(made["input_ids"], made["attention_mask"], words, torch.tensor(labels))


def words_of(tokenizer, row: torch.Tensor) -> list[str]:
    return tokenizer.convert_ids_to_tokens(row.tolist())


def vocabulary(state, word: str) -> int:
    return state.tokenizer.get_vocab()[word]


@pytest.fixture
def session(make_context, sentiment_task):
    """(names, **config) -> a Session on the toy task, no dropout."""

    def make(*names: str, task=None, **config) -> Session:
        classifier, context = make_context(task or sentiment_task(train=16))
        without_dropout(classifier.module)
        return Session(classifier, stack_of(*names, **config), context)

    return make


@pytest.fixture(scope="module")
def trained(make_context, sentiment_task):
    """A Session whose model has learnt which words decide: at random weights all gradients are rounding."""
    classifier, context = make_context(sentiment_task(train=96), epochs=6)
    without_dropout(classifier.module)
    run = Session(classifier, Stack([]), context)
    batches = run.batches()
    for _ in range(run.state.total_steps):
        run.step(next(batches))
    return run


def spied(run: Session, batch: Batch, stack: Stack | None = None):
    """The loss of the mitigation at `batch`, and the batches its forward was given."""
    seen: list[Batch] = []
    (mitigation,) = (stack or run.stack).mitigations

    def forward(inner: Batch):
        seen.append(inner)
        return Stack([]).loss(run.state, inner)

    run.state.memory.clear()
    return mitigation.plugin.loss(forward, run.state, batch, mitigation.config), seen


def near_words(state, most: int = 20, cosine: float = 0.8):
    return _substitutes.table(state.tokenizer, _substitutes.near(state.context.lexicon(), most, cosine))


# FreeLB++


def test_freelb_pp_accumulates_the_mean_gradient_and_never_projects(trained):
    state, batch = trained.state, next(trained.batches())
    stack = stack_of("freelb_pp", start=0.05, step_size=3.0, steps=4)  # steps far longer than the start
    weights = [state.module.classifier.weight, state.module.get_input_embeddings().weight]
    mask = batch.word_mask[..., None]
    state.generator.manual_seed(7)
    numbers = torch.sqrt(batch.word_mask.sum(dim=1) * 32.0)[:, None, None]
    like = state.embed(batch)
    shift = (torch.rand(like.shape, generator=state.generator) * 2 - 1) * mask * 0.05 / numbers
    losses, gradients, lengths = [], [], []
    for _ in range(4):
        shift = shift.detach().requires_grad_()
        loss = Stack([]).loss(state, batch.with_embeddings(state.embed(batch) + shift)).loss
        *of_weights, of_shift = torch.autograd.grad(loss, [*weights, shift])
        losses.append(number(loss.detach()))
        gradients.append(of_weights)
        lengths.append(number(shift.detach().flatten(1).norm(dim=1).max()))
        slope = of_shift * mask
        shift = torch.stack([row + 3.0 * up / up.norm() for row, up in zip(shift.detach(), slope, strict=True)])
    assert lengths[0] < 0.05
    assert lengths[-1] > 3.1  # more than one step away

    state.module.zero_grad()
    state.generator.manual_seed(7)
    trained.early_loss = []
    output = stack.loss(state, batch)
    trained.accelerator.backward(output.loss)
    for index, weight in enumerate(weights):
        assert torch.allclose(weight.grad, sum(step[index] for step in gradients) / 4, atol=1e-6)
    state.module.zero_grad()
    recorded = number(torch.stack([*trained.early_loss, output.loss.detach()]).sum())
    assert recorded == pytest.approx(sum(losses) / 4, abs=1e-6)


def test_freelb_pp_is_freelb_in_a_ball_too_wide_to_matter(session):
    found = []
    for name, config in (("freelb", {"epsilon": 900.0}), ("freelb_pp", {"start": 900.0})):
        run = session(name, step_size=0.03, steps=3, **config)
        found.append(number(run.step(next(run.batches()))))
    assert found[0] == pytest.approx(found[1], rel=1e-6)
    assert freelb_pp.Config().steps == freelb_pp.PASSES[0]


# which words have substitutes


def test_substitutes_are_whole_words_of_the_vocabulary(make_context, sentiment_task):
    tokenizer = make_context(sentiment_task(train=16))[0].tokenizer
    pairs = {"good": ["fine", "unheard", "Great", "good", "##a"], "film": ["movie"], "the": ["a"], "zzz": ["good"]}
    known = _substitutes.table(tokenizer, lambda word: pairs.get(word, []))
    vocabulary = tokenizer.get_vocab()
    good, fine, the = (vocabulary[word] for word in ("good", "fine", "the"))
    assert known.ids[good].tolist() == [good, fine]
    assert known.counts[good] == 1
    assert known.ids[fine].tolist() == [fine, fine]
    assert known.counts[fine] == 0
    assert known.counts[the] == 1
    assert not known.counts[tokenizer.all_special_ids].any()
    assert known.continues[vocabulary["##a"]]
    assert not known.continues[good]


def test_substitutes_of_a_vocabulary_that_marks_where_words_begin():
    class Pieces:
        pieces = ("<s>", "\u0120good", "good", "\u0120fine", "ly", ",", "\u0120!")
        all_special_tokens = ("<s>",)

        def __len__(self):
            return len(self.pieces)

        def convert_ids_to_tokens(self, ids):
            return [self.pieces[i] for i in ids]

    known = _substitutes.table(Pieces(), lambda word: {"good": ["fine"], "ly": ["good"]}.get(word, []))
    assert known.ids[1].tolist() == [1, 3]
    assert known.counts.tolist() == [0, 1, 0, 0, 0, 0, 0]
    assert known.continues.tolist() == [False, False, True, False, True, False, False]


def test_a_word_cut_into_pieces_is_not_replaced(make_context, sentiment_task):
    classifier, context = make_context(sentiment_task(train=16))
    state = SimpleNamespace(tokenizer=classifier.tokenizer, context=context)
    # "a" has a substitute, but in "ax" it is only the beginning of a word
    known = _substitutes.table(classifier.tokenizer, lambda word: {"a": ["an"], "film": ["movie"]}.get(word, []))
    batch = encoded(classifier.tokenizer, ["a film ax film"], [0])
    assert words_of(classifier.tokenizer, batch.input_ids[0])[3:5] == ["a", "##x"]
    assert known.places(state, batch)[0].nonzero().flatten().tolist() == [1, 2, 5]


def test_only_words_outside_entities_are_replaced(make_context, tagging_task):
    for head in ("token", "span"):
        classifier, context = make_context(tagging_task, head=head)
        run = Session(classifier, stack_of("a2t"), context)
        known = near_words(run.state)
        seen = Counter()
        for _, batch in zip(range(4), run.batches(), strict=False):
            places = known.places(run.state, batch)
            for row, chosen in zip(batch.input_ids, places, strict=True):
                seen.update(
                    (word, bool(here)) for word, here in zip(words_of(run.state.tokenizer, row), chosen, strict=True)
                )
        # `film` and `plot` are entities in every sentence, `good` and `dull` never
        assert not seen["film", True]
        assert not seen["plot", True]
        assert seen["film", False] == seen["plot", False] == 8
        assert not seen["good", False]
        assert not seen["dull", False]
        assert seen["good", True] == seen["dull", True] == 8


def test_stop_words_and_far_words_are_no_substitutes(make_context, sentiment_task):
    _, context = make_context(sentiment_task(train=16))
    lexicon = context.lexicon()
    assert set(_substitutes.near(lexicon, 20, 0.8)("good")) == {"fine", "great"}
    assert len(_substitutes.near(lexicon, 1, 0.8)("good")) == 1
    assert _substitutes.near(lexicon, 20, 1.1)("good") == []
    stopped = SimpleNamespace(vectors=lexicon.vectors, stopwords={"good"}, synonyms=lexicon.synonyms)
    assert _substitutes.near(stopped, 20, 0.8)("good") == []
    assert _substitutes.synonyms(stopped)("good") == []
    assert _substitutes.synonyms(lexicon)("good") == ["fine", "great"]


def test_losses_are_the_mean_cross_entropy_of_each_text(make_context, sentiment_task, tagging_task):
    for task in (sentiment_task(train=16), tagging_task):
        classifier, context = make_context(task)
        run = Session(classifier, Stack([]), context)
        batch = next(run.batches())
        with torch.no_grad(), _substitutes.judging(run.state):
            assert not run.state.module.training
            each, _ = _substitutes.losses(run.state, batch)
            singles = [Stack([]).loss(run.state, batch.select(slice(i, i + 1))).loss for i in range(len(each))]
        assert run.state.module.training
        assert torch.allclose(each, torch.stack(singles), atol=1e-5)


def test_other_words_keep_an_outer_shift(session):
    state = session("a2t").state
    batch = encoded(state.tokenizer, ["the film was good"], [1])
    ids = batch.input_ids.clone()
    ids[0, 2] = state.tokenizer.get_vocab()["movie"]
    shift = torch.randn(state.embed(batch).shape)
    moved = _substitutes.with_words(state, batch.with_embeddings(state.embed(batch) + shift), ids)
    plain = _substitutes.with_words(state, batch, ids)
    assert plain.embeddings is None
    assert (plain.input_ids == ids).all()
    assert torch.allclose(moved.embeddings, state.embed(plain) + shift, atol=1e-6)


# ASCC


def test_ascc_weights_are_a_distribution_over_the_synonyms_a_word_has():
    missing = torch.tensor([[False, False, True], [False, True, True]])
    log_p = ascc.log_softmax(torch.tensor([[0.3, 0.3, 9.0], [2.0, 1.0, 1.0]]), missing)
    assert torch.allclose(log_p.exp(), torch.tensor([[0.5, 0.5, 0.0], [1.0, 0.0, 0.0]]))
    # log 2 for the even one, 0 for the certain one
    assert number(ascc.entropy(log_p)) == pytest.approx(0.6931472 / 2, abs=1e-6)
    weights = torch.tensor([[1.0, 0.0, 5.0]], requires_grad=True)
    ascc.entropy(ascc.log_softmax(weights, missing[:1])).backward()
    assert torch.isfinite(weights.grad).all()
    assert weights.grad[0, 0] < 0 < weights.grad[0, 1]
    assert number(ascc.entropy(torch.zeros(0, 3))) == 0


def test_ascc_mixture_by_hand():
    embeddings = torch.zeros(1, 3, 2)
    embeddings[0, 1] = torch.tensor([1.0, 0.0])
    hull = torch.tensor([[[1.0, 0.0], [0.0, 4.0], [8.0, 8.0]]])
    places = torch.tensor([[False, True, False]])
    made = ascc.mixed(embeddings, hull, places, torch.tensor([[0.25, 0.75, 0.0]]).log())
    assert torch.allclose(made, torch.tensor([[[0.0, 0.0], [0.25, 3.0], [0.0, 0.0]]]))


@pytest.fixture
def apart(trained):
    """The trained session with its synonyms moved apart: as trained, their divergences drown in rounding."""
    table = trained.state.module.get_input_embeddings().weight.data
    before = table.clone()
    table += 0.5 * torch.randn(table.shape, generator=torch.Generator().manual_seed(0))
    yield trained
    table.copy_(before)


def test_ascc_stays_in_the_hull_and_raises_the_divergence(apart):
    trained, state = apart, apart.state
    batch = encoded(state.tokenizer, ["the film was good .", "the story was dull"], [1, 0])
    output, seen = spied(trained, batch, stack_of("ascc", alpha=0.0, beta=3.0, steps=20))
    assert len(seen) == 22
    own, table = state.embed(batch).detach(), state.module.get_input_embeddings().weight.detach()
    for inner in seen[1:]:
        for row in range(2):
            for place, word in enumerate(words_of(state.tokenizer, batch.input_ids[row])):
                here = inner.embeddings[row, place].detach()
                if word not in MEANING:
                    assert torch.equal(here, own[row, place])
                    continue
                corners = table[[vocabulary(state, other) for other in MEANING[word]]]
                # coordinates of the point in the triangle of the word and its two synonyms: a solved linear system
                system = torch.cat([corners.T, torch.ones(1, 3)])
                found = torch.linalg.lstsq(system, torch.cat([here, torch.ones(1)]).unsqueeze(1))
                share = found.solution.flatten()
                assert torch.allclose(corners.T @ share, here, atol=1e-5)
                assert number(share.sum()) == pytest.approx(1, abs=1e-4)
                assert (share > -1e-4).all()
    clean, first, last = (Stack([]).loss(state, seen[i]).logits.log_softmax(dim=1) for i in (0, 1, -1))

    def distance(moved):
        return torch.nn.functional.kl_div(moved, clean.exp(), reduction="batchmean")

    assert number(distance(last)) > number(distance(first)) + 1e-5, "above rounding, some 1e-7"
    expected = Stack([]).loss(state, batch).loss + 3 * distance(last)
    assert number(output.loss) == pytest.approx(number(expected), abs=1e-6)


def test_ascc_entropy_draws_to_real_words(trained):
    def corners(alpha: float) -> float:
        batch = encoded(trained.state.tokenizer, ["the film was good .", "the movie was dull"], [1, 0])
        _, seen = spied(trained, batch, stack_of("ascc", alpha=alpha, steps=50))
        table = trained.state.module.get_input_embeddings().weight.detach()
        moved = seen[-1].embeddings.detach()[batch.word_mask.bool()]
        return number(torch.cdist(moved, table).min(dim=1).values.max())

    assert corners(1000.0) < 1e-3
    assert corners(0.0) > 1e-2


def test_ascc_teaches_the_synonyms_embeddings(trained):
    batch = encoded(trained.state.tokenizer, ["the film was good ."], [1])
    output, _ = spied(trained, batch, stack_of("ascc", steps=1))
    (gradient,) = torch.autograd.grad(output.loss, trained.state.module.get_input_embeddings().weight)
    assert gradient[vocabulary(trained.state, "great")].abs().sum() > 0
    assert gradient[vocabulary(trained.state, "bad")].abs().sum() == 0


# random synonyms


def test_random_synonyms_keep_the_worst_of_k(session):
    run = session("random_synonyms", candidates=6, share=1.0, clean=0.25)
    state, batch = run.state, encoded(run.state.tokenizer, ["the film was good .", "a bad movie"], [1, 0])
    known = _substitutes.table(state.tokenizer, _substitutes.synonyms(state.context.lexicon()))
    state.generator.manual_seed(3)
    places = known.places(state, batch)
    tries = [random_synonyms._replaced(state, batch, places, known, 1.0) for _ in range(6)]
    assert len({tuple(ids[0].tolist()) for ids in tries}) > 1
    scores = torch.zeros(6, 2)
    with torch.no_grad():
        for i, ids in enumerate(tries):
            for row in range(2):
                one = dataclasses.replace(batch, input_ids=ids).select(slice(row, row + 1))
                scores[i, row] = Stack([]).loss(state, one).loss
    assert (scores.max(dim=0).values - scores.min(dim=0).values)[0] > 0

    state.generator.manual_seed(3)
    output, seen = spied(run, batch)
    worst = [tries[int(scores[:, row].argmax())][row].tolist() for row in range(2)]
    assert seen[1].input_ids.tolist() == worst
    expected = 0.25 * Stack([]).loss(state, batch).loss + 0.75 * scores.max(dim=0).values.mean()
    assert number(output.loss) == pytest.approx(number(expected), abs=1e-5)


def test_random_synonyms_replace_a_share_of_the_words(session):
    state = session("random_synonyms").state
    known = _substitutes.table(state.tokenizer, _substitutes.synonyms(state.context.lexicon()))
    text = "the film was good and the movie was bad and the film was good"  # 14 words, 6 with synonyms
    batch = encoded(state.tokenizer, [text, "the film"], [1, 0])
    places = known.places(state, batch)
    drawn, changed = Counter(), Counter()
    for _ in range(300):
        ids = random_synonyms._replaced(state, batch, places, known, 0.25)
        assert (ids != batch.input_ids).sum(dim=1).tolist() == [4, 1]  # round(14 / 4), and at least one
        for place in (ids[0] != batch.input_ids[0]).nonzero().flatten().tolist():
            before, after = words_of(state.tokenizer, torch.stack([batch.input_ids[0, place], ids[0, place]]))
            assert after in state.context.lexicon().synonyms(before)
            changed[place] += 1
            drawn[after] += before == "good"
    assert set(changed) == set(places[0].nonzero().flatten().tolist())
    assert drawn["fine"] + drawn["great"] == sum(drawn.values())
    assert 0.35 < drawn["fine"] / (drawn["fine"] + drawn["great"]) < 0.65


@pytest.mark.parametrize("name", ["random_synonyms", "a2t", "ascc"])
def test_entities_are_never_touched(session, tagging_task, name):
    config = {"share": 1.0} if name == "random_synonyms" else {"gamma": 1.0} if name == "a2t" else {}
    run = session(name, task=tagging_task, **config)
    touched = Counter()
    for _, batch in zip(range(6), run.batches(), strict=False):
        _, seen = spied(run, batch)
        own = run.state.embed(batch).detach()
        moved = seen[-1]
        if name == "a2t":  # the attacked texts come in another order
            order = [
                next(i for i, row in enumerate(batch.labels) if torch.equal(row, labels)) for labels in moved.labels
            ]
            batch, own = batch.select(torch.tensor(order)), own[order]
        different = (run.state.embed(moved).detach() - own).abs().sum(dim=-1) > 0
        assert (batch.labels[different] == 0).all()
        touched.update(words_of(run.state.tokenizer, batch.input_ids[different]))
    assert {"good", "dull"} & set(touched) if name != "random_synonyms" else touched["good"]


# A2T

# beside near words, words of the other kind, so that the search has something to find
OPPOSITES = {"good": ["bad", "fine"], "bad": ["good", "poor"], "film": ["movie", "plot"], "great": ["dull", "fine"]}


def opposites(state):
    return _substitutes.table(state.tokenizer, lambda word: OPPOSITES.get(word, []))


def test_a2t_raises_the_loss_until_the_model_is_wrong(trained):
    state, known = trained.state, opposites(trained.state)
    batch = encoded(state.tokenizer, ["the film was good .", "the film was bad .", "the film was superb ."], [1, 0, 1])
    with torch.no_grad():
        before, logits = _substitutes.losses(state, batch)
        assert (logits.argmax(dim=1) == batch.labels).all()
    ids = a2t.attacked(state, batch, known, 6)
    with torch.no_grad():
        after, logits = _substitutes.losses(state, dataclasses.replace(batch, input_ids=ids))
    assert (after[:2] > before[:2]).all()
    assert (after[2] >= before[2]).all()
    assert (logits.argmax(dim=1) != batch.labels)[:2].all()
    assert words_of(state.tokenizer, ids[0])[4] == "bad"
    assert words_of(state.tokenizer, ids[1])[4] == "good"


def test_a2t_leaves_alone_what_is_wrong_already(trained):
    batch = encoded(trained.state.tokenizer, ["the film was good ."], [0])
    assert torch.equal(a2t.attacked(trained.state, batch, opposites(trained.state), 6), batch.input_ids)


def test_a2t_starts_with_the_largest_gradient_and_takes_the_worst_word(trained):
    state, known = trained.state, opposites(trained.state)
    batch = encoded(state.tokenizer, ["good and great and the film and bad"], [0])
    with torch.no_grad():  # the label the model gives, so that there is something to fool
        batch = dataclasses.replace(batch, labels=_substitutes.losses(state, batch)[1].argmax(dim=1))
    (slope,) = torch.autograd.grad(Stack([]).loss(state, batch).loss, state.module.get_input_embeddings().weight)
    words = sorted(("good", "great", "film", "bad"), key=lambda w: -number(slope[vocabulary(state, w)].abs().sum()))
    order = a2t._order(state, batch, known)[0]
    assert [words_of(state.tokenizer, batch.input_ids[0])[place] for place in order[order >= 0]] == words
    assert (order[4:] == -1).all()

    ids, raised = batch.input_ids, []
    for place, word in zip(order[:4].tolist(), words, strict=True):  # the same search, one text at a time
        options = [word, *OPPOSITES[word]]
        losses = []
        for option in options:
            other = ids.clone()
            other[0, place] = vocabulary(state, option)
            with torch.no_grad():
                loss, logits = _substitutes.losses(state, dataclasses.replace(batch, input_ids=other))
            losses.append((number(loss), option, other, bool(logits.argmax() != batch.labels)))
        _, option, ids, wrong = max(losses, key=lambda one: one[0])
        raised.append(option != word)
        if wrong:
            break
    assert any(raised)
    assert torch.equal(a2t.attacked(state, batch, known, 4), ids)


@pytest.mark.parametrize(("length", "allowed"), [(10, 4), (40, 4), (60, 6)])
def test_a2t_swaps_at_most_a_tenth_of_the_words_or_four(length, allowed):
    """On a model whose loss rises with every swap and that is never wrong."""
    known = _substitutes.Substitutes(
        torch.tensor([[0, 0], [1, 2], [2, 2]]), torch.tensor([0, 1, 0]), torch.zeros(3, dtype=torch.bool)
    )

    class Rising(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.table = torch.nn.Embedding.from_pretrained(torch.tensor([[0.0], [0.0], [1.0]]))

        def get_input_embeddings(self):
            return self.table

        def forward(self, input_ids=None, inputs_embeds=None, attention_mask=None):
            embedded = self.table(input_ids) if inputs_embeds is None else inputs_embeds
            rise = embedded.sum(dim=(1, 2))
            return SimpleNamespace(logits=torch.stack([1000 - rise, 0 * rise], dim=1) / 1000)

    module = Rising()
    state = SimpleNamespace(
        module=module,
        embed=lambda b: module.table(b.input_ids) if b.embeddings is None else b.embeddings,
        settings=SimpleNamespace(head="token"),
    )
    ids = torch.ones(2, length, dtype=torch.long)
    mask = torch.ones_like(ids)
    batch = Batch(ids, mask, mask, torch.zeros(2, dtype=torch.long))
    for tried in (3, 100):
        found = a2t.attacked(state, batch, known, tried)
        assert (found != ids).sum(dim=1).tolist() == [min(tried, allowed)] * 2


def test_a2t_loss_weighs_an_adversarial_text_like_a_clean_one_times_alpha(session):
    run = session("a2t", alpha=2.0, gamma=0.5)
    batch = next(run.batches())
    output, seen = spied(run, batch)
    assert [len(inner.labels) for inner in seen] == [8, 4]
    clean, hard = (Stack([]).loss(run.state, inner).loss for inner in seen)
    assert number(output.loss) == pytest.approx(number(clean + 2.0 * hard / 2), abs=1e-6)


def test_a2t_prefers_texts_with_a_label(session):
    run = session("a2t", gamma=0.25)
    batch = next(run.batches())
    labels = batch.labels.clone()
    labels[:6] = IGNORE
    for _ in range(5):
        _, seen = spied(run, dataclasses.replace(batch, labels=labels))
        assert (seen[1].labels != IGNORE).all()


# adversarial augmentation


@pytest.fixture(scope="module")
def augmented(make_context, sentiment_task):
    task = sentiment_task(train=96)
    context = make_context(task, epochs=4)[1]
    config = adversarial_augmentation.Config(share=0.25, budget_per_word=20)
    return task, context, config, adversarial_augmentation.prepare_data(task.train, context, config)


def plain_model(context: Context):
    with torch.random.fork_rng():
        return fine_tune(context.build(), Stack([]), dataclasses.replace(context)).classifier


def test_adversarial_augmentation_adds_only_texts_that_fool_the_plain_model(augmented):
    task, context, config, made = augmented
    assert list(made[: len(task.train)]) == list(task.train)
    added = made[len(task.train) :]
    assert 0 < len(added) <= round(config.share * len(task.train))
    origin = {example.id: example for example in task.train}
    plain = plain_model(context)
    predicted = plain.logits([example.text for example in added]).argmax(axis=1)
    for example, answer in zip(added, predicted, strict=True):
        source = origin[example.id.removesuffix("-adv")]
        assert example.label == source.label
        assert example.text != source.text
        assert answer != example.label
        assert plain.logits([source.text])[0].argmax() == source.label
    assert len({example.id for example in made}) == len(made)


def test_adversarial_augmentation_counts_its_passes_and_trains_on_the_texts(augmented, make_context):
    task, _, config, made = augmented
    classifier, context = make_context(task, epochs=4)
    summary = fine_tune(classifier, stack_of("adversarial_augmentation", **dataclasses.asdict(config)), context).summary
    assert summary["train_examples"] == len(made) > len(task.train)
    assert summary["steps"] == 48
    # a plain training has 48 forward and 48 backward passes; every pass beyond is the attack's
    assert summary["preparation_passes"] > 96 + len(made) - len(task.train)


def test_adversarial_augmentation_names_what_the_recipe_lacks(make_context, sentiment_task, monkeypatch):
    task = sentiment_task(train=16)
    classifier, context = make_context(task, epochs=1)
    minimal = importlib.import_module("attacks.lexicon").Lexicon(context.lexicon().folder)
    context = dataclasses.replace(context, lexicon=lambda: minimal)
    with pytest.raises(UserError, match=r"'textfooler' of 'adversarial_augmentation' cannot run: .* has no vectors"):
        fine_tune(classifier, stack_of("adversarial_augmentation", recipe="textfooler"), context)
    with pytest.raises(UserError, match="recipe is 'none'"):
        stack_of("adversarial_augmentation", recipe="none")


@pytest.mark.parametrize("pair", [("freelb_pp", "ascc"), ("fgm", "random_synonyms"), ("fgm", "a2t"), ("vat", "ascc")])
def test_they_stack(session, pair):
    run = session(*pair)
    for _, batch in zip(range(2), run.batches(), strict=False):
        assert torch.isfinite(run.step(batch))


@pytest.mark.parametrize("name", ["ascc", "random_synonyms", "a2t"])
def test_they_train_a_span_head(make_context, tagging_task, name):
    classifier, context = make_context(tagging_task, head="span")
    run = Session(classifier, stack_of(name), context)
    for _, batch in zip(range(2), run.batches(), strict=False):
        assert torch.isfinite(run.step(batch))
