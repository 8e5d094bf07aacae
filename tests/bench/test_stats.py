"""Known answers, independent references (scipy, statsmodels), and simulated coverage and false alarms."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats as reference
from statsmodels.stats.contingency_tables import mcnemar as reference_mcnemar
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint

from bench import stats

EXAMPLE_SD, OWN_SD = 3.0, 1.0


def world(
    rng: np.random.Generator, runs: int, seeds: int, n: int, rate: float, seed_sd: float, arms: int = 1
) -> tuple[list[np.ndarray], float]:
    """Binary outcomes with logit-normal seed, example and own effects; the arms share the examples.

    Returns one (runs, seeds, n) array per arm and the true rate, which is within sampling error of `rate`.
    """
    total = np.sqrt(seed_sd**2 + EXAMPLE_SD**2 + OWN_SD**2)
    latent = np.sort(np.random.default_rng(0).logistic(size=200_000) + total * rng.normal(size=200_000))
    threshold = float(np.quantile(latent, rate))
    examples = EXAMPLE_SD * rng.normal(size=(runs, 1, n))
    made = []
    for _ in range(arms):
        effects = examples + seed_sd * rng.normal(size=(runs, seeds, 1)) + OWN_SD * rng.normal(size=(runs, seeds, n))
        made.append((rng.logistic(size=effects.shape) + effects < threshold).astype(float))
    return made, rate


# --- intervals


@pytest.mark.parametrize("rate", [0.05, 0.3, 0.6, 0.9])
@pytest.mark.parametrize(("n", "seed_sd"), [(50, 0.3), (200, 0.1), (200, 0.3), (1000, 0.1), (1000, 0.3)])
def test_coverage_at_three_seeds_is_within_two_points(n: int, seed_sd: float, rate: float) -> None:
    runs = 1500 if n < 1000 else 600
    (values,), truth = world(np.random.default_rng(n), runs, 3, n, rate, seed_sd)
    found = [stats.mean_interval(one, binary=True) for one in values]
    covered = np.mean([i.low <= truth <= i.high for i in found])  # type: ignore[operator]
    noise = 2 * np.sqrt(0.95 * 0.05 / runs)
    # three seeds of a share near 0 or 1 may cover a little more than nominal plus 2
    assert 0.93 - noise <= covered <= 0.97 + noise + (0.01 if rate in (0.05, 0.9) else 0)


@pytest.mark.parametrize(("n", "seed_sd"), [(200, 0.3), (1000, 0.5)])
def test_coverage_at_five_seeds_is_within_two_points(n: int, seed_sd: float) -> None:
    runs = 500
    (values,), truth = world(np.random.default_rng(n), runs, 5, n, 0.4, seed_sd)
    found = [stats.mean_interval(one, binary=True) for one in values]
    covered = np.mean([i.low <= truth <= i.high for i in found])  # type: ignore[operator]
    assert 0.93 - 2 * np.sqrt(0.95 * 0.05 / runs) <= covered <= 0.97 + 2 * np.sqrt(0.95 * 0.05 / runs)


@pytest.mark.parametrize("seed_sd", [0.1, 0.4])
def test_two_seeds_rather_cover_too_much(seed_sd: float) -> None:
    (values,), truth = world(np.random.default_rng(2), 1000, 2, 200, 0.3, seed_sd)
    found = [stats.mean_interval(one, binary=True) for one in values]
    assert np.mean([i.low <= truth <= i.high for i in found]) >= 0.93  # type: ignore[operator]


def test_coverage_of_continuous_means() -> None:
    rng = np.random.default_rng(5)
    values = rng.normal(size=(1500, 3, 1)) * 0.1 + rng.normal(size=(1500, 1, 50)) + 0.5 * rng.normal(size=(1500, 3, 50))
    found = [stats.mean_interval(one) for one in values]
    assert 0.93 <= np.mean([i.low <= 0 <= i.high for i in found]) <= 0.98  # type: ignore[operator]


def test_coverage_of_entity_f1() -> None:
    rng = np.random.default_rng(6)
    covered, runs = 0, 600
    for _ in range(runs):
        entities = rng.poisson(1.5, size=200)[None, :]
        skill = 0.8 + 0.01 * rng.normal(size=(3, 1)) + 0.1 * rng.normal(size=(1, 200))
        tp = rng.binomial(np.broadcast_to(entities, (3, 200)), np.clip(skill, 0, 1))
        fp = rng.poisson(0.3, size=(3, 200))
        found = stats.ratio_interval(2 * tp, tp + fp + np.broadcast_to(entities, tp.shape), share=True)
        hits = 1.5 * np.clip(0.8 + 0.1 * np.random.default_rng(0).normal(size=100_000), 0, 1).mean()
        covered += found.low <= 2 * hits / (hits + 0.3 + 1.5) <= found.high  # type: ignore[operator]
    assert 0.92 <= covered / runs <= 0.985


def test_identical_seeds_are_wilson_with_a_t_quantile() -> None:
    row = np.array([1.0] * 30 + [0.0] * 20)
    found = stats.mean_interval(np.stack([row] * 3), binary=True)
    n_eff = 0.6 * 0.4 / (np.var(row, ddof=1) / 50)
    t = reference.t.ppf(0.975, found.df)
    centre = (0.6 + t**2 / (2 * n_eff)) / (1 + t**2 / n_eff)
    half = t / (1 + t**2 / n_eff) * np.sqrt(0.24 / n_eff + t**2 / (4 * n_eff**2))
    assert (found.low, found.high) == pytest.approx((centre - half, centre + half))
    low, high = proportion_confint(30, 50, method="wilson")
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.015)


@pytest.mark.parametrize("rate", [0.0, 1.0])
def test_all_or_nothing_is_wilson_over_the_examples_never_zero_wide(rate: float) -> None:
    found = stats.mean_interval(np.full((3, 40), rate), binary=True)
    assert (found.low, found.high) == pytest.approx(proportion_confint(int(40 * rate), 40, method="wilson"))


def test_the_variance_is_the_textbook_anova() -> None:
    values = np.array([[1.0, 2.0, 4.0, 3.0], [2.0, 4.0, 7.0, 3.0], [0.0, 3.0, 2.0, 2.0]])
    by_seed, by_example, grand = values.mean(1), values.mean(0), values.mean()
    ms_seed = 4 * ((by_seed - grand) ** 2).sum() / 2
    ms_example = 3 * ((by_example - grand) ** 2).sum() / 3
    ms_rest = ((values - by_seed[:, None] - by_example + grand) ** 2).sum() / 6
    variance, df = stats.mean_variance(values)
    assert variance == pytest.approx((ms_seed + ms_example - ms_rest) / 12)
    expected = (ms_seed + ms_example - ms_rest) ** 2 / (ms_seed**2 / 2 + ms_example**2 / 3 + ms_rest**2 / 6)
    assert df == pytest.approx(expected)


@pytest.mark.parametrize("values", [np.ones((1, 50)), np.ones((3, 1)), np.array([[1.0, 0.0, 1.0]])])
def test_one_seed_or_one_example_is_infinite(values: np.ndarray) -> None:
    found = stats.mean_interval(values, binary=True)
    assert found.value is not None
    assert found.low is None
    assert found.high is None


def test_one_seed_has_an_interval_over_examples_when_asked() -> None:
    found = stats.mean_interval(np.array([[1.0, 0.0] * 25]), binary=True, examples_only=True)
    assert found.seeds == 1
    assert (found.low, found.high) == pytest.approx(proportion_confint(25, 50, method="wilson"), abs=0.01)


def test_unknown_is_dropped_and_counted() -> None:
    values = np.array([[1.0, 0.0, np.nan, 1.0], [1.0, 1.0, 0.0, 1.0], [np.nan] * 4])
    found = stats.mean_interval(values, binary=True)
    assert (found.n, found.seeds, found.value) == (3, 2, pytest.approx(5 / 6))
    nothing = stats.mean_interval(np.full((2, 3), np.nan))
    assert (nothing.value, nothing.low) == (None, None)


def test_a_constant_that_is_no_share_has_no_interval() -> None:
    assert stats.mean_interval(np.full((3, 5), 0.2)).low is None


def test_seed_interval_is_the_t_interval() -> None:
    found = stats.seed_interval([0.1, 0.2, 0.4])
    expected = reference.t.interval(0.95, 2, np.mean([0.1, 0.2, 0.4]), reference.sem([0.1, 0.2, 0.4]))
    assert (found.low, found.high) == pytest.approx(expected)
    ratio = stats.seed_interval([1.0, 2.0, 4.0], log=True)
    assert ratio.value == pytest.approx(2.0)
    assert ratio.low * ratio.high == pytest.approx(4.0)  # type: ignore[operator]
    assert stats.seed_interval([1.0]).low is None
    assert stats.seed_interval([1.0, 1.0]).low is None
    assert stats.seed_interval([]).value is None
    with pytest.raises(ValueError, match="above 0"):
        stats.seed_interval([0.0, 1.0], log=True)


def test_a_ratio_with_denominators_of_one_is_a_mean_and_f1_is_micro() -> None:
    values = np.random.default_rng(0).random((3, 40))
    ratio, mean = stats.ratio_interval(values, np.ones((3, 40))), stats.mean_interval(values)
    assert (ratio.value, ratio.low, ratio.high) == pytest.approx((mean.value, mean.low, mean.high))
    f1 = stats.ratio_interval(2 * np.array([[1, 0], [1, 1]]), np.array([[2, 1], [2, 3]]), share=True)
    assert f1.value == pytest.approx(6 / 8)


def test_a_bound_is_a_plain_number() -> None:
    """A share of 0 or 1 has its bound from elsewhere; NumPy's own floats stand as `np.float64(...)` in a CSV."""
    for share in (0.0, 1.0):
        table = np.full((3, 20), share)
        found = stats.ratio_interval(table, np.ones((3, 20)), share=True)
        many = stats.ratio_intervals(table.T[np.newaxis], np.ones((1, 20, 3)), share=True)
        assert {type(one) for made in (found, *many) for one in (made.value, made.low, made.high)} == {float}


