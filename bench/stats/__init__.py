"""Intervals, paired tests and multiplicity control: pure functions of arrays, a leaf (numpy and scipy only).

Samples come as a (seeds, examples) array: every seed of an arm is scored on the same examples. NaN is unknown: a seed
without any value is dropped, then every example that is unknown for a remaining seed; `n` says how many examples were
left. An interval that cannot be known is None, never zero wide.

Simulated coverage of the 95 % intervals of a share, at 50 to 1,000 examples and seeds that differ by 0 to 0.5 logits:
95 to 98 % with 3 seeds, 95 to 97 % with 5; two seeds rather cover too much, 94 to 100 % (tests/bench/test_stats.py).
"""

from bench.stats.components import (
    LEVEL,
    Array,
    Pool,
    Spread,
    Squares,
    known,
    mean_variance,
    pool,
    spread,
    squares,
    squares_of,
)
from bench.stats.effects import NonInferiority, cohen_h, mcnemar, non_inferiority, permutation, standardised
from bench.stats.families import Signs, benjamini_hochberg, holm, letters, rank_intervals, sign_test
from bench.stats.intervals import (
    Interval,
    count_interval,
    mean_interval,
    mean_intervals,
    ratio_interval,
    ratio_intervals,
    seed_interval,
    seed_intervals,
)
from bench.stats.paired import (
    ROUNDS,
    Difference,
    influence,
    influences,
    paired_bootstrap,
    paired_bootstraps,
    paired_squares,
)
from bench.stats.pairwise import pairwise

__all__ = [
    "LEVEL",
    "ROUNDS",
    "Array",
    "Difference",
    "Interval",
    "NonInferiority",
    "Pool",
    "Signs",
    "Spread",
    "Squares",
    "benjamini_hochberg",
    "cohen_h",
    "count_interval",
    "holm",
    "influence",
    "influences",
    "known",
    "letters",
    "mcnemar",
    "mean_interval",
    "mean_intervals",
    "mean_variance",
    "non_inferiority",
    "paired_bootstrap",
    "paired_bootstraps",
    "paired_squares",
    "pairwise",
    "permutation",
    "pool",
    "rank_intervals",
    "ratio_interval",
    "ratio_intervals",
    "seed_interval",
    "seed_intervals",
    "sign_test",
    "spread",
    "squares",
    "squares_of",
    "standardised",
]
