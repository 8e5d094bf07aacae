"""Tables of many records about the same texts: columns as they stand in the record, turned into what one text needs.

A report goes over millions of outcomes, so none of them is looked at by itself: a record's columns are kept as they are
and turned all together, tables x texts -> texts x tables. The page makes rows of the columns of the text it shows.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

Head = tuple[int, int, int]  # arm, seed, attack or explainer of a table
Heads = Sequence[Sequence[int]]  # arms, seeds, attacks or explainers of the tables of a block
Turned = Sequence[Any]  # [row of the tables, place of its text, and of each field the cells of all tables]
Slice = tuple[int, Heads, Sequence[Turned]]  # number of the block, its tables, its rows in one piece


class Block:
    """Tables of one kind whose rows are about the same texts; `places`: of each row's text, None for one not shown."""

    def __init__(self, places: tuple[int | None, ...]) -> None:
        self.places = places
        self.in_order = places == tuple(range(len(places)))
        self._heads: list[Head] = []
        self._tables: list[Sequence[Sequence[Any]]] = []

    def add(self, head: Head, fields: Sequence[Sequence[Any]]) -> None:
        """`fields`: the same columns of every table, each as long as `places`."""
        self._heads.append(head)
        self._tables.append(fields)

    def take(self, per_piece: int) -> Iterator[tuple[int, Heads, list[Turned]]]:
        """(piece, tables, its rows) of all that was added, which is forgotten."""
        if not self._heads:
            return
        heads, tables, self._heads, self._tables = list(zip(*self._heads, strict=True)), self._tables, [], []
        pieces: dict[int, list[Turned]] = defaultdict(list)
        width = len(self.places)
        flat = [_flat(columns, width) for columns in zip(*tables, strict=True)]
        for row, place in enumerate(self.places):
            if place is not None:
                pieces[place // per_piece].append([row, place, *(cells[row::width] for cells in flat)])
        for piece, rows in pieces.items():
            yield piece, heads, rows


def _flat(columns: Sequence[Sequence[Any]], width: int) -> Sequence[Any]:
    """The columns of one field one after the other, from which every `width`-th cell takes less time than from each."""
    if any(len(column) != width for column in columns):
        raise ValueError("columns of one table are of unequal length")
    if isinstance(columns[0], str):
        return "".join(map(str, columns))
    cells: list[Any] = []
    for column in columns:
        cells += column
    return cells


def joined(slices: Iterable[Slice]) -> Iterator[Slice]:
    """The slices of one piece with those of the same block, which were taken one after the other, made one."""
    found: dict[int, list[Slice]] = defaultdict(list)
    for one in slices:
        found[one[0]].append(one)
    for number in sorted(found):
        first, *others = found[number]
        yield _together([first, *others]) if others else first


def _together(slices: Sequence[Slice]) -> Slice:
    heads: list[list[int]] = [[], [], []]
    by_row: dict[int, list[Any]] = {}
    for _, more_heads, rows in slices:
        for column, more in zip(heads, more_heads, strict=True):
            column.extend(more)
        for row, place, *cells in rows:
            known = by_row.setdefault(row, [row, place, *([] for _ in cells)])
            for column, more in zip(known[2:], cells, strict=True):
                column.extend(more)
    return slices[0][0], heads, [by_row[row] for row in sorted(by_row)]
