"""The span head: labels, scores and decoding by hand, and the same trainings the token head gets."""

from __future__ import annotations

import dataclasses
import math
import random
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer

from tests.training.conftest import stack_of, weights
from training import loop, span_head
from training.alignment import IGNORE
from training.errors import UserError
from training.hooks import Batch, State, cross_entropy
from training.loop import fine_tune
from training.model import open_classifier
from training.ner_metrics import spans
from training.span_head import SpanHead, decode, entities, span_labels, widest
from training.stack import Stack
from training.task import tagged

LABELS = ("O", "B-LOC", "I-LOC", "B-PER", "I-PER")
NONE, LOC, PER = 0, 1, 2
# [CLS] word0 (2 pieces) word1 word2 (2 pieces) word3 [SEP]: first pieces 1, 3, 4, 6
PIECES = (None, 0, 0, 1, 2, 2, 3, None)


def labelled(tags: list[int], width: int, pieces=PIECES) -> dict[tuple[int, int], int]:
    """{(first piece, last piece): class} of every span that is labelled."""
    example = tagged([f"w{i}" for i in range(len(tags))], tags)
    table = np.array(span_labels(example, pieces, LABELS, width)).reshape(len(pieces), width)
    return {(i, i + w): int(table[i, w]) for i, w in np.argwhere(table != IGNORE).tolist()}


def test_only_spans_from_first_piece_to_first_piece_are_labelled():
    # words 0-1 are a person, word 3 a place
    found = labelled([3, 4, 0, 1], width=4)
    assert found == {
        (1, 1): NONE, (1, 3): PER, (1, 4): NONE, (3, 3): NONE, (3, 4): NONE, (3, 6): NONE, (4, 4): NONE, (4, 6): NONE,
        (6, 6): LOC,
    }  # fmt: skip


def test_a_span_wider_than_the_limit_is_no_span():
    found = labelled([3, 4, 0, 1], width=2)  # the person needs 3 pieces
    assert found == {(1, 1): NONE, (3, 3): NONE, (3, 4): NONE, (4, 4): NONE, (6, 6): LOC}


def test_an_entity_that_is_cut_off_has_no_span_and_neighbours_stay_two():
    cut = labelled([0, 0, 3, 4], width=4, pieces=(None, 0, 0, 1, 2, None))
    assert set(cut.values()) == {NONE}
    assert entities(tagged(["a", "b", "c"], [1, 1, 2]), LABELS) == [("LOC", 0, 0), ("LOC", 1, 2)]


def test_the_width_is_the_widest_entity_in_pieces_and_has_a_cap(tiny_model):
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    one, two = tagged(["zzz", "film"], [1, 0]), tagged(["zzz", "film", "zz", "plot"], [0, 1, 2, 2])
    assert widest([one], LABELS, tokenizer) == 1
    # `zz` is two pieces: film 0, zz 1-2, plot 3
    assert widest([one, two], LABELS, tokenizer) == 4
    long = tagged(["film"] * 40, [1] + [2] * 39)
    assert widest([long], LABELS, tokenizer) == span_head.WIDEST


def scores(*found: tuple[int, int, int, float], width: int = 4) -> np.ndarray:
    """Logits that say none everywhere but at (first piece, last piece, class, logit)."""
    table = np.zeros((len(PIECES), width, 3), dtype=np.float32)
    for first, last, kind, logit in found:
        table[first, last - first, kind] = logit
    return table


def test_decoding_takes_the_surest_span_and_nothing_that_overlaps_it():
    logits = scores((1, 3, LOC, 2.0), (3, 4, PER, 3.0), (6, 6, LOC, 0.5))
    assert decode(logits, PIECES, 4, LABELS) == ["O", "B-PER", "I-PER", "B-LOC"]
    weaker = scores((1, 3, LOC, 4.0), (3, 4, PER, 3.0))
    assert decode(weaker, PIECES, 4, LABELS) == ["B-LOC", "I-LOC", "O", "O"]
    # surer is the probability of the type, not its logit: 4 against 3.9 is nearly a draw
    drawn = scores((1, 3, LOC, 4.0), (1, 3, PER, 3.9), (3, 4, PER, 3.0))
    assert decode(drawn, PIECES, 4, LABELS) == ["O", "B-PER", "I-PER", "O"]


