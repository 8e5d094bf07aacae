"""All arms at once are what each is alone, and what is left out decides nothing."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from bench import metrics, stats, summaries
from bench.metrics import Values
from bench.stats import Pool, components
from tests.bench.test_scale import arms_of

SIZES = ((1, 1), (1, 3), (2, 2), (7, 5), (20, 1), (40, 5), (130, 3), (60, 9))
KINDS = [("clean_accuracy", "binary"), ("brier_raw", "mean"), ("asr:x", "ratio"), ("clean_accuracy", "gaps")]


@pytest.mark.parametrize(("name", "kind"), KINDS)
def test_differences_of_all_arms_at_once_are_those_of_each(name: str, kind: str) -> None:
    rng = np.random.default_rng(0)
    for n, seeds in SIZES:
        first, *others = arms_of(rng, n, seeds, kind)
        # one that is alike in every outcome, one with its examples in another order, one without any
        order = rng.permutation(n)
        mixed = {
            seed: Values(
                v.top[order], None if v.bottom is None else v.bottom[order], tuple((v.ids or ())[k] for k in order)
            )
            for seed, v in others[0].items()
        }
        arms = [*others, first, mixed, {}]
        lent = summaries.lend(name, [first, *arms])
        assert repr(lent) == repr(metrics.lend(name, [first, *arms]))
        alone = [metrics.compare(name, first, arm, lent=lent) for arm in arms]
        assert [repr(one) for one in summaries.compare(name, first, arms, lent)] == [repr(one) for one in alone]


def test_a_baseline_that_weighs_nothing_has_no_differences() -> None:
    arms = arms_of(np.random.default_rng(1), 12, 3, "ratio")
    empty = {seed: Values(np.zeros(12), np.zeros(12), v.ids) for seed, v in arms[0].items()}
    assert summaries.compare("asr:x", empty, arms, None) == [None] * 4
    assert summaries.compare("ece_raw", empty, arms, None) == [None] * 4
    assert summaries.lend("asr:x", [empty, empty]) is None


def test_arms_of_which_each_has_an_unknown_outcome_stand_by_themselves() -> None:
    first, *arms = arms_of(np.random.default_rng(3), 30, 3, "binary")
    for k, arm in enumerate(arms):
        arm[0].top[k] = np.nan
    for name in ("clean_accuracy", "transfer_accuracy:x"):
        lent = summaries.lend(name, arms)
        assert lent == metrics.lend(name, arms)
        assert summaries.compare(name, first, arms, lent) == [metrics.compare(name, first, a, lent=lent) for a in arms]
        alone = [metrics.summarise(name, [arm[seed] for seed in sorted(arm)]) for arm in arms]
        assert summaries.summarise(name, arms) == alone


@pytest.mark.parametrize("name", ["ece_raw", "step_time_ratio"])
def test_numbers_per_seed_are_summarised_as_each_arm(name: str) -> None:
    rng = np.random.default_rng(2)
    for seeds in (1, 2, 5, 9):
        arms = [{seed: Values(rng.random(1) + 0.1) for seed in range(seeds)} for _ in range(4)]
        arms[1] = dict.fromkeys(range(seeds), Values(np.array([0.7])))
        arms[2][0].top[0] = np.nan
        arms += [{7: Values(np.array([2.0]))}, {}]
        alone = [metrics.summarise(name, [arm[seed] for seed in sorted(arm)]) for arm in arms]
        assert [repr(one) for one in summaries.summarise(name, arms)] == [repr(one) for one in alone]


def test_an_impossible_ratio_is_refused_among_others() -> None:
    arms = [{seed: Values(np.array([value])) for seed in range(2)} for value in (1.5, 0.0, 2.0)]
    with pytest.raises(ValueError, match="above 0"):
        summaries.summarise("step_time_ratio", arms)


@pytest.mark.parametrize("seeds", [2, 5, 7, 8, 9, 17])
def test_mean_squares_of_many_tables_are_those_of_each(seeds: int) -> None:
    rng = np.random.default_rng(seeds)
    for n in (2, 40, 201):
        tables = rng.random((3, n, seeds))
        found = components.squares_of(tables)
        for k, table in enumerate(tables):
            # as `known` leaves them in memory
            alone = stats.squares(table.T)
            assert (found.seed[k], found.example[k], found.residual[k]) == (alone.seed, alone.example, alone.residual)


def boards(count: int) -> list[np.ndarray]:
    """(arms, seeds, examples) outcomes: arms alike in truth, somewhat apart, far apart; two of them equal."""
    rng, made = np.random.default_rng(5), []
    for _ in range(count):
        rates = 0.5 + rng.choice([0.0, 0.05, 0.15, 0.3], size=(12, 1, 1)) * rng.choice([-1, 1], size=(12, 1, 1))
        made.append((rng.random((12, 3, 60)) < rates).astype(float))
        made[-1][4] = made[-1][3]
    return made


def test_pairs_that_are_no_more_solved_for_were_not_rejected() -> None:
    first, second = np.triu_indices(12, 1)
    saved = 0
    for values in boards(30):
        means, lent = values.mean(axis=(1, 2)), Pool(0.002, 2.5)
        parts = values - means[:, None, None]
        exact, bounds = (stats.pairwise(parts, means, lent, alpha)[first, second] for alpha in (None, 0.05))
        wanted, found = (np.array(stats.holm(p.tolist())) for p in (exact, bounds))
        assert ((wanted < 0.05) == (found < 0.05)).all()
        assert (wanted[wanted < 0.05] == found[wanted < 0.05]).all()
        saved += int((exact != bounds).sum())
    assert saved > 0


def test_differences_without_draws_were_not_rejected() -> None:
    saved = rejected = 0
    for values in boards(30):
        tables = values.transpose(0, 2, 1)
        exact, bounds = (stats.paired_bootstraps(tables[:1], tables[1:], alpha=alpha) for alpha in (None, 0.05))
        wanted, found = (stats.holm([one.p for one in made if one]) for made in (exact, bounds))
        assert all((p < 0.05) == (q < 0.05) for p, q in zip(wanted, found, strict=True))
        for p, q, one, other in zip(wanted, found, exact, bounds, strict=True):
            assert one is not None
            assert other is not None
            assert one.value == other.value
            assert other.p <= one.p
            if p < 0.05:
                assert (p, one) == (q, other)
            rejected += p < 0.05
            saved += other.low is None
    assert saved > 100
    assert rejected > 20


def test_texts_that_every_arm_gets_right_are_the_same_in_any_order() -> None:
    rng, ids = np.random.default_rng(6), tuple(f"text-{k}" for k in range(30))
    arms, mixed, common = {}, {}, np.ones(30)
    for label in ("a", "b", "c"):
        right = (rng.random(30) < 0.7).astype(float)
        common *= right
        top, order = right * (rng.random(30) < 0.5), rng.permutation(30)
        arms[label] = {"asr:x": {0: Values(top, right, ids)}}
        mixed[label] = {"asr:x": {0: Values(top[order], right[order], tuple(ids[k] for k in order))}}
    assert 0 < common.sum() < 30
    for given in (arms, mixed):
        found = summaries.shared_asr(given)["asr_shared:x"]
        for label in arms:
            made = found[label][0]
            assert made.bottom is not None
            weights = dict(zip(made.ids or (), made.bottom.tolist(), strict=True))
            assert [weights[one] for one in ids] == common.tolist()
            tops = dict(zip(made.ids or (), made.top.tolist(), strict=True))
            assert [tops[one] for one in ids] == (arms[label]["asr:x"][0].top * common).tolist()


def test_ranks_follow_from_the_pairs_that_are_apart() -> None:
    rng = np.random.default_rng(7)
    for _ in range(50):
        values = (rng.integers(0, 5, 8) / 4).tolist()
        pairs = set(itertools.combinations(range(8), 2))
        apart = {pair for pair in sorted(pairs) if rng.random() < 0.4}
        for k, (best, worst) in enumerate(stats.rank_intervals(values, apart)):
            others = [values[sum(pair) - k] for pair in apart if k in pair]
            assert best == 1 + sum(one > values[k] for one in others)
            assert worst == 8 - sum(one < values[k] for one in others)