# --- paired bootstrap


@pytest.mark.parametrize(
    ("seeds", "n", "seed_sd"), [(2, 50, 0.2), (3, 50, 0.1), (3, 50, 0.3), (3, 200, 0.2), (5, 200, 0.3)]
)
def test_a_a_false_alarms_are_at_most_five_percent(seeds: int, n: int, seed_sd: float) -> None:
    runs = 600
    (a, b), _ = world(np.random.default_rng(seeds + n), runs, seeds, n, 0.4, seed_sd, arms=2)
    p = np.array([stats.paired_bootstrap(x, y, rounds=400).p for x, y in zip(a, b, strict=True)])  # type: ignore[union-attr]
    assert (p < 0.05).mean() <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / runs)


def test_a_ten_point_drop_is_found() -> None:
    rng = np.random.default_rng(4)
    found = []
    for _ in range(40):
        a = np.where(rng.random((3, 50)) < 0.15, rng.random((3, 50)) < 0.5, rng.random((1, 50)) < 0.45).astype(float)
        b = a.copy()
        for row in b:
            row[rng.choice(np.flatnonzero(row), 5, replace=False)] = 0.0
        found.append(stats.paired_bootstrap(a, b))
    assert all(d is not None and d.value == pytest.approx(-0.1) and d.high < 0 for d in found)  # type: ignore[operator]
    assert np.median([d.p for d in found if d]) < 0.002