def test_decoding_ignores_spans_that_do_not_begin_and_end_with_words():
    # a special token, the second piece of a word, and a span that runs past the sentence
    logits = scores((0, 1, LOC, 9.0), (2, 3, LOC, 9.0), (1, 2, LOC, 9.0), (6, 7, LOC, 9.0))
    assert decode(logits, PIECES, 4, LABELS) == ["O"] * 4
    assert decode(logits[:0], (), 2, LABELS) == ["O", "O"]


def test_neighbours_of_one_type_stay_two_entities_and_unseen_words_inside_belong():
    logits = scores((1, 1, LOC, 2.0), (3, 3, LOC, 2.0))
    assert decode(logits, PIECES, 4, LABELS) == ["B-LOC", "B-LOC", "O", "O"]
    # word 1 has no piece, as an invisible word has none
    gap = (None, 0, 2, None)
    assert decode(scores((1, 2, PER, 2.0)), gap, 3, LABELS) == ["B-PER", "I-PER", "I-PER"]


def test_what_the_labels_say_is_what_decoding_reads():
    rng = random.Random(0)
    for _ in range(200):
        words, tags = rng.randint(1, 9), []
        for _ in range(words):
            opened = tags[-1] if tags else 0
            tags.append(rng.choice([0, 1, 3] + ([opened + opened % 2] if opened else [])))
        pieces = [None, *(word for word in range(words) for _ in range(rng.randint(1, 3))), None]
        example = tagged([f"w{i}" for i in range(words)], tags)
        width = len(pieces)
        table = np.array(span_labels(example, pieces, LABELS, width)).reshape(len(pieces), width)
        logits = np.eye(3)[np.where(table == IGNORE, PER, table)]  # a wrong type wherever nothing counts
        names = [LABELS[tag] for tag in tags]
        assert spans(decode(logits, pieces, words, LABELS)) == spans(names)


def test_the_head_computes_its_equation():
    torch.manual_seed(0)
    head, states = SpanHead(5, 3, 4), torch.randn(2, 4, 5)
    logits = head(states).reshape(2, 4, 3, 4)
    for i in range(4):
        for w in range(3):
            end = head.end.weight @ states[1, i + w] if i + w < 4 else torch.zeros(5)
            inner = head.start.weight @ states[1, i] + head.start.bias + end + head.width.weight[w]
            expected = head.weight @ torch.nn.functional.gelu(inner) + head.bias
            torch.testing.assert_close(logits[1, i, w], expected)


def test_padding_moves_no_label_and_changes_no_score(make_context, tagging_task):
    classifier, _ = make_context(tagging_task, head="span")
    width = classifier.span_width
    assert width == 2  # `plot story`
    rows = loop.encode(tagging_task.train[:4], classifier)
    batch = loop.collate(rows, 0)
    assert batch.labels.shape == (4, batch.input_ids.shape[1] * width)
    together = classifier.module(input_ids=batch.input_ids, attention_mask=batch.attention_mask).logits
    assert together.shape == (*batch.labels.shape, 2)
    table = batch.labels.reshape(4, -1, width)
    # hated the [plot story] . : pieces 1..5, the entity from 3 to 4
    assert table[1, 3].tolist() == [0, 1]
    assert (table[1] == 1).sum() == 1
    for row, coded in enumerate(rows):
        alone = loop.collate([coded], 0)
        logits = classifier.module(input_ids=alone.input_ids, attention_mask=alone.attention_mask).logits[0]
        known = alone.labels[0] != IGNORE
        assert torch.equal(batch.labels[row, : len(known)], alone.labels[0])
        assert (batch.labels[row, len(known) :] == IGNORE).all()
        torch.testing.assert_close(together[row, : len(known)][known], logits[known])


