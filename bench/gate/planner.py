"""How many seeds and examples does it take to find a difference? `temper plan --effect 3pp --power 0.8`.

The answer is simulated with the very test the gate and the board use (bench/stats): normal outcomes with the variance
components of a paired difference, the pooled spread of the other arms, Holm's correction at its strictest, and the
smallest difference that matters. The differences of real runs are means of many zeros and ones, which is close enough:
tests/bench/test_planner.py plants drops in such outcomes and compares.
"""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from rich.table import Table
from rich.text import Text

from bench import metrics, stats
from bench.board import Board
from bench.gate import checking
from bench.gate.settings import ARMS, COMPARISONS, gate_thresholds
from bench.leaderboard import build
from bench.stats import Array, Pool, Squares
from bench.store import Store
from training.errors import UserError

DRAWS, POOLS = 2000, 500
TINY = 1e-9
SEEDS = (3, 5, 8, 12, 20)
EXAMPLES = (50, 100, 200, 500, 1000, 2000, 5000)
POINTS = re.compile(r"([0-9]*\.?[0-9]+)\s*(pp|%)?")


@dataclass(frozen=True)
class Components:
    """Variances of a paired difference between two arms, per cell: seeds, examples, and what is left."""

    seed: float
    example: float
    residual: float
    source: str


# Paired differences to the baseline in `results/reference/quick` (what `components` says of it): BERT-tiny on movie
# reviews, seven arms, 3 seeds, 1,000 texts (clean accuracy) and 50 (worst case). Between seeds clean accuracy differed
# there by hardly more than chance; one point of standard deviation is assumed instead of a third.
DEFAULTS = {
    "clean_accuracy": Components(0.0001, 0.026, 0.077, "the suite's defaults (BERT-tiny on movie reviews)"),
    "worst_case": Components(0.0015, 0.0084, 0.051, "the suite's defaults (BERT-tiny on movie reviews)"),
}


@dataclass(frozen=True)
class Question:
    """`effect` and `smallest` in the metric's unit; `comparisons` cells are corrected for, `arms` lend their spread."""

    metric: str
    effect: float
    smallest: float
    power: float = 0.8
    comparisons: int = COMPARISONS
    arms: int = ARMS


@dataclass(frozen=True)
class Answer:
    """For each number of seeds the fewest examples that reach the power, None where none of `EXAMPLES` does.

    `table` holds (seeds, examples) -> power.
    """

    needed: dict[int, int | None]
    table: dict[tuple[int, int], float]


def effect(text: str) -> float:
    """`3pp`, `3%` or `0.03` as a share. Raises UserError for anything else, and for what is not within (0, 1)."""
    found = POINTS.fullmatch(text.strip())
    value = float(found[1]) / (100 if found[2] else 1) if found else 0.0
    if not 0 < value < 1:
        raise UserError(f"--effect is '{text}'; write percentage points as 3pp, or a share between 0 and 1 as 0.03.")
    return value


def components(boards: Iterable[Board], metric: str) -> Components:
    """The mean variance components of the differences to the baseline in a results folder.

    Raises UserError where no arm and baseline share two seeds of the metric.
    """
    found: list[Squares] = []
    for board in boards:
        baseline = next((arm for arm in board.arms if arm.label == "baseline"), None)
        for arm in board.arms if baseline is not None else ():
            if arm is not baseline and (one := _squares(metric, baseline.values, arm.values)):  # type: ignore[union-attr]
                found.append(one)
    if not found:
        raise UserError(
            f"no arm of that folder shares two seeds of '{metric}' with its baseline; leave --results out for the "
            "suite's defaults, or name another metric."
        )
    parts = [float(np.mean([getattr(one, part) for one in found])) for part in ("seed_variance", "example_variance")]
    rest = float(np.mean([one.residual for one in found]))
    return Components(max(0.0, parts[0]), max(0.0, parts[1]), rest, f"differences to the baseline: {len(found)}")


def _squares(metric: str, a: dict[str, Any], b: dict[str, Any]) -> Squares | None:
    first, second = a.get(metric, {}), b.get(metric, {})
    common = sorted(first.keys() & second.keys())
    if len(common) < 2:
        return None
    top, bottom = metrics.stack(metric, [first[s] for s in common] + [second[s] for s in common])
    half = len(common)
    weights = {} if bottom is None else {"a_weight": bottom[:half], "b_weight": bottom[half:]}
    return stats.paired_squares(top[:half], top[half:], **weights)


