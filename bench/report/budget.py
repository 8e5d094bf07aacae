"""Budget curves: accuracy under attack by the queries a word that the attacker may spend, read off one run.

Nothing is attacked again. Every search ends at its first success, and an Outcome says at which query that was; with
fewer queries the same search goes the same way until they are spent, so a success after q queries is a survivor of
every budget below q. Queries are counted by the batch of one word's candidates: where the winning candidate stood
early in its batch, a budget that ends inside the batch would have found it, so a value here may be high by the texts
that fell within one batch of the budget, and is never low.
"""

from __future__ import annotations

from bench import metrics
from bench.board import Board
from bench.report.sections import UNKNOWN, Cell, Section, measured_all

NOTE = (
    "Calibrated accuracy under attack, %, when the attacker may spend so many queries for each word of the text. Read "
    "off one run at the largest budget, from the query at which each attack succeeded; budgets beyond it are unknown."
)


def curves(board: Board) -> list[Section]:
    """One table: rows are arms and recipes, columns budgets, rising; none where a board has no attacks."""
    asked = [n for n in metrics.BUDGETS if any(name.startswith(f"aua_at_{n}:") for name in board.metrics)]
    recipes = list(dict.fromkeys(name.partition(":")[2] for name in board.metrics if name.startswith("aua_at_")))
    labels = [Cell(arm.label) for arm in board.arms]
    rows: list[tuple[Cell, ...]] = []
    for recipe in sorted(recipes):
        columns = [_column(board, f"aua_at_{n}:{recipe}") for n in asked]
        rows += zip(labels, [Cell(recipe)] * len(labels), *columns, strict=True)
    header = ("mitigation", "recipe", *(f"{n} x words" for n in asked))
    return [Section("Budget curves", header, tuple(rows), NOTE)] if rows and asked else []


def _column(board: Board, name: str) -> list[Cell]:
    if name not in board.metrics:
        return [Cell(UNKNOWN)] * len(board.arms)
    return measured_all([arm.cells[name] for arm in board.arms], "share")