def test_it_learns_and_reopens(make_context, tagging_task, tmp_path):
    classifier, context = make_context(tagging_task, epochs=12, head="span")
    trained = fine_tune(classifier, Stack([]), context)
    assert trained.summary["validation_score"] == 1.0
    trained.classifier.save(tmp_path)
    for head in ("span", "token"):  # a checkpoint has its own head, whatever is asked for
        again = open_classifier(tmp_path, tagging_task, 32, 5, head)
        assert again.span_width == 2
        predicted = loop.predict_tags(again, tagging_task.test)
        assert predicted == loop.predict_tags(trained.classifier, tagging_task.test)
        assert predicted[1] == ["O", "O", "B-THING", "I-THING", "O"]


@pytest.mark.parametrize(
    "names", [("fgm",), ("r_drop",), ("mixout",), ("lora",), ("freelb",), ("ia3",), ("lora", "fgm")]
)
def test_mitigations_act_on_it(names, make_context, tagging_task, tmp_path):
    task = dataclasses.replace(tagging_task, train=tagging_task.train[:16])

    def train(stack: Stack):
        classifier, context = make_context(task, epochs=1, clip_norm=0.05, head="span")
        return fine_tune(classifier, stack, context)

    trained = train(stack_of(*names))
    module = trained.classifier.module
    assert torch.isfinite(weights(module)).all()
    assert torch.equal(weights(module), weights(train(stack_of(*names)).classifier.module))
    assert not torch.equal(weights(module), weights(train(Stack([])).classifier.module))
    fresh = make_context(task, head="span")[0].module
    assert not torch.equal(module.classifier.weight, fresh.classifier.weight)  # the head learns under adapters too
    trained.classifier.save(tmp_path)
    again = open_classifier(tmp_path, task, 32, seed=5).module
    ids = torch.tensor([[5, 6, 7, 8]])
    embeddings = again.get_input_embeddings()(ids).detach().requires_grad_()
    logits = again(inputs_embeds=embeddings, attention_mask=torch.ones_like(ids)).logits
    assert torch.equal(logits, module(input_ids=ids, attention_mask=torch.ones_like(ids)).logits)
    logits.sum().backward()
    assert embeddings.grad.abs().sum() > 0


def test_it_needs_a_tagging_task_and_a_linear_head(tiny_model, sentiment_task):
    with pytest.raises(UserError, match="the span head is for tagging tasks, and 'toy' has one label a text"):
        open_classifier(tiny_model, sentiment_task(train=8), 32, 0, "span")
    with pytest.raises(UserError, match="linear layer called 'classifier', and Identity has none"):
        span_head.attach(torch.nn.Identity(), 2, LABELS)


def test_an_entity_weighs_as_much_as_its_weight_in_other_spans(tagging_task, make_context) -> None:
    """Worked by hand: even odds over c classes cost ln c a span, however weighted; with the entity's logit raised by 1
    it costs -ln(e / (e + c - 1)), three times over, and the mean is over 2 + 3 weights."""
    _, context = make_context(tagging_task, head="span")
    classes = len(span_head.types_of(LABELS)) + 1
    logits = torch.zeros(1, 3, classes)
    labels = torch.tensor([[0, 1, 0]])
    batch = Batch(labels, labels, labels, labels)

    class Fixed(torch.nn.Module):
        def forward(self, **_: object) -> SimpleNamespace:
            return SimpleNamespace(logits=logits)

    def loss() -> float:
        state = State(Fixed(), torch.optim.SGD([torch.zeros(1)]), context, torch.Generator(), lambda _: None)
        return cross_entropy(state, batch).loss.item()

    assert loss() == pytest.approx(math.log(classes))
    logits[0, 1, 1] = 1.0
    surer = -math.log(math.e / (math.e + classes - 1))
    assert span_head.ENTITY_WEIGHT == 3
    assert loss() == pytest.approx((2 * math.log(classes) + 3 * surer) / 5)
