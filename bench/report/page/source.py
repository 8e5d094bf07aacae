"""What the page takes from a Record: its tables as plain columns, without the cost of data frames where it can be."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import numpy as np

from bench.record import Record
from bench.stats import Array
from bench.store import Columns, Store


class Part(Protocol):
    """One chart's material: sees every record of a board once, then says what the page needs (None: nothing there)."""

    def add(self, arm: int, tables: Tables) -> None: ...

    def data(self) -> dict[str, Any] | None: ...


class Tables:
    """A record and its tables by name, each as column -> values; unknown cells are None."""

    def __init__(self, store: Store, record: Record) -> None:
        self._store, self.record = store, record

    def get(self, name: str) -> Columns:
        """The columns of a table; none where the record does not have it."""
        return self._store.columns(self.record, name) if name in self.record.tables else {}

    def starting(self, prefix: str) -> Iterator[tuple[str, Columns]]:
        """(rest of the name, columns) of every table `<prefix>:<rest>`, by name."""
        for name in sorted(self.record.tables):
            if name.startswith(f"{prefix}:"):
                yield name.removeprefix(f"{prefix}:"), self.get(name)


def numbers(column: Sequence[Any]) -> Array:
    """A column as floats, NaN where unknown. Raises ValueError or TypeError for what is no number."""
    return np.array(column, dtype=np.float64)


def seed_of(record: Record) -> int:
    return int(record.spec["seed"])  # type: ignore[arg-type]
