"""No printed interval of a bounded mean may promise what the metric cannot be."""

from __future__ import annotations

import math

import numpy as np
import pytest

from bench import metrics, ranges, summaries
from bench.metrics import Values
from bench.stats import Difference, Interval


def seeds(*rows: list[float]) -> list[Values]:
    ids = tuple(f"t{place}" for place in range(len(rows[0])))
    return [Values(np.array(row), None, ids) for row in rows]


# means near an end, with a spread whose t interval reaches beyond it
NEAR_ONE = seeds([1.0, 1.0, 1.0, 0.7, 1.0, 1.0], [1.0, 1.0, 0.9, 1.0, 1.0, 1.0])
NEAR_MINUS_ONE = seeds([-1.0, -1.0, -1.0, -0.7, -1.0, -1.0], [-1.0, -1.0, -0.9, -1.0, -1.0, -1.0])


@pytest.mark.parametrize("name", ["drift_overlap", "edit_tau", "faithfulness_correlation", "rationale_f1", "dnaopc"])
def test_an_interval_ends_at_the_most_a_metric_can_be(name: str) -> None:
    found = metrics.summarise(f"{name}:occlusion", NEAR_ONE)
    assert found.high == 1.0
    assert found.value == pytest.approx(11.6 / 12)
    assert found.low is not None
    assert found.low < found.value < found.high


@pytest.mark.parametrize("name", ["edit_tau", "faithfulness_correlation"])
def test_an_interval_ends_at_the_least_a_metric_can_be(name: str) -> None:
    assert metrics.summarise(f"{name}:occlusion", NEAR_MINUS_ONE).low == -1.0


def test_numbers_per_seed_are_cut_too() -> None:
    one_each = [Values(np.array([value])) for value in (0.001, 0.09, 0.002)]
    ece = metrics.summarise("ece_raw", one_each)
    assert ece.low == 0.0
    assert metrics.summarise("tokens_per_second", one_each).low == 0.0
    gap = metrics.summarise("generalisation_gap", one_each)
    assert gap.low is not None
    assert gap.low < 0.0


def test_ap_below_chance_and_perplexity_are_not_cut_below() -> None:
    low = metrics.summarise("rationale_ap:occlusion", NEAR_MINUS_ONE).low
    assert low is not None
    assert low < -1.0
    assert metrics.of("perplexity_rise:textfooler").range == (-math.inf, math.inf)


def test_every_metric_has_a_range_and_brier_may_reach_two() -> None:
    assert all(low < high for low, high in (metric.range for metric in metrics.METRICS))
    assert metrics.of("brier_raw").range == (0.0, 2.0)
    assert metrics.of("aua_raw:textfooler").range == (0.0, 1.0)
    assert set(ranges.NAMES) <= {metric.name for metric in metrics.METRICS}
    assert set(ranges.UNITS) <= {metric.unit for metric in metrics.METRICS}


def test_a_cut_interval_holds_its_value_and_an_infinite_one_stays() -> None:
    assert ranges.cut(Interval(1.0 + 1e-16 + 1e-15, 0.9, 1.2, 5, 2), (0.0, 1.0)).high == 1.0 + 1e-16 + 1e-15
    endless = Interval(0.5, None, None, 5, 1)
    assert ranges.cut(endless, (0.0, 1.0)) is endless


def test_a_difference_is_no_larger_than_its_ends_are_apart() -> None:
    """Two seeds of eight texts: the t interval of so few reaches beyond what two shares can differ by."""
    first, second = seeds([1.0] * 8, [0.0] * 7 + [1.0]), seeds([0.0] * 8, [0.0] * 8)
    found = metrics.compare("clean_accuracy", dict(enumerate(first)), dict(enumerate(second)))
    assert found is not None
    assert (found.low, found.high) == (-1.0, 1.0)
    assert found.value == pytest.approx(-9 / 16)
    (together,) = summaries.compare("clean_accuracy", dict(enumerate(first)), [dict(enumerate(second))], None)
    assert together == found
    assert ranges.cut_difference(Difference(0.5, -0.2, 2.5, 0.1, 8, 2), (-1.0, 1.0)).high == 2.0
