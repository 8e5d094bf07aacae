from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.stats import kendalltau

from explain import stability
from explain.stability import Drift


def test_drift_aligns_by_position() -> None:
    words, scores = ["a", "b", "c", "d", "a"], [5.0, 4.0, 3.0, 2.0, 1.0]
    same = stability.drift(words, scores, words, [s * 20 for s in scores])
    assert same == Drift(pytest.approx(1.0), pytest.approx(1.0), 5, 1.0)
    swapped = stability.drift(words, scores, ["a", "X", "c", "d", "a"], [1.0, 9.0, 2.0, 3.0, 4.0])
    assert swapped == Drift(pytest.approx(-1.0), pytest.approx(-1 / 3), 4, 0.8)
    inserted = stability.drift(words, scores, ["a", "b", "X", "c", "d", "a"], [5.0, 4.0, 0.0, 3.0, 2.0, 1.0])
    assert inserted == Drift(pytest.approx(1.0), pytest.approx(1.0), 5, pytest.approx(5 / 6))
    deleted = stability.drift(words, scores, ["a", "c", "d", "a"], [5.0, 3.0, 2.0, 1.0])
    assert deleted == Drift(pytest.approx(1.0), pytest.approx(1.0), 4, 0.8)


def test_drift_without_enough_to_compare_is_none() -> None:
    assert stability.drift(["a", "b"], [1.0, 2.0], ["a", "b"], [1.0, 2.0]) == Drift(None, None, 2, 1.0)
    assert stability.drift(list("abc"), [1.0] * 3, list("abc"), [1.0, 2.0, 3.0]) == Drift(None, None, 3, 1.0)
    assert stability.drift(list("abc"), [1.0, 2.0, 3.0], list("xyz"), [1.0, 2.0, 3.0]) == Drift(None, None, 0, 0.0)
    with pytest.raises(ValueError, match="one score per word"):
        stability.drift(["a"], [1.0, 2.0], ["a"], [1.0])


def test_tau_b_by_hand() -> None:
    # 6 pairs; one tied on the left: 4 agree, 1 does not: (4 - 1) / sqrt(5 * 6)
    found = stability.rank_agreement([1.0, 1.0, 2.0, 3.0], [1.0, 2.0, 4.0, 3.0])
    assert found == pytest.approx((4 - 1) / np.sqrt(5 * 6))


def test_top_overlap_by_hand() -> None:
    one = [9.0, -8.0, 1.0, 1.5, 0.5, 0.1, 0.2, 0.3, 0.4, 0.6]  # k = 2: the first two by size
    assert stability.top_overlap(one, one) == pytest.approx(1.0)
    half = [9.0, 0.0, -8.0, *one[3:]]
    assert stability.top_overlap(one, half) == pytest.approx((0.5 - 0.2) / 0.8)
    assert stability.top_overlap(one, one[::-1]) == pytest.approx(-0.2 / 0.8)
    assert stability.top_overlap(one, [1.0] * 10) is None


def test_overlap_is_zero_at_chance() -> None:
    rng = np.random.default_rng(0)
    found = [stability.top_overlap(rng.normal(size=15), rng.normal(size=15)) for _ in range(2000)]
    assert abs(np.mean(found)) < 4 * np.std(found) / np.sqrt(len(found))
    tied = [stability.top_overlap(rng.integers(0, 3, 15), rng.normal(size=15)) for _ in range(2000)]
    assert abs(np.mean(tied)) < 4 * np.std(tied) / np.sqrt(len(tied))


def test_tied_words_share_their_places() -> None:
    assert stability.top_places([3.0, 1.0, 1.0, 0.0], 2).tolist() == [1.0, 0.5, 0.5, 0.0]
    assert stability.top_places([1.0, 1.0, 1.0, 1.0], 1).tolist() == [0.25] * 4
    values = np.random.default_rng(1).integers(0, 3, 7)
    orders = list(itertools.permutations(range(7)))
    wins = np.zeros(7)
    for order in orders:
        wins[sorted(range(7), key=lambda i, order=order: (-values[i], order[i]))[:3]] += 1
    assert stability.top_places(values, 3) == pytest.approx(wins / len(orders))
    with pytest.raises(ValueError, match="number of words"):
        stability.top_places([1.0], 2)


def test_over_edits_takes_the_worst_of_the_known() -> None:
    drifts = [Drift(0.5, 0.2, 8, 0.8), Drift(None, None, 2, 0.2), Drift(-0.1, 0.4, 9, 0.9)]
    found = stability.over_edits(drifts)
    assert (found.mean, found.worst, found.edits) == (pytest.approx(0.2), -0.1, 3)
    assert (found.overlap, found.coverage) == (pytest.approx(0.3), pytest.approx(1.9 / 3))
    assert stability.over_edits([]) == stability.Worst(None, None, None, None, 0)


def test_methods_agree_without_the_controls() -> None:
    scores = {"a": [1.0, 2.0, 3.0], "b": [3.0, 2.0, 1.0], "c": [1.0, 2.0, 3.0], "random": [2.0, 1.0, 3.0]}
    assert stability.method_agreement(scores, "a", ("random",)) == pytest.approx(0.0)
    assert stability.method_agreement(scores, "b", ("random",)) == pytest.approx(-1.0)
    assert stability.method_agreement({"a": [1.0, 2.0, 3.0]}, "a") is None


def test_the_randomisation_gate() -> None:
    assert [stability.passes_randomisation(tau) for tau in (0.5, 0.51, -0.9, None)] == [True, False, True, None]


def test_rank_agreement_is_scipys_with_ties_and_without() -> None:
    rng = np.random.default_rng(3)
    for words in (3, 4, 17, 120):
        for levels in (2, 5, 1000):
            one, two = rng.integers(0, levels, (2, words)) / 7.0
            expected = kendalltau(one, two, variant="b").statistic
            found = stability.rank_agreement(one.tolist(), two.tolist())
            assert (found is None) == bool(np.isnan(expected))
            assert found is None or found == pytest.approx(expected, abs=1e-12)


def test_known_places_take_the_place_of_alignment() -> None:
    words, edited = ("so", "so", "fine", "film", "so"), ("so", "very", "fine", "film", "so")
    before, after = [1.0, 2.0, 3.0, 4.0, 5.0], [1.0, 9.0, 3.0, 4.0, 0.5]
    found = stability.drift(words, before, edited, after, [(0, 0), (2, 2), (3, 3), (4, 4)])
    # of the six pairs of (1, 3, 4, 5) and (1, 3, 4, 0.5) the last word's three are turned round
    assert (found.tau, found.words, found.coverage) == (pytest.approx(0.0), 4, 0.8)
