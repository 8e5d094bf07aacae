"""The cells of stored tables as arrays, without the cost of a data frame.

What is done to a table of forty rows takes numpy longer to begin than to do. Records of one board hold tables of the
same columns about the same examples, so they are read as one: a `Stack`, with a row of cells for each record.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bench.metrics import Values
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


@dataclass(frozen=True)
class Stack:
    """The tables of some records with the same columns and ids: `cells[column][record][row]`.

    `ids`: of the examples; of a table about no examples, what its rows are about.
    """

    cells: Mapping[str, Sequence[Sequence[Any]]]
    ids: tuple[str, ...]

    def about(self, wanted: str) -> Stack:
        """The rows with this id."""
        places = [place for place, one in enumerate(self.ids) if one == wanted]
        cells = {name: [[row[place] for place in places] for row in rows] for name, rows in self.cells.items()}
        return Stack(cells, (wanted,) * len(places))

    def numbers(self, name: str) -> Array:
        """(records, examples) floats, as `numbers` makes them."""
        return numbers(self.cells, name)


@dataclass(frozen=True)
class Rows:
    """One metric of the records of a stack, a row for each; `there` (records,): which of them have it, None for all."""

    top: Array
    bottom: Array | None = None
    ids: tuple[str, ...] | None = None
    there: Array | None = None

    def values(self) -> Iterator[Values | None]:
        """Per record what it has."""
        bottoms = itertools.repeat(None, len(self.top)) if self.bottom is None else self.bottom
        found = map(Values, self.top, bottoms, itertools.repeat(self.ids))
        if self.there is None:
            return found
        return (values if has else None for values, has in zip(found, self.there.tolist(), strict=True))


def stacks(tables: Mapping[int, Columns], key: str = "id") -> Iterator[tuple[list[int], Stack]]:
    """(the numbers of the records, their tables as one) of each kind of the tables of record number -> table.

    `key`: the column that they share. Raises KeyError for a table without it, ValueError for an id that stands twice.
    """
    alike: dict[tuple[tuple[str, ...], ...], list[int]] = {}
    for number, columns in tables.items():
        shared = ids(columns) if key == "id" else tuple(columns[key])
        alike.setdefault((tuple(columns), shared), []).append(number)
    for (names, shared), numbered in alike.items():
        cells = zip(*(tables[number].values() for number in numbered), strict=True)
        yield numbered, Stack(dict(zip(names, cells, strict=True)), shared)


def numbers(columns: Columns, name: str) -> Array:
    """A column as floats, NaN where unknown. Raises ValueError or TypeError for what is no number."""
    return np.array(columns[name], dtype=np.float64)


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


def medians(values: Array) -> Array:
    """numpy's median of each row, which takes ten times as long for a few values; NaN where one is unknown."""
    ordered = np.sort(values, axis=1)  # the unknown ones last
    middle = values.shape[1] // 2
    found: Array = (ordered[:, -middle - 1] + ordered[:, middle]) / 2
    return np.where(np.isnan(ordered[:, -1]), np.nan, found)
