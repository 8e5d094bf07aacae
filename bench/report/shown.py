"""What several formats print of a board, found once for all of them."""

from __future__ import annotations

from dataclasses import dataclass

from bench.board import Board
from bench.report import budget, cards, interactions, matrix, sections
from bench.report.sections import Section

EMPTY = "No records yet: `temper run --tier smoke` makes the first ones."


@dataclass(frozen=True)
class Shown:
    """A board with its tables, the verdict first, those of them that hold its metrics, and its transfer matrix."""

    board: Board
    tables: tuple[Section, ...]
    details: tuple[Section, ...]
    transfers: matrix.Numbers


def shown_of(board: Board) -> Shown:
    transfers = matrix.numbers(board)
    details = tuple(sections.details(board))
    tables = (
        sections.verdict(board),
        *details,
        *interactions.tables(board),
        *budget.curves(board),
        *matrix.matrices(board, transfers),
        *cards.tables(board),
    )
    return Shown(board, tables, details, transfers)
