from __future__ import annotations

import itertools

import numpy as np
import pytest

from explain import metrics
from explain.search import Search, best_gap, prefix_masks
from tests.explain.conftest import table_margins


def _brute(margins: object, words: int) -> float:
    return max(metrics.faithfulness_gap(margins, order) for order in itertools.permutations(range(words)))


def test_the_gap_is_comprehensiveness_less_its_reverse() -> None:
    margins = table_margins(5, 0)
    order = [3, 1, 4, 0, 2]

    def area(p: list[int]) -> float:
        values = margins(~prefix_masks(p))
        return float(np.mean(values[0] - values[1:]))

    assert metrics.faithfulness_gap(margins, order) == pytest.approx(area(order) - area(order[::-1]))


@pytest.mark.parametrize("words", [2, 3, 5, 6])
def test_exact_search_is_the_best_of_all_orders(words: int) -> None:
    for seed in range(5):
        margins = metrics.MaskCache(table_margins(words, seed, curve=3.0))
        assert best_gap(margins, words, Search())[0] == pytest.approx(_brute(margins, words))


def test_the_short_search_is_near_the_exact_one() -> None:
    ratios = []
    for seed in range(60):
        margins = metrics.MaskCache(table_margins(10, seed, curve=2.0))
        exact = best_gap(margins, 10, Search(exact_words=10))[0]
        ratios.append(best_gap(margins, 10, Search())[0] / exact)
    assert max(ratios) <= 1 + 1e-9
    assert np.mean(ratios) > 0.98
    assert min(ratios) > 0.85


def test_forwards_are_bounded_and_never_repeated() -> None:
    asked: list[bytes] = []
    inner = table_margins(25, 0)

    def margins(keep: np.ndarray) -> np.ndarray:
        asked.extend(row.tobytes() for row in keep)
        return inner(keep)

    cache = metrics.MaskCache(margins)
    search = Search()
    metrics.dnaopc(cache, np.random.default_rng(0).normal(size=25), 0)
    assert len(asked) == len(set(asked)) == cache.forwards
    assert cache.forwards <= 2 * 25 * (2 + search.width * search.branching + search.sweeps)


@pytest.mark.parametrize("words", [4, 9, 20])
def test_negated_scores_negate_and_scaled_logits_change_nothing(words: int) -> None:
    scores = np.random.default_rng(1).normal(size=words).round(0)  # rounding makes ties
    margins = table_margins(words, 1)
    plain = metrics.dnaopc(margins, scores, 7)
    assert -1 <= plain <= 1
    assert metrics.dnaopc(margins, -scores, 7) == pytest.approx(-plain)
    assert metrics.dnaopc(lambda keep: 20 * margins(keep), scores, 7) == pytest.approx(plain)
    assert metrics.dnaopc(lambda keep: 1e-4 * margins(keep), scores, 7) == pytest.approx(plain)


def test_the_oracle_order_scores_one_and_its_reverse_minus_one() -> None:
    weights = np.random.default_rng(2).normal(size=15)
    assert metrics.dnaopc(lambda keep: keep @ weights, weights, 0) == pytest.approx(1.0)
    assert metrics.dnaopc(lambda keep: keep @ weights, -weights, 0) == pytest.approx(-1.0)
    margins = table_margins(5, 3, curve=3.0)
    best = max(itertools.permutations(range(5)), key=lambda p: metrics.faithfulness_gap(margins, p))
    scores = np.empty(5)
    scores[list(best)] = np.arange(5, 0, -1)
    assert metrics.dnaopc(margins, scores, 0) == pytest.approx(1.0)


def test_random_scores_are_zero_within_noise() -> None:
    rng = np.random.default_rng(3)
    values = np.array(
        [metrics.dnaopc(table_margins(n, i), rng.normal(size=n), i) for i, n in enumerate(rng.integers(3, 12, 300))]
    )
    assert abs(values.mean()) < 4 * values.std() / np.sqrt(len(values))
    assert values.std() > 0.1


def test_a_constant_attribution_gets_nothing_for_the_reading_order() -> None:
    margins = table_margins(8, 4)
    assert metrics.dnaopc(margins, [1.0] * 8, 5) == pytest.approx(0.0)
    assert metrics.orders([2.0, 2.0, 5.0], 1) == metrics.orders([2.0, 2.0, 5.0], 1)
    assert [order[0] for order in metrics.orders([2.0, 2.0, 5.0], 1)] == [2, 2]


