"""The tagger as the attacker sees it: both heads by hand, memory, and answers that are refused."""

from __future__ import annotations

import numpy as np
import pytest

from attacks.tagging_victim import Prediction, TaggingVictim, span_prediction, token_prediction
from attacks.victim import BadPredictionError

LABELS = ("O", "B-A", "I-A", "B-B", "I-B")


def flat(sentences) -> list[Prediction]:
    return [Prediction(("O",) * len(s), np.full((len(s), 5), 0.2, dtype=np.float32), LABELS) for s in sentences]


def test_a_token_head_is_a_softmax_and_unseen_words_are_o():
    logits = np.array([[0, np.log(3), 0, 0, 0], [np.nan] * 5], dtype=np.float32)
    made = token_prediction(logits, LABELS)
    assert made.tags == ("B-A", "O")
    np.testing.assert_allclose(made.probabilities, [[1 / 7, 3 / 7, 1 / 7, 1 / 7, 1 / 7], [1, 0, 0, 0, 0]], rtol=1e-6)
    assert token_prediction(np.zeros((0, 5), dtype=np.float32), LABELS).tags == ()


def test_a_token_head_survives_great_logits():
    made = token_prediction(np.array([[1e4, -1e4, 0, 0, 0]], dtype=np.float32), LABELS)
    assert made.probabilities.tolist() == [[1, 0, 0, 0, 0]]


def test_a_span_heads_words_get_the_scores_of_their_surest_spans():
    # words 0 and 1; spans (0,0), (0,1), (1,1); classes none, A, B
    chances = np.array([[0.5, 0.3, 0.2], [0.2, 0.7, 0.1], [0.9, 0.02, 0.08]])
    made = span_prediction(
        ("B-A", "I-A"), np.array([[0, 0], [0, 1], [1, 1]]), np.log(chances).astype(np.float32), ("A", "B"), LABELS
    )
    first = np.array([1 - 0.8, 0.7, 0, 0.2, 0])
    second = np.array([1 - 0.8, 0.02, 0.7, 0.08, 0.1])
    np.testing.assert_allclose(made.probabilities, [first / first.sum(), second / second.sum()], rtol=1e-5)
    assert made.tags == ("B-A", "I-A")


def test_a_word_without_a_span_is_o():
    made = span_prediction(("O", "O"), np.zeros((0, 2), dtype=int), np.zeros((0, 3)), ("A", "B"), LABELS)
    assert made.probabilities.tolist() == [[1, 0, 0, 0, 0]] * 2


def test_sentences_are_remembered_and_repeats_and_empty_sentences_are_not_asked():
    asked = []

    def predict(sentences):
        asked.append(list(sentences))
        return flat(sentences)

    victim = TaggingVictim(predict, LABELS)
    call = [("a", "b"), (), ("c",), ("a", "b")]
    first, again = victim(call), victim(call)
    assert asked == [[("a", "b"), ("c",)]]
    assert [len(one.tags) for one in first] == [2, 0, 1, 2]
    assert first[0] is again[3]
    victim([("c",), ("d",)])
    assert asked[1:] == [[("d",)]]
    assert victim([()])[0].tags == ()
    assert victim([]) == []
    assert (victim.counts.requested, victim.counts.forwarded) == (11, 3)


def test_no_more_than_a_set_number_is_remembered(monkeypatch):
    from attacks import tagging_victim

    monkeypatch.setattr(tagging_victim, "REMEMBERED", 3)
    victim = TaggingVictim(flat, LABELS)
    for i in range(9):
        victim([("0",), (str(i),)])
    assert list(victim._memory.known) == [("7",), ("0",), ("8",)]
    assert len(victim([(str(i),) for i in range(9)])) == 9


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ([], "0 predictions for 1 sentences"),
        ([Prediction(("O",), np.full((2, 5), 0.2), LABELS)], "1 tags"),
        ([Prediction(("O", "O"), np.full((2, 4), 0.2), LABELS)], "shape"),
        ([Prediction(("O", "O"), np.full((2, 5), np.nan), LABELS)], "not finite for 'a b'"),
    ],
)
def test_unusable_answers_are_refused(answer, message):
    with pytest.raises(BadPredictionError, match=message):
        TaggingVictim(lambda _: answer, LABELS)([("a", "b")])


def test_labels_must_know_outside():
    with pytest.raises(ValueError, match="must hold O"):
        TaggingVictim(flat, ("B-A",))


@pytest.mark.parametrize("head", ["token", "span"])
def test_a_classifiers_decisions_are_kept_whatever_it_is_asked_with(make_tagger, head: str):
    from bench.robustness.tagging_attacks import victim

    classifier = make_tagger(head)
    sentences = [
        ("the", "film", "was", "good"),
        ("zzz", "\u200b", "plot"),
        ("a",) * 60,
        ("hated", "the", "plot", "story"),
    ]
    alone = [victim(classifier)([sentence])[0] for sentence in sentences]
    for one, other, tags in zip(victim(classifier)(sentences), alone, classifier.tags(sentences), strict=True):
        assert list(one.tags) == list(other.tags) == tags
        np.testing.assert_array_equal(one.probabilities, other.probabilities)  # to the last bit
        np.testing.assert_allclose(one.probabilities.sum(1), 1, atol=1e-5)
    assert alone[1].probabilities[1].tolist() == [1, 0, 0]  # no visible character: O
    assert alone[2].probabilities[-1].tolist() == [1, 0, 0]  # cut off


@pytest.fixture
def make_tagger(tiny_model, tagging_task):
    """An untrained tagger with either head; `\u200b` has no piece, and sentences are cut at 32."""
    from training import span_head
    from training.model import open_classifier

    def make(head: str):
        opened = open_classifier(tiny_model, tagging_task, 32, 0, head)
        assert (opened.span_width is None) == (head == "token")
        assert span_head.types_of(opened.labels) == ["THING"]
        return opened

    return make
