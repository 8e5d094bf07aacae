"""What the metrics can be at all, and intervals that promise no more: a t interval knows no bounds of its own."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TypeVar

from bench.stats import Difference, Interval

Range = tuple[float, float]
Cut = TypeVar("Cut", Interval, Difference)

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


def cut(found: Cut, limits: Range) -> Cut:
    """The interval without what lies outside `limits`; it still holds its value where rounding put that outside."""
    if found.value is None or found.low is None or found.high is None:
        return found
    if limits[0] <= found.low <= found.value <= found.high <= limits[1]:
        return found
    low, high = max(found.low, limits[0]), min(found.high, limits[1])
    return replace(found, low=min(low, found.value), high=max(high, found.value))


def cut_difference(found: Difference, limits: Range) -> Difference:
    """The same of a difference of two numbers within `limits`: at most as large as these are apart."""
    width = limits[1] - limits[0]
    return cut(found, (-width, width))