def test_no_order_to_judge_is_none() -> None:
    assert metrics.dnaopc(table_margins(1, 0), [3.0], 0) is None
    assert metrics.dnaopc(lambda keep: np.full(len(keep), 4.0), [1.0, 2.0, 3.0], 0) is None


def test_aopc_by_hand() -> None:
    assert metrics.aopc(0.9, [0.5, 0.3, 0.1]) == pytest.approx(0.6)
    assert metrics.aopc(0.9, [0.5, 0.3, 0.1], bins=[0.05, 1.0]) == pytest.approx(0.6)
    chance = {0: 0.5, 1: 0.9}  # only word 1 matters

    def probability(keep: np.ndarray) -> np.ndarray:
        return np.array([chance[int(row[1])] for row in keep])

    assert metrics.comprehensiveness(probability, [1, 0, 2]) == pytest.approx(0.4)
    assert metrics.comprehensiveness(probability, [0, 2, 1]) == pytest.approx(0.4 / 3)
    assert metrics.sufficiency(probability, [1, 0, 2]) == pytest.approx(0.0)
    assert metrics.sufficiency(probability, [0, 2, 1]) == pytest.approx(0.8 / 3)
    for wrong in ([], [0.0], [1.5]):
        with pytest.raises(ValueError, match="bins"):
            metrics.aopc(1.0, [1.0], bins=wrong)


def test_completeness_and_its_gate() -> None:
    assert metrics.completeness_error([1.0, 1.1], 3.0, 1.0) == pytest.approx(0.05)
    assert metrics.completeness_error([0.0], 1.0, 1.0) == 0.0
    assert [metrics.passes_gate(error) for error in (0.05, 0.051, None)] == [True, False, None]


def test_masked_keeps_class() -> None:
    assert metrics.masked_keeps_class([1.0, 2.0], [0.0, 0.1])
    assert not metrics.masked_keeps_class([1.0, 2.0], [0.2, 0.1])


def test_the_correlation_is_one_for_the_line_itself_and_negates() -> None:
    weights = np.random.default_rng(2).normal(size=12)

    def line(keep: np.ndarray) -> np.ndarray:
        return 3.0 + keep @ weights

    assert metrics.faithfulness_correlation(line, weights, 0) == pytest.approx(1.0)
    assert metrics.faithfulness_correlation(line, -2 * weights, 0) == pytest.approx(-1.0)


def test_the_correlation_is_pearsons_over_the_same_sets() -> None:
    margins, asked = table_margins(8, 3), []

    def watched(keep: np.ndarray) -> np.ndarray:
        asked.append(keep.copy())
        return margins(keep)

    scores = np.random.default_rng(4).normal(size=8)
    found = metrics.faithfulness_correlation(watched, scores, 5, subsets=30)
    (keep,) = asked
    assert keep[0].all()
    assert ((~keep[1:]).sum(axis=1) == 2).all()  # a fifth of 8, rounded up
    drops = [float(margins(keep[:1])[0] - margins(row[None])[0]) for row in keep[1:]]
    sums = [float(scores[~row].sum()) for row in keep[1:]]
    assert found == pytest.approx(np.corrcoef(sums, drops)[0, 1])
    assert metrics.faithfulness_correlation(lambda k: 4 * margins(k), scores, 5, subsets=30) == pytest.approx(found)
    assert metrics.faithfulness_correlation(margins, scores, 6, subsets=30) != found


def test_no_correlation_to_give_is_none() -> None:
    assert metrics.faithfulness_correlation(table_margins(2, 0), [1.0, 2.0], 0) is None
    assert metrics.faithfulness_correlation(table_margins(5, 0), [1.0] * 5, 0) is None
    assert metrics.faithfulness_correlation(lambda keep: np.full(len(keep), 4.0), [1.0, 2.0, 3.0], 0) is None


def test_effective_words_by_hand() -> None:
    assert metrics.effective_words([0.0, -3.0, 0.0]) == pytest.approx(1.0)
    assert metrics.effective_words([2.0, -2.0, 2.0, 0.0]) == pytest.approx(3.0)
    # entropy of (1/2, 1/4, 1/4) is 1.5 ln 2
    assert metrics.effective_words([2.0, 1.0, -1.0]) == pytest.approx(2**1.5)
    assert metrics.effective_words([0.0, 0.0]) is None


@pytest.mark.parametrize("wrong", [{"exact_words": 17}, {"width": 0}, {"branching": 0}, {"sweeps": -1}])
def test_search_refuses_bad_values(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="give"):
        Search(**wrong)
    with pytest.raises(ValueError, match="finite"):
        metrics.orders([float("nan")], 0)
