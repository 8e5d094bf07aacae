"""The interactions of a board's stacked mitigations as a table."""

from __future__ import annotations

from bench import metrics
from bench.board import Board
from bench.report.sections import UNKNOWN, Cell, Section, points, probability, signed

NOTE = (
    "What a mitigation adds on top of the others of its stack, paired and Holm-corrected over this table. Interaction: "
    "that, less what it adds to the baseline; below 0 the two overlap. Both in points of the ranked metric."
)


def tables(board: Board) -> list[Section]:
    """One table, or none without a stack whose parts stand on the board."""
    if not board.interactions:
        return []
    unit = metrics.of(board.score).unit
    rows = tuple(
        (
            Cell(one.stack),
            Cell(one.rest),
            points(one.difference, unit),
            Cell(probability(one.p), one.p) if one.difference.seeds > 1 else Cell(UNKNOWN),
            Cell(one.verdict),
            Cell(UNKNOWN) if one.contrast is None else Cell(signed(one.contrast, unit), one.contrast),
        )
        for one in board.interactions
    )
    header = ("mitigation", "without", "difference, points", "p (Holm)", "verdict", "interaction, points")
    return [Section("Stacked mitigations", header, rows, NOTE)]