def power(asked: Question, parts: Components, seeds: int, n: int, *, draws: int = DRAWS, seed: int = 0) -> float:
    """The share of releases in which a difference of `asked.effect` is called one, by simulation (seeded)."""
    rng = np.random.default_rng(seed)
    s, e, r = parts.seed, parts.example, max(parts.residual, 1e-12)
    df = (seeds - 1, n - 1, (seeds - 1) * (n - 1))
    expected = (r + n * s, r + seeds * e, r)
    seed_ms, example_ms, residual_ms = (m * rng.chisquare(d, draws) / d for m, d in zip(expected, df, strict=True))
    value = asked.effect + rng.normal(size=draws) * math.sqrt((r + n * s + seeds * e) / (seeds * n))
    mean_square, lent_df = (np.resize(part, draws) for part in _pools(seeds, 2 * asked.arms))
    lent = Pool(np.maximum(0.0, (r + n * s) * mean_square - r) / n, lent_df)
    noise = stats.spread(Squares(seeds, n, seed_ms, example_ms, residual_ms), lent)
    proven = np.abs(value) >= noise.half_width(1 - checking.ALPHA / asked.comparisons)
    return float((proven & (np.abs(value) > asked.smallest)).mean())


@functools.cache
def _pools(seeds: int, arms: int) -> tuple[Array, Array]:
    """(mean square, df) of pools of `arms` alike arms, the mean square in units of its expectation.

    Drawn and not assumed: alike arms look different by chance, and the pool then knows its variance with fewer df.
    """
    rng = np.random.default_rng(1)
    found = []
    for drawn in rng.chisquare(seeds - 1, (POOLS, arms)) / (seeds - 1):
        made = stats.pool([Squares(seeds, 1, float(one), 0.0, TINY) for one in drawn])
        found.append((0.0, 1.0) if made is None else (made.variance + TINY, made.df))
    table = np.array(found)
    return table[:, 0], table[:, 1]


def plan(asked: Question, parts: Components) -> Answer:
    """The power of every size on the grid. Raises UserError for a question that no size can answer."""
    if not 0 < asked.power < 1:
        raise UserError(f"--power is {asked.power:g}; it must lie between 0 and 1.")
    if asked.effect <= asked.smallest:
        raise UserError(
            f"an effect of {100 * asked.effect:g} points is no more than the {100 * asked.smallest:g} that matter for "
            f"{asked.metric}: it would be called the same however sure it is. Ask for a larger one, or set a smaller "
            "threshold in [tool.temperbench.gate]."
        )
    table = {(seeds, n): power(asked, parts, seeds, n) for seeds in SEEDS for n in EXAMPLES}
    needed = {seeds: next((n for n in EXAMPLES if table[seeds, n] >= asked.power), None) for seeds in SEEDS}
    return Answer(needed, table)


def sentence(asked: Question, answer: Answer, sizes: Sequence[int] = SEEDS) -> str:
    """What to do, in one sentence: the fewest seeds that suffice, and with how many examples."""
    found = next(((seeds, answer.needed[seeds]) for seeds in sizes if answer.needed[seeds]), None)
    what = f"a difference of {100 * asked.effect:g} points in {asked.metric} with power {asked.power:g}"
    if found is None:
        return f"no size up to {SEEDS[-1]} seeds and {EXAMPLES[-1]} examples finds {what}"
    return f"{found[0]} seeds and {found[1]} examples find {what}, as one of {asked.comparisons} comparisons"


def answer(
    size: str, wanted: float, metric: str, store: Store | None, comparisons: int = COMPARISONS, arms: int = ARMS
) -> Iterator[str | Table]:
    """The lines and the table that `temper plan` prints; the noise is that of the store's boards, else the default's.

    Raises UserError for a metric that is not measured per example, and for a question that no size can answer.
    """
    known = next((one for one in metrics.METRICS if one.name == metric.partition(":")[0]), None)
    if known is None or known.kind not in ("binary", "mean", "ratio") or known.unit != "share":
        some = ", ".join(m.name for m in metrics.METRICS if m.kind in ("binary", "ratio") and m.unit == "share")
        raise UserError(f"--metric is '{metric}'; shares per example are known: {some}.")
    limits = gate_thresholds()
    smallest = limits.get(metric, limits.get(known.name, known.smallest_difference or 0.0))
    asked = Question(metric, effect(size), smallest, wanted, comparisons, arms)
    if store is not None:
        parts = components(build(store, keep=[metric]), metric)
    else:
        parts = DEFAULTS["clean_accuracy" if known.table == "clean" else "worst_case"]
    found = plan(asked, parts)
    yield sentence(asked, found)
    yield _table(asked, found)
    yield (
        f"variances of a paired difference, from {parts.source}: seeds {parts.seed:.2g}, examples {parts.example:.2g}, "
        f"rest {parts.residual:.2g}; {arms} arms in each set lend each other their spread over seeds"
    )


def _table(asked: Question, found: Answer) -> Table:
    made = Table(title="power, %, by seeds (rows) and examples (columns)", title_justify="left", header_style="bold")
    made.add_column("seeds", justify="right")
    for n in EXAMPLES:
        made.add_column(str(n), justify="right")
    for seeds in SEEDS:
        powers = [found.table[seeds, n] for n in EXAMPLES]
        texts = [Text(f"{100 * p:.0f}", style="bold" if p >= asked.power else "dim") for p in powers]
        made.add_row(str(seeds), *texts)
    return made
