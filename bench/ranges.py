"""What the metrics can be at all, and intervals that promise no more: a t interval knows no bounds of its own."""

from __future__ import annotations

import math

from bench.stats import Interval

Range = tuple[float, float]

# by unit; what is in neither of the two is a count, a time, or a ratio of such, and at least 0
UNITS: dict[str, Range] = {
    "share": (0.0, 1.0),
    "tau": (-1.0, 1.0),
    "gap": (-1.0, 1.0),
    "score": (-1.0, 1.0),
    "nats": (-math.inf, math.inf),
}
# by base name, where that is not the unit's: a difference of shares; a squared distance of two distributions; AP*
# below chance, which chance alone bounds; at least one word; a difference of counts
NAMES: dict[str, Range] = {
    "generalisation_gap": (-1.0, 1.0),
    "brier_calibrated": (0.0, 2.0),
    "brier_raw": (0.0, 2.0),
    "rationale_ap": (-math.inf, 1.0),
    "lexicon_ap": (-math.inf, 1.0),
    "own_words_ap": (-math.inf, 1.0),
    "effective_words": (1.0, math.inf),
    "errors_added": (-math.inf, math.inf),
}


def of(name: str, unit: str) -> Range:
    """The least and the most that a metric of this base name and unit can be; infinite where nothing bounds it."""
    return NAMES.get(name, UNITS.get(unit, (0.0, math.inf)))


def cut(interval: Interval, limits: Range) -> Interval:
    """The interval without what lies outside `limits`; it still holds its value where rounding put that outside."""
    if interval.value is None or interval.low is None or interval.high is None:
        return interval
    if limits[0] <= interval.low <= interval.value <= interval.high <= limits[1]:
        return interval
    low, high = max(interval.low, limits[0]), min(interval.high, limits[1])
    low, high = min(low, interval.value), max(high, interval.value)
    return Interval(interval.value, low, high, interval.n, interval.seeds, interval.df)
