"""What several formats print of a board, found once for all of them."""

from __future__ import annotations

import json
import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

import pydantic_core

from bench.board import Arm, Board
from bench.report import budget, cards, interactions, matrix, sections, wording
from bench.report.sections import Section
from bench.stats import Interval

INTERVAL = tuple(field.name for field in fields(Interval))
Exact = Mapping[str, str]
EMPTY = "No records yet: `temper run --tier smoke` makes the first ones."


@dataclass(frozen=True)
class Shown:
    """A board with its tables, the verdict first, those of them that hold its metrics, and its transfer matrix.

    `legend` and `remarks` are wording's. Of each arm its card and `exact`: full name -> the fields of its interval as
    in JSON, with commas between them; what is missing is not there.
    """

    board: Board
    tables: tuple[Section, ...]
    details: tuple[Section, ...]
    transfers: matrix.Numbers
    cards: tuple[cards.Card, ...]
    legend: tuple[str, ...]
    remarks: tuple[str, ...]
    exact: tuple[Exact, ...]


def shown_of(board: Board) -> Shown:
    transfers = matrix.numbers(board)
    details = tuple(sections.details(board))
    written = tuple(cards.card(board, arm) for arm in board.arms)
    tables = (
        sections.verdict(board),
        *details,
        *interactions.tables(board),
        *budget.curves(board),
        *matrix.matrices(board, transfers),
        *cards.tables(board, written),
    )
    said = tuple(wording.legend(board)), tuple(wording.remarks(board))
    return Shown(board, tables, details, transfers, written, *said, tuple(map(_exact, board.arms)))


def _exact(arm: Arm) -> dict[str, str]:
    known = {name: cell for name, cell in arm.cells.items() if isinstance(cell, Interval)}
    numbers = list(map(operator.attrgetter(*INTERVAL), known.values()))
    # encoded as one, which takes a third of the time
    return dict(zip(known, _json(numbers)[2:-2].split("],["), strict=False))


def _json(numbers: Sequence[Sequence[float | None]]) -> str:
    """As json.dumps. Raises ValueError for what is no finite number."""
    text = pydantic_core.to_json(numbers, inf_nan_mode="constants").decode("ascii")
    # a tenth of the time, and the same digits, but for numbers with an exponent (in Python below 0.0001) and NaN
    if any(sign in text for sign in ("e", "0.0000", "N", "I")):
        return json.dumps(numbers, allow_nan=False, separators=(",", ":"))
    return text
