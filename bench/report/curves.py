"""Boards of one task that differ in the share of labels, side by side: what a method is worth when labels are few."""

from __future__ import annotations

from collections.abc import Sequence

from bench import metrics
from bench.board import Board
from bench.metrics import Missing
from bench.report.sections import UNKNOWN, Cell, Section, measured

CLEAN = ("clean_accuracy", "entity_f1")


def fewer_labels(boards: Sequence[Board]) -> list[Section]:
    """One table for each task, model and tier with several shares: rows are arms, columns shares, rising."""
    found = []
    for key in dict.fromkeys((board.task, board.model, board.tier) for board in boards):
        same = sorted(
            (b for b in boards if (b.task, b.model, b.tier) == key and b.number == 1), key=lambda b: b.labelled
        )
        name = next((name for name in CLEAN if same and all(name in board.metrics for board in same)), None)
        if len(same) < 2 or name is None:
            continue
        labels = list(dict.fromkeys(arm.label for board in same for arm in board.arms))
        rows = [(Cell(label), *(_cell(board, label, name) for board in same)) for label in labels]
        title = f"{metrics.title(name)} by share of labels: {' / '.join(key)}"
        header = ("mitigation", *(f"{100 * board.labelled:g} %" for board in same))
        note = "Every arm takes the same number of steps at every share; texts without a label are seen by nobody but \
the methods that use them."
        found.append(Section(title, header, tuple(rows), note))
    return found


def _cell(board: Board, label: str, name: str) -> Cell:
    arm = next((arm for arm in board.arms if arm.label == label), None)
    cell = None if arm is None else arm.cells.get(name)
    if cell is None or isinstance(cell, Missing):
        return Cell(UNKNOWN)
    return measured(cell, metrics.of(name).unit)
