"""What the page takes from a Record: its tables as plain columns, without the cost of data frames where it can be."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from bench.record import Record
from bench.stats import Array
from bench.store import Columns, Store

# what an attack made of a text; what is none of these words is as unknown as an error
LETTERS = {"success": "s", "failed": "f", "skipped": "k", "error": "e"}


class Part(Protocol):
    """One chart's material: sees every record of a board once, then says what the page needs (None: nothing there)."""

    def add(self, arm: int, tables: Tables) -> None: ...

    def data(self) -> dict[str, Any] | None: ...


class Tables:
    """A record and its tables by name, each as column -> values; unknown cells are None."""

    def __init__(self, store: Store, record: Record) -> None:
        self._store, self.record = store, record
        self._started: dict[str, list[tuple[str, Columns]]] = {}

    def get(self, name: str) -> Columns:
        """The columns of a table; none where the record does not have it."""
        return self._store.columns(self.record, name) if name in self.record.tables else {}

    def starting(self, prefix: str) -> Sequence[tuple[str, Columns]]:
        """(rest of the name, columns) of every table `<prefix>:<rest>`, by name; read once."""
        if prefix not in self._started:
            named = _by_prefix(tuple(self.record.tables)).get(prefix, ())
            self._started[prefix] = [(rest, self._store.columns(self.record, name)) for rest, name in named]
        return self._started[prefix]

    @functools.cached_property
    def attacks(self) -> list[tuple[str, Columns, str]]:
        """(`<recipe>:<mode>`, columns, one letter of LETTERS a text) of every attack, by name."""
        return [
            (subject, columns, "".join(map(LETTERS.get, columns["status"], itertools.repeat("e"))))
            for subject, columns in self.starting("attack")
        ]


@functools.lru_cache(256)
def _by_prefix(names: tuple[str, ...]) -> dict[str, list[tuple[str, str]]]:
    """Prefix -> (rest of the name, name), by name, of the tables of a record, which on a board are mostly the same."""
    found: dict[str, list[tuple[str, str]]] = {}
    for name in sorted(names):
        prefix, colon, rest = name.partition(":")
        if colon:
            found.setdefault(prefix, []).append((rest, name))
    return found


def numbers(column: Sequence[Any]) -> Array:
    """A column as floats, NaN where unknown. Raises ValueError or TypeError for what is no number."""
    return np.array(column, dtype=np.float64)


def seed_of(record: Record) -> int:
    return int(record.spec["seed"])  # type: ignore[arg-type]
