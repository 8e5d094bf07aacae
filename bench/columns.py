"""The cells of a stored table as arrays, without the cost of a data frame."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from bench.stats import Array
from bench.store import Columns

KNOWN_IDS = 1024  # sets of examples; every record of a board has the same few


def ids(columns: Columns) -> tuple[str, ...]:
    """The example ids, one tuple for all records that have the same. Raises ValueError where one stands twice."""
    return _distinct(tuple(map(str, columns["id"])))


@functools.lru_cache(KNOWN_IDS)
def _distinct(found: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(found)) < len(found):
        raise ValueError("an example id stands twice")
    return found


def numbers(columns: Columns, name: str) -> Array:
    """A column as floats, NaN where unknown. Raises ValueError or TypeError for what is no number."""
    return np.array(columns[name], dtype=np.float64)


def equal(words: Sequence[Any], wanted: str) -> Array:
    """1 where a cell is this word, else 0."""
    return np.array([word == wanted for word in words], dtype=np.float64)


def parts(columns: Columns, name: str) -> dict[str, Columns]:
    """The rows of each value of a column, in the order of the values; rows without one are in no part."""
    places: dict[Any, list[int]] = {}
    for place, value in enumerate(columns[name]):
        if value is not None:
            places.setdefault(value, []).append(place)
    ordered = sorted(places, key=lambda value: (isinstance(value, str), value))
    return {
        str(value): {column: [cells[place] for place in places[value]] for column, cells in columns.items()}
        for value in ordered
    }


def median(values: Array) -> float:
    """numpy's median, which takes ten times as long for a few values."""
    ordered = sorted(values.tolist())
    if any(value != value for value in ordered):
        return np.nan
    return float((ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2)
