"""Known answers and independent references for tests of two arms, of many arms and of a whole suite."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import stats as reference
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_effectsize

from bench import stats
from bench.stats import Difference, Pool, Squares


def test_benjamini_hochberg_agrees_with_statsmodels() -> None:
    p = np.random.default_rng(0).random(20) ** 3
    assert stats.benjamini_hochberg(list(p)) == pytest.approx(multipletests(p, method="fdr_bh")[1])
    assert stats.benjamini_hochberg([]) == []


@pytest.mark.parametrize("signs", [(36, 2, 0), (13, 10, 3), (5, 0, 0), (0, 0, 4)])
def test_the_sign_test_is_the_exact_binomial(signs: tuple[int, int, int]) -> None:
    down, up, equal = signs
    found = stats.sign_test([-0.1] * down + [0.2] * up + [0.0] * equal)
    assert (found.down, found.up, found.equal) == signs
    expected = reference.binomtest(down, down + up).pvalue if down + up else 1.0
    assert found.p == pytest.approx(expected)
    with pytest.raises(ValueError, match="at least one"):
        stats.sign_test([])


def test_permutation_agrees_with_scipy_and_with_every_flip() -> None:
    rng = np.random.default_rng(3)
    a = rng.random((1, 9))
    b = a + rng.normal(0.3, 0.4, size=(1, 9))
    found = stats.permutation(a, b, rounds=40_000)
    expected = reference.permutation_test(
        ((b - a)[0],), np.mean, permutation_type="samples", n_resamples=np.inf, alternative="two-sided"
    ).pvalue
    assert found == pytest.approx(expected, abs=0.01)
    assert stats.permutation(a, a) == 1.0
    assert stats.permutation(np.full((1, 3), np.nan), np.ones((1, 3))) is None


def test_permutation_is_a_cross_check_of_the_bootstrap() -> None:
    rng = np.random.default_rng(5)
    for shift in (0.0, 0.12):
        base = rng.random((1, 300)) < 0.6
        a = np.where(rng.random((3, 300)) < 0.2, rng.random((3, 300)) < 0.6, base).astype(float)
        b = np.where(rng.random((3, 300)) < 0.2, rng.random((3, 300)) < 0.6 - 3 * shift, base).astype(float)
        boot, flips = stats.paired_bootstrap(a, b, rounds=4000), stats.permutation(a, b, rounds=4000)
        assert boot is not None
        assert flips is not None
        # flips take the seeds as all there are, so theirs is the smaller p but for chance
        assert flips <= boot.p + 0.05
        # with 3 seeds and no other arm to borrow from, the bootstrap cannot be as sure
        assert (flips < 0.001, boot.p < 0.05) == (shift > 0, shift > 0)


def test_permutation_of_f1_swaps_counts_and_weights() -> None:
    rng = np.random.default_rng(6)
    gold = rng.poisson(1.5, size=(1, 120))
    good, bad = rng.binomial(gold, 0.9), rng.binomial(gold, 0.6)
    found = stats.permutation(2 * good, 2 * bad, a_weight=good + gold, b_weight=bad + gold, rounds=2000)
    assert found == pytest.approx(1 / 2001)


def test_effect_sizes() -> None:
    assert stats.cohen_h(0.3, 0.5) == pytest.approx(proportion_effectsize(0.5, 0.3))
    a, b = np.zeros((2, 4)), np.array([[1.0, 2.0, 3.0, 4.0], [3.0, 2.0, 1.0, 4.0]])
    means = np.array([2.0, 2.0, 2.0, 4.0])
    assert stats.standardised(a, b) == pytest.approx(means.mean() / means.std(ddof=1))
    assert stats.standardised(a, a + 1) is None


@pytest.mark.parametrize(
    ("low", "high", "direction", "expected"),
    [
        (-0.01, 0.03, "higher", "shown"),
        (-0.04, 0.03, "higher", "open"),
        (-0.09, -0.03, "higher", "refuted"),
        (-0.03, 0.01, "lower", "shown"),
        (0.03, 0.09, "lower", "refuted"),
    ],
)
def test_non_inferiority(low: float, high: float, direction: str, expected: str) -> None:
    difference = Difference((low + high) / 2, low, high, 0.5, 100, 3)
    assert stats.non_inferiority(difference, 0.02, direction) == expected  # type: ignore[arg-type]


def test_non_inferiority_of_equal_arms_and_a_bad_margin() -> None:
    assert stats.non_inferiority(Difference(0.0, None, None, 1.0, 100, 3), 0.0, "higher") == "shown"
    assert stats.non_inferiority(Difference(-0.1, None, None, 1.0, 100, 1), 0.5, "higher") == "open"
    with pytest.raises(ValueError, match="0 or more"):
        stats.non_inferiority(Difference(0.0, None, None, 1.0, 100, 3), -0.1, "higher")


# --- ranks and letters


def test_ranks_are_what_the_proven_differences_leave() -> None:
    values, distinct = [0.9, 0.6, 0.5, 0.1], {(0, 3), (1, 3), (0, 2)}
    assert stats.rank_intervals(values, distinct) == [(1, 2), (1, 3), (2, 4), (3, 4)]
    assert stats.rank_intervals([0.1, 0.2], set()) == [(1, 2), (1, 2)]


def test_letters_of_a_worked_example() -> None:
    # a and b, b and c, c and d overlap
    assert stats.letters(4, {(0, 2), (0, 3), (1, 3)}) == ["a", "a b", "b c", "c"]
    assert stats.letters(3, set()) == ["a", "a", "a"]
    assert stats.letters(2, {(0, 1)}) == ["a", "b"]
    assert stats.letters(0, set()) == []


def test_two_arms_share_a_letter_unless_they_are_distinct() -> None:
    rng = np.random.default_rng(8)
    for _ in range(30):
        pairs = list(itertools.combinations(range(8), 2))
        distinct = {pair for pair in pairs if rng.random() < 0.4}
        found = [set(text.split()) for text in stats.letters(8, distinct)]
        assert all(bool(found[i] & found[j]) == ((i, j) not in distinct) for i, j in pairs)
        assert all(found)


def test_more_groups_than_letters_can_show_are_refused() -> None:
    distinct = {(2 * k, 2 * k + 1) for k in range(9)}
    with pytest.raises(ValueError, match="groups"):
        stats.letters(18, distinct)
    assert stats.letters(30, {(i, j) for i in range(30) for j in range(i + 1, 30)})[26] == "aa"


def test_rank_intervals_hold_the_true_ranks_together() -> None:
    """100 boards of 6 arms: all six intervals hold the true ranks in at least 95 %, within the noise of 100."""
    rng, held = np.random.default_rng(9), 0
    truth = np.array([0.62, 0.6, 0.55, 0.5, 0.45, 0.4])
    for _ in range(100):
        hard = rng.normal(size=(1, 1, 200))
        own = hard + rng.normal(size=(6, 3, 200)) + 0.1 * rng.normal(size=(6, 3, 1))
        cut = reference.norm.ppf(truth)[:, None, None] * np.sqrt(2.01)
        won = (own < cut).astype(float)
        values = won.mean(axis=(1, 2))
        parts = won - values[:, None, None]
        lent = stats.pool([stats.squares(one) for one in parts])
        assert lent is not None
        p = stats.pairwise(parts, values, Pool(2 * lent.variance, lent.df))
        pairs = list(itertools.combinations(range(6), 2))
        adjusted = stats.holm([p[pair] for pair in pairs])
        distinct = {pair for pair, one in zip(pairs, adjusted, strict=True) if one < 0.05}
        held += all(low <= k + 1 <= high for k, (low, high) in enumerate(stats.rank_intervals(list(values), distinct)))
    assert held >= 91


def test_all_pairs_at_once_are_each_pair_alone() -> None:
    rng = np.random.default_rng(10)
    values = (rng.random((4, 3, 60)) < np.array([0.3, 0.5, 0.55, 0.9])[:, None, None]).astype(float)
    values[2] = values[1]
    means = values.mean(axis=(1, 2))
    lent = Pool(0.001, 6.0)
    found = stats.pairwise(values - means[:, None, None], means, lent)
    for i, j in itertools.combinations(range(4), 2):
        parts = stats.paired_squares(values[i], values[j])
        expected = 1.0 if (i, j) == (1, 2) else stats.spread(parts, lent).p(means[j] - means[i])  # type: ignore[arg-type]
        assert found[i, j] == pytest.approx(expected, rel=1e-6)
        assert found[j, i] == found[i, j]


# --- what other arms lend


def test_a_pool_knows_the_variance_of_many_arms() -> None:
    rng = np.random.default_rng(11)
    tables = [rng.normal(size=(3, 1)) * 0.2 + rng.normal(size=(3, 100)) for _ in range(60)]
    found = stats.pool([stats.squares(one) for one in tables])
    assert found is not None
    assert found.variance == pytest.approx(0.04, abs=0.02)
    assert 20 < found.df <= 120
    assert stats.pool([stats.squares(np.ones((3, 5)))]) is None
    assert stats.pool([]) is None


def test_arms_that_differ_in_their_spread_lend_less() -> None:
    rng = np.random.default_rng(12)
    spreads = np.repeat([0.02, 3.0], 20)
    tables = [rng.normal(size=(3, 1)) * one + rng.normal(size=(3, 100)) for one in spreads]
    found = stats.pool([stats.squares(one) for one in tables])
    assert found is not None
    assert found.df < 10


def test_an_unstable_arm_gains_nothing_by_stable_ones() -> None:
    table = Squares(3, 100, 50.0, 1.0, 1.0)
    own, lent = stats.spread(table), stats.spread(table, Pool(0.0, 20.0))
    assert lent.variance == pytest.approx(own.variance)
    assert stats.spread(Squares(3, 100, 0.0, 1.0, 1.0), Pool(0.1, 20.0)).variance > 3 * own.rest


def test_p_is_where_the_interval_reaches_zero() -> None:
    found = stats.spread(Squares(3, 200, 4.0, 1.2, 1.0))
    for value in (0.05, 0.2, 1.0):
        p = found.p(value)
        assert found.half_width(1 - p) == pytest.approx(value, rel=1e-4) or p >= 0.2
    assert found.p(0.0) == pytest.approx(1.0)
