from __future__ import annotations

import itertools

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from explain import plausibility


def test_average_precision_by_hand_and_against_scikit_learn() -> None:
    # marked words at ranks 1 and 3: (1/1 + 2/3) / 2
    assert plausibility.average_precision([1, 0, 1, 0], [4.0, 3.0, 2.0, 1.0]) == pytest.approx(5 / 6)
    rng = np.random.default_rng(0)
    for _ in range(50):
        marks, scores = rng.integers(0, 2, 12), rng.normal(size=12)
        if 0 < marks.sum() < 12:
            expected = average_precision_score(marks, scores)
            assert plausibility.average_precision(marks, scores) == pytest.approx(expected)


def test_ties_are_the_mean_of_every_order() -> None:
    marks, scores = [1, 0, 0, 1, 0, 1], [2.0, 2.0, 1.0, 1.0, 1.0, 0.0]
    every = []
    for noise in itertools.permutations(range(6)):
        every.append(plausibility.average_precision(marks, [s + n / 100 for s, n in zip(scores, noise, strict=True)]))
    assert plausibility.average_precision(marks, scores) == pytest.approx(np.mean(every))


def test_corrected_ap_is_one_at_best_and_zero_at_chance() -> None:
    marks = [0, 1, 0, 0, 1, 0, 0]
    assert plausibility.corrected_average_precision(marks, [float(m) for m in marks]) == pytest.approx(1.0)
    assert plausibility.corrected_average_precision(marks, [1.0] * 7) == pytest.approx(0.0)
    rng = np.random.default_rng(1)
    found = [plausibility.corrected_average_precision(marks, rng.normal(size=7)) for _ in range(2000)]
    assert abs(np.mean(found)) < 4 * np.std(found) / np.sqrt(len(found))


def test_token_f1_by_hand() -> None:
    assert plausibility.token_f1([1, 1, 0, 0], [4.0, 1.0, 3.0, 2.0]) == 0.5
    assert plausibility.token_f1([1, 1, 0, 0], [4.0, 3.0, 2.0, 1.0]) == 1.0
    assert plausibility.token_f1([1, 0, 0, 0], [1.0, 1.0, 0.0, 0.0]) == 0.5
    assert plausibility.token_f1([1, 1, 0, 0], [0.0] * 4) == 0.5  # chance: k / n


@pytest.mark.parametrize("score", [plausibility.token_f1, plausibility.corrected_average_precision])
def test_nothing_or_everything_marked_is_none(score: object) -> None:
    assert score([0, 0], [1.0, 2.0]) is None
    assert score([1, 1], [1.0, 2.0]) is None
    with pytest.raises(ValueError, match="one mark per word"):
        score([1], [1.0, 2.0])
    with pytest.raises(ValueError, match="0 or 1"):
        score([2, 0], [1.0, 2.0])
