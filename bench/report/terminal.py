"""Boards on a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from bench.board import Board
from bench.report import sections
from bench.report.formats import EMPTY
from bench.report.sections import Section

STYLES = {"better": "green", "worse": "red", "not distinguishable": "dim"}


def show(boards: Sequence[Board], console: Console) -> None:
    """Prints the verdict and the headline numbers of each board, then what must be said about them."""
    for board in boards:
        console.print(Text(sections.caption(board), style="bold"))
        for section in (sections.verdict(board), sections.headlines(board)):
            console.print(table(section))
        for remark in sections.remarks(board):
            console.print(Text(f"- {remark}"), soft_wrap=True)
        console.print()
    if not boards:
        console.print(Text(EMPTY))


def table(section: Section) -> Table:
    """A rich table; every cell is plain text, so nothing in a record is read as markup."""
    made = Table(title=section.title, title_justify="left", header_style="bold", pad_edge=False)
    for position, name in enumerate(section.header):
        words = position == 0 or name in ("mitigation", "verdict", "flags")
        made.add_column(Text(name), justify="left" if words else "right", no_wrap=name == "mitigation")
    for row in section.rows:
        made.add_row(*(Text(cell.text, style=STYLES.get(cell.text, "")) for cell in row))
    return made
