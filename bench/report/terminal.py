"""Boards on a terminal: whatever its width, no number is cut and no heading shortened by the machine."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable, Collection, Sequence

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bench import metrics
from bench.board import Arm, Board
from bench.report import sections, wording
from bench.report.sections import Cell
from bench.report.shown import EMPTY

STYLES = {"better": "green", "worse": "red", "not distinguishable": "dim", "not dist.": "dim"}
SHORT_VERDICTS = {"not distinguishable": "not dist.", "1 seed: not judged": "1 seed", "masking: not judged": "masked"}
GROUPS: tuple[tuple[str, ...], ...] = (
    ("ood_accuracy", "ood_f1", "ece_calibrated"),
    ("aua_calibrated", "entity_f1_attacked", "transfer_accuracy", "transfer_f1"),
    ("dnaopc", "drift_tau", "edit_tau_worst"),
    ("unhealthy_runs", "seed_deviation"),
    ("step_time_ratio", "peak_memory_ratio", "trainable_share"),
)
HEAD_WIDTH, NAME_WIDTH = 10, 15
BETWEEN = 2  # columns between two of a table: the padding and the box's blank line
MOST, MOST_ARMS = 10, 100  # boards, and arms of them together; nobody scrolls through more
Row = tuple[str, list[Cell]]


def show(boards: Sequence[Board], console: Console, run: Collection[str] = ()) -> None:
    """Prints the verdict and the headline numbers of each board, then how to read them and what must be said.

    With `run`, spec ids, only of the boards that hold one of them. Of many (`MOST`, `MOST_ARMS`) the first ones, and
    always one.
    """
    ids = set(run)
    chosen = [board for board in boards if any(record.spec_id in ids for arm in board.arms for record in arm.records)]
    chosen = chosen or list(boards)
    arms = itertools.accumulate(len(board.arms) for board in chosen)
    shown = max(1, sum(count <= MOST_ARMS for count in itertools.islice(arms, MOST)))
    for board in chosen[:shown]:
        console.print(Text(board.name, style="bold"))
        console.print(Text(wording.caption(board)))
        console.print(verdict(board, console.width))
        if remarks := wording.remarks(board):
            console.print(_listed("!", remarks))
        for part in details(board, console.width):
            console.print(part)
        console.print(_listed("-", [*wording.legend(board, "ranks, best-worst"), wording.sources(board)], style="dim"))
        console.print()
    if len(boards) > shown:
        more = "1 more board is" if len(boards) == shown + 1 else f"{len(boards) - shown} more boards are"
        console.print(Text(f"{more} in leaderboard.md and on the page"))
    if not boards:
        console.print(Text(EMPTY))


def _listed(mark: str, lines: Sequence[str], style: str = "") -> Table:
    grid = Table.grid(padding=(0, 1, 0, 0))
    for line in lines:
        grid.add_row(Text(mark), Text(line, style=style))
    return grid


def verdict(board: Board, width: int) -> Table:
    """The richest of five verdict tables that fits; in the narrowest only the arms' names may fold."""
    for without in ((), ("family", "p (Holm)", "seeds", "n"), ("family", "p (Holm)", "seeds", "n", "group")):
        table = _verdict(board, rich=True, without=without)
        if _width(table) <= width:
            return table
    plain = _verdict(board, rich=False)
    return plain if _width(plain) <= width else _verdict(board, rich=False, without=("ranks",))


def _verdict(board: Board, *, rich: bool, without: Sequence[str] = ()) -> Table:
    columns = _with_ranks(sections.columns(board), board.arms)
    unattacked = [name for name in ("clean_accuracy", "entity_f1") if name in board.metrics and name != board.score]
    base = unattacked[0] if unattacked else "clean_accuracy"
    score, clean = sections.heading(board.score), sections.heading(base)
    kept = [name for name in columns if name not in without and (name != "ranks" or any(a.ranks for a in board.arms))]
    heads = {score: sections.heading(board.score, terse=True), clean: sections.heading(base, terse=True)}
    heads |= {"vs baseline, points": "vs baseline", "rank": "#"}
    if not rich:
        shown = ("rank", "ranks", "mitigation", score, "vs baseline, points", "verdict", clean)
        kept = [name for name in kept if name in shown]
        heads[clean] = heads[clean].replace(" ", "\n", 1)
    table = _table()
    for name in kept:
        words = name in sections.WORDS
        head = Text(heads.get(name, name), style="bold")
        table.add_column(head, justify="left" if words else "right", no_wrap=name != "mitigation", overflow="fold")
    for place, arm in enumerate(board.arms):
        cells = [
            _verdict_cell(name, columns[name][place], arm, rich, short=name == clean and not rich) for name in kept
        ]
        table.add_row(*cells)
    return table


