"""False alarms and power of the gate's test by simulation, and the planner's promise kept."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from bench import stats
from bench.gate import planner
from bench.gate.checking import ALPHA
from bench.gate.planner import Components, Question
from bench.leaderboard import build
from bench.stats import Array, Pool, Squares, paired_squares
from training.errors import UserError

ARMS = 30


def squares_of(values: Array) -> Squares:
    """The mean squares of (tables, seeds, examples) values, all tables at once."""
    _, seeds, n = values.shape
    grand = values.mean(axis=(1, 2))
    seed = n * np.square(values.mean(axis=2) - grand[:, None]).sum(axis=1)
    example = seeds * np.square(values.mean(axis=1) - grand[:, None]).sum(axis=1)
    total = np.square(values - grand[:, None, None]).sum(axis=(1, 2))
    rest = np.maximum(total - seed - example, 1e-12)
    return Squares(seeds, n, seed / (seeds - 1), example / (n - 1), rest / ((seeds - 1) * (n - 1)))


def one_of(found: Squares, k: int) -> Squares:
    return Squares(found.seeds, found.n, found.seed[k], found.example[k], found.residual[k])


def release(rng: np.random.Generator, seeds: int, n: int, seed_sd: Array, cut: float, arms: int) -> Array:
    """(2, arms, seeds, n) outcomes of a baseline and a candidate: the same texts, other draws, nothing else changed."""
    texts = 3.0 * rng.normal(size=(1, 1, 1, n))
    own = rng.logistic(size=(2, arms, seeds, n)) + rng.normal(size=(2, arms, seeds, n))
    return (own + texts + seed_sd[:, None, None] * rng.normal(size=(2, arms, seeds, 1)) < cut).astype(float)


def judge(world: Array) -> tuple[Array, Array]:
    """(p after Holm, differences) of every arm, as the gate computes them but for the bootstrap."""
    before, after = world
    found, levels = squares_of(after - before), [squares_of(side) for side in (before, after)]
    lent = stats.pool([one_of(side, k) for side in levels for k in range(len(before))])
    assert lent is not None
    twice = Pool(2 * lent.variance, lent.df)
    values = (after - before).mean(axis=(1, 2))
    p = [stats.spread(one_of(found, k), twice).p(float(value)) for k, value in enumerate(values)]
    return np.array(stats.holm(p)), values


@pytest.mark.parametrize(
    ("seeds", "n", "seed_sd", "mixed", "runs"),
    [(3, 200, 0.15, True, 400), (3, 200, 0.3, True, 300), (3, 1000, 0.3, False, 60), (5, 200, 0.3, False, 150)],
)
def test_nothing_changed_gives_an_alarm_in_at_most_five_percent(
    seeds: int, n: int, seed_sd: float, mixed: bool, runs: int
) -> None:
    """30 cells, Holm-corrected; `mixed`: some arms are several times as unstable as others."""
    rng = np.random.default_rng(1)
    spread = seed_sd * np.exp(0.7 * rng.normal(size=ARMS)) if mixed else np.full(ARMS, seed_sd)
    alarms = np.mean([(judge(release(rng, seeds, n, spread, -0.9, ARMS))[0] < ALPHA).any() for _ in range(runs)])
    assert alarms <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / runs)


@pytest.mark.parametrize(("arms", "mixed", "runs"), [(1, False, 1500), (2, False, 1000), (6, True, 500)])
def test_few_arms_give_no_more_alarms(arms: int, mixed: bool, runs: int) -> None:
    """Five metrics of so few arms, corrected together; at the nominal 5 % a single arm gave one in 5 to 7 %."""
    rng, alarms = np.random.default_rng(2), 0
    for _ in range(runs):
        spread = 0.3 * np.exp(0.7 * rng.normal(size=arms)) if mixed else np.full(arms, 0.3)
        worlds = [release(rng, 3, 200, spread, -0.9, arms) for _ in range(5)]
        p = [one for world in worlds for one in _raw(world)]
        alarms += bool(min(stats.holm(p)) < ALPHA)
    assert alarms / runs <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / runs)


def _raw(world: Array) -> list[float]:
    before, after = world
    found, levels = squares_of(after - before), [squares_of(side) for side in (before, after)]
    lent = stats.pool([one_of(side, k) for side in levels for k in range(len(before))])
    twice = None if lent is None else Pool(2 * lent.variance, lent.df)
    values = (after - before).mean(axis=(1, 2))
    return [stats.spread(one_of(found, k), twice).p(float(value)) for k, value in enumerate(values)]


@pytest.mark.parametrize(("seeds", "n", "seed_sd"), [(3, 1000, 0.1), (5, 200, 0.05), (5, 1000, 0.1)])
def test_a_planted_five_point_drop_is_found_with_the_promised_power(seeds: int, n: int, seed_sd: float) -> None:
    rng, runs, arms, smallest = np.random.default_rng(3), 300, 6, 0.01
    parts, found = [], 0
    for _ in range(runs):
        world = release(rng, seeds, n, np.full(arms, seed_sd), -0.9, arms)
        # the first arm forgets one in so many of its texts, others in every seed
        world[1, 0] *= rng.random((seeds, n)) >= 0.05 / max(world[1, 0].mean(), 1e-9)
        p, values = judge(world)
        found += bool(p[0] < ALPHA and values[0] < -smallest)
        parts.append(squares_of((world[1] - world[0])[:1]))
    measured = Components(
        max(0.0, float(np.mean([one.seed_variance for one in parts]))),
        max(0.0, float(np.mean([one.example_variance for one in parts]))),
        float(np.mean([one.residual for one in parts])),
        "this simulation",
    )
    promised = planner.power(
        Question("clean_accuracy", 0.05, smallest, comparisons=arms, arms=arms), measured, seeds, n
    )
    assert 0.3 < promised < 0.98
    assert found / runs == pytest.approx(promised, abs=0.03 + 2 * np.sqrt(promised * (1 - promised) / runs))


# --- the planner's words


def test_more_is_better_and_the_answer_is_the_least_that_suffices() -> None:
    asked, parts = Question("clean_accuracy", 0.03, 0.01), planner.DEFAULTS["clean_accuracy"]
    found = planner.plan(asked, parts)
    assert found.needed[3] is None
    assert found.needed[5] == min(n for n in planner.EXAMPLES if found.table[5, n] >= asked.power)
    assert all(found.table[20, n] >= found.table[3, n] - 0.02 for n in planner.EXAMPLES)
    said = f"5 seeds and {found.needed[5]} examples find a difference of 3 points in clean_accuracy with power 0.8"
    assert planner.sentence(asked, found).startswith(said)
    assert planner.power(asked, parts, 5, 1000) == planner.power(asked, parts, 5, 1000)


@pytest.mark.parametrize("metric", ["clean_accuracy", "aua_raw:textfooler"])
def test_the_noise_is_that_of_the_given_folder(metric: str, filled: Any) -> None:
    store = filled("r", {"baseline": {}, "fgm": {}})
    table, column, won = {
        "clean_accuracy": ("clean", "correct", True),
        "aua_raw:textfooler": ("attack:textfooler:raw", "status", "failed"),
    }[metric]
    outcomes: dict[str, list[Any]] = {"baseline": [], "fgm": []}
    for record in store:
        rows = store.tables(record, table).sort_values("id")
        outcomes[str(record.spec["mitigation"])].append((rows[column] == won).to_numpy(dtype=float))
    expected = paired_squares(*(np.array(rows) for rows in outcomes.values()))
    assert expected is not None
    found = planner.components(build(store, keep=[metric]), metric)
    assert found.residual == pytest.approx(expected.residual)
    assert found.seed == pytest.approx(max(0.0, expected.seed_variance))
    assert found.example == pytest.approx(max(0.0, expected.example_variance))
    *_, last = planner.answer("10pp", 0.8, metric, store)
    assert f"from differences to the baseline: 1: seeds {found.seed:.2g}, " in last


@pytest.mark.parametrize(("text", "value"), [("3pp", 0.03), ("2.5 %", 0.025), ("0.03", 0.03)])
def test_effects_are_points_or_shares(text: str, value: float) -> None:
    assert planner.effect(text) == pytest.approx(value)


@pytest.mark.parametrize("text", ["3", "-1pp", "much", "0", "150%", ""])
def test_other_effects_are_refused(text: str) -> None:
    with pytest.raises(UserError, match="percentage points as 3pp"):
        planner.effect(text)


def test_questions_without_an_answer_are_refused() -> None:
    parts = planner.DEFAULTS["worst_case"]
    with pytest.raises(UserError, match="no more than the 5 that matter"):
        planner.plan(Question("worst_case", 0.04, 0.05), parts)
    with pytest.raises(UserError, match="between 0 and 1"):
        planner.plan(Question("worst_case", 0.1, 0.05, power=1.0), parts)
    with pytest.raises(UserError, match="shares per example"):
        list(planner.answer("3pp", 0.8, "train_seconds", None))
