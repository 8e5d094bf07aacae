from __future__ import annotations

import numpy as np
import pytest

from attacks import victim as victim_module
from attacks.victim import BadPredictionError, Victim


def lengths(texts):
    return np.array([[len(text), 3.0] for text in texts], dtype=np.float32)


def test_probabilities_are_a_float32_softmax_of_logits_over_temperature() -> None:
    rows = Victim(lengths, temperature=2.0).probabilities(["a", "abcdef"])
    assert rows.dtype == np.float32
    for row, length in zip(rows, (1, 6), strict=True):
        expected = np.exp([length / 2, 3 / 2])
        np.testing.assert_allclose(row, expected / expected.sum(), rtol=1e-6)


def test_rows_sum_to_one_so_that_textattack_adds_no_softmax() -> None:
    logits = np.random.default_rng(0).normal(0, 30, (200, 14))
    rows = Victim(lambda texts: logits[: len(texts)]).probabilities([str(i) for i in range(200)])
    assert np.abs(rows.sum(axis=1) - 1).max() < 1e-6


def test_duplicates_and_repeated_calls_are_forwarded_once() -> None:
    victim = Victim(lengths)
    first = victim(["a", "bb", "a"])
    second = victim(["a", "bb", "a"])
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(first[0], first[2])
    assert (victim.counts.requested, victim.counts.forwarded) == (6, 2)


def test_only_texts_that_are_new_go_through_the_model() -> None:
    asked: list[list[str]] = []

    def model(texts):
        asked.append(list(texts))
        return lengths(texts)

    victim = Victim(model)
    victim(["a", "bb"])
    np.testing.assert_array_equal(victim(["c", "bb", "c"]), Victim(lengths)(["c", "bb", "c"]))
    assert asked == [["a", "bb"], ["c"]]


def test_another_temperature_shares_the_memory() -> None:
    calibrated = Victim(lengths, temperature=2.0)
    raw = calibrated.with_temperature(1.0)
    calibrated(["a", "bb"])
    np.testing.assert_allclose(raw(["a", "bb"]), Victim(lengths)(["a", "bb"]))
    assert calibrated.counts.forwarded == 2


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(victim_module, "REMEMBERED", 2)
    victim = Victim(lengths)
    for text in ("a", "b", "c", "a"):
        victim([text])
    assert victim.counts.forwarded == 4


@pytest.mark.parametrize("temperature", [0.0, -1.0, float("nan"), float("inf")])
def test_bad_temperatures_are_refused(temperature: float) -> None:
    with pytest.raises(ValueError, match="temperature"):
        Victim(lengths, temperature)


@pytest.mark.parametrize(
    ("logits", "said"),
    [
        (np.array([[np.nan, 1.0]]), "not finite for the text 'hello'"),
        (np.array([[np.inf, 1.0]]), "not finite"),
        (np.array([1.0, 2.0]), "shape"),
        (np.array([[1.0]]), "shape"),
        (np.array([[1.0, 2.0], [1.0, 2.0]]), "shape"),
    ],
)
def test_unusable_logits_are_named_and_not_remembered(logits: np.ndarray, said: str) -> None:
    answers = [logits, np.array([[1.0, 2.0]])]
    victim = Victim(lambda _: answers.pop(0))
    with pytest.raises(BadPredictionError, match=said):
        victim(["hello"])
    assert victim(["hello"]).shape == (1, 2)