def _with_ranks(columns: dict[str, list[Cell]], arms: Sequence[Arm]) -> dict[str, list[Cell]]:
    """The columns with the intervals of the ranks in one of their own, so that ranks stand below each other."""
    ranks = ["-".join(map(str, sorted(set(arm.ranks)))) if arm.ranks else sections.UNKNOWN for arm in arms]
    return {"rank": columns["rank"], "ranks": [Cell(text) for text in ranks], **columns}


def _verdict_cell(name: str, cell: Cell, arm: Arm, rich: bool, short: bool) -> Text:
    text = cell.main if short or name == "rank" else cell.text
    if name == "verdict":
        text = text if rich else SHORT_VERDICTS.get(text, text)
        # without a column of flags, a mark sends the reader to the lines below the table
        return Text(text if rich or not wording.flags(arm) else f"{text} !", style=STYLES.get(text, ""))
    return Text(text if rich or name != "mitigation" else _broken(text, NAME_WIDTH))


def details(board: Board, width: int) -> list[Table]:
    """The headline metrics as rows and the arms as columns: with intervals if all arms fit, else in several tables."""
    groups = _rows(board)
    arms = range(len(board.arms))
    if len(arms) <= width and _needed(board, groups, arms, intervals=True)(arms) <= width:
        return [_transposed(board, groups, arms, intervals=True)]
    needed = _needed(board, groups, arms, intervals=False)
    for count in range(1, len(arms) + 1):
        size = math.ceil(len(arms) / count)
        parts = [arms[start : start + size] for start in arms[::size]]
        if all(needed(part) <= width for part in parts):
            break
    tables = [_transposed(board, groups, part, intervals=False) for part in parts]
    tables[0].title = Text("without intervals: they are in leaderboard.md", style="dim")
    return tables


def _needed(board: Board, groups: Sequence[Sequence[Row]], arms: range, *, intervals: bool) -> Callable[[range], int]:
    """What `_width` says of the table of some arms, without one: to make and measure hundreds takes seconds."""
    rows = [row for group in groups for row in group]
    names = max((cell_len(label) for label, _ in rows), default=0)
    widths = []
    for arm in arms:
        texts = [cells[arm].text if intervals else cells[arm].main for _, cells in rows]
        widths.append(max(map(_widest, [_heading(board.arms[arm]), *texts])))
    return lambda part: names + sum(BETWEEN + widths[arm] for arm in part)


def _rows(board: Board) -> list[list[Row]]:
    groups = []
    for bases in GROUPS:
        names = [name for base in bases for name in board.metrics if sections.shown(name, base)]
        groups.append(
            [
                (
                    wording.heading(name, terse=True),
                    [sections.measured(arm.cells[name], metrics.of(name).unit) for arm in board.arms],
                )
                for name in names
            ]
        )
    groups[-1].append(("learning rate", [sections.learning_rate(arm)[0] for arm in board.arms]))
    return [group for group in groups if group]


def _transposed(board: Board, groups: Sequence[Sequence[Row]], arms: range, *, intervals: bool) -> Table:
    table = _table()
    table.add_column(Text(""), no_wrap=True)
    for arm in arms:
        table.add_column(Text(_heading(board.arms[arm]), style="bold"), justify="right", no_wrap=True)
    for group in groups:
        for label, cells in group:
            picked = [cells[arm] for arm in arms]
            texts = (Text(cell.text if intervals else cell.main) for cell in picked)
            table.add_row(Text(label), *texts, end_section=label == group[-1][0])
    return table


def _heading(arm: Arm) -> str:
    return _broken(arm.label, HEAD_WIDTH)


def _broken(label: str, width: int) -> str:
    """A name over several lines of at most `width` letters where its parts allow, broken after what joins them."""
    lines = [""]
    for part in re.findall(r"[^_+ ,=]*[_+ ,=]*", label):
        if lines[-1] and len(lines[-1]) + len(part.rstrip()) > width:
            lines.append("")
        lines[-1] += part
    return "\n".join(line.rstrip() for line in lines)


def _table() -> Table:
    # this box draws one line below the headings, a blank one between sections and a blank between columns
    return Table(
        box=box.SIMPLE, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0), title_justify="left", header_style=""
    )


def _width(table: Table) -> int:
    """The columns a table needs when nothing in it folds; rich says the same, in ten times the time."""
    widths = [max(_widest(str(text)) for text in (column.header, *column.cells)) for column in table.columns]
    return sum(widths) + BETWEEN * (len(widths) - 1)


def _widest(text: str) -> int:
    return max(map(cell_len, text.splitlines()), default=0)