def test_bootstrap_of_one_seed_resamples_examples_and_says_so() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(1, 100)), rng.normal(size=(1, 100)) + 0.5
    found = stats.paired_bootstrap(a, b)
    assert found is not None
    assert found.seeds == 1
    expected = reference.ttest_rel(b[0], a[0])
    assert found.p == pytest.approx(expected.pvalue, rel=0.5)
    low, high = expected.confidence_interval()
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.05)


def test_bootstrap_is_seeded_paired_and_never_zero() -> None:
    rng = np.random.default_rng(1)
    a, b = rng.random((3, 30)), rng.random((3, 30)) + 5
    first, second = stats.paired_bootstrap(a, b, seed=7), stats.paired_bootstrap(a, b, seed=7)
    assert first == second
    assert first is not None
    assert 0 < first.p < 0.001
    same = stats.paired_bootstrap(a, a)
    assert same is not None
    assert (same.value, same.p) == (0.0, 1.0)
    shifted = stats.paired_bootstrap(a, a + 1)
    assert shifted is not None
    assert shifted.value == pytest.approx(1.0)
    assert shifted.p < 0.001


def test_bootstrap_of_f1_counts() -> None:
    rng = np.random.default_rng(3)
    gold = rng.poisson(1.5, size=(1, 200)) * np.ones((3, 1), dtype=int)
    good, bad = rng.binomial(gold, 0.9), rng.binomial(gold, 0.7)
    found = stats.paired_bootstrap(2 * good, 2 * bad, a_weight=good + gold, b_weight=bad + gold)
    assert found is not None
    expected = 2 * bad.sum() / (bad + gold).sum() - 2 * good.sum() / (good + gold).sum()
    assert found.value == pytest.approx(expected)
    assert found.high < 0  # type: ignore[operator]


def test_bootstrap_without_a_known_pair_is_none() -> None:
    assert stats.paired_bootstrap(np.full((2, 3), np.nan), np.ones((2, 3))) is None


# --- tests and corrections


@pytest.mark.parametrize(("lost", "gained"), [(0, 0), (5, 0), (3, 9), (40, 22)])
def test_mcnemar_agrees_with_statsmodels(lost: int, gained: int) -> None:
    a = [True] * lost + [False] * gained + [True] * 7
    b = [False] * lost + [True] * gained + [True] * 7
    expected = reference_mcnemar([[7, lost], [gained, 0]], exact=True).pvalue if lost + gained else 1.0
    assert stats.mcnemar(a, b) == pytest.approx(expected)


def test_mcnemar_refuses_unpaired() -> None:
    with pytest.raises(ValueError, match="paired"):
        stats.mcnemar([True], [True, False])


def test_holm_agrees_with_statsmodels() -> None:
    p = np.random.default_rng(0).random(20) ** 3
    assert stats.holm(list(p)) == pytest.approx(multipletests(p, method="holm")[1])
    assert stats.holm([]) == []
