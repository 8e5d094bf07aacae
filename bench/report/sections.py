"""A board as tables of printed cells, the same for every file format."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from bench import metrics
from bench.board import Arm, Board
from bench.metrics import Missing
from bench.report.printed import numbers
from bench.report.subjects import FLOORS, SECTIONS
from bench.report.wording import CONTROL, family, flags, heading
from bench.stats import Difference, Interval

UNKNOWN = "—"
WORDS = (
    "mitigation", "family", "verdict", "flags", "learning rate from", "recipe", "group", "without", "use when", "costs",
    "caveats", "source",
)  # fmt: skip
WIDEST = 12


class Cell(NamedTuple):  # a board has thousands, and a frozen dataclass takes three times as long to make
    """A printed value, the number to sort by (None sorts last), a hint, and what follows the value: its interval."""

    main: str
    number: float | None = None
    hint: str = ""
    rest: str = ""

    @property
    def text(self) -> str:
        return f"{self.main} {self.rest}" if self.rest else self.main


@dataclass(frozen=True)
class Section:
    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    note: str = ""

    @functools.cached_property
    def body(self) -> str:
        """The texts of the rows, a tab between cells and a line end between rows, neither of which is in a cell."""
        rows = [[f"{main} {rest}" if rest else main for main, _, _, rest in row] for row in self.rows]
        return "\n".join(["\t".join([" ".join(text.split()) for text in row]) for row in rows])


def number(value: float, unit: str) -> str:
    """A value as printed: shares in percent, everything else in its own unit."""
    return numbers([value], unit)[0]


def measured(cell: Interval | Missing, unit: str) -> Cell:
    """`83.1 [80.2, 85.7]`; the value alone where the interval is infinite; a dash and the status where unknown."""
    return measured_all([cell], unit)[0]


def measured_all(cells: Sequence[Interval | Missing], unit: str) -> list[Cell]:
    """Each of the cells as by `measured`."""
    known: list[float] = []
    for cell in cells:
        if isinstance(cell, Interval) and cell.value is not None:
            known += (cell.value,) if cell.low is None or cell.high is None else (cell.low, cell.high, cell.value)
    texts = iter(numbers(known, unit))
    found = []
    for cell in cells:
        if isinstance(cell, Missing):
            found.append(Cell(UNKNOWN, None, cell.reason, cell.status.replace("_", " ")))
        elif cell.value is None:
            found.append(Cell(UNKNOWN))
        else:
            rest = "" if cell.low is None or cell.high is None else f"[{next(texts)}, {next(texts)}]"
            found.append(Cell(next(texts), cell.value, _sample(cell.n, cell.seeds), rest))
    return found


@functools.lru_cache(256)
def _sample(n: int, seeds: int) -> str:
    some = f"{seeds} seed{'' if seeds == 1 else 's'}"
    return f"{n} examples, {some}" if n else some


def points(difference: Difference | None, unit: str) -> Cell:
    """A difference to the baseline, signed, in percentage points for shares."""
    if difference is None:
        return Cell(UNKNOWN)
    rest = ""
    if difference.seeds > 1 and difference.low is not None and difference.high is not None:
        rest = f"[{signed(difference.low, unit)}, {signed(difference.high, unit)}]"
    hint = f"{difference.n} examples, {difference.seeds} seeds, paired"
    return Cell(signed(difference.value, unit), difference.value, hint, rest)


def signed(value: float, unit: str) -> str:
    text = number(value, unit)
    return text if text.startswith("-") else f"+{text}"


def columns(board: Board) -> dict[str, list[Cell]]:
    """The columns of the verdict table by heading, a cell for each arm; the terminal picks those that fit."""
    arms, unit = board.arms, metrics.of(board.score).unit
    scores = [arm.cells[board.score] for arm in arms]
    found = {
        "rank": [Cell(str(a.rank), a.rank, "", _span(a)) if a.rank else Cell(UNKNOWN, None, a.no_rank) for a in arms],
        "mitigation": [Cell(arm.label) for arm in arms],
        "family": [Cell(family(arm) or UNKNOWN) for arm in arms],
        heading(board.score): measured_all(scores, unit),
        "vs baseline, points": [points(arm.difference, unit) for arm in arms],
        "p (Holm)": [_p(arm) for arm in arms],
        "verdict": [Cell(arm.verdict or UNKNOWN) for arm in arms],
        "group": [Cell(arm.group or UNKNOWN) for arm in arms],
    }
    for name in ("clean_accuracy", "entity_f1"):
        if name in board.metrics and name != board.score:
            found[heading(name)] = measured_all([arm.cells[name] for arm in arms], metrics.of(name).unit)
    found["flags"] = [Cell(", ".join(flags(arm)) or UNKNOWN) for arm in arms]
    found["seeds"] = [Cell(str(arm.seeds), arm.seeds) for arm in arms]
    found["n"] = [Cell(str(one.n), one.n) if isinstance(one, Interval) else Cell(UNKNOWN) for one in scores]
    return found


def _p(arm: Arm) -> Cell:
    if arm.difference is None or arm.difference.seeds < 2 or arm.p_adjusted is None:
        return Cell(UNKNOWN)
    return Cell(probability(arm.p_adjusted), arm.p_adjusted)


def _span(arm: Arm) -> str:
    return f"[{arm.ranks[0]}, {arm.ranks[1]}]" if arm.ranks else ""


def verdict(board: Board) -> Section:
    """The first table: rank, ranked number, paired difference to the baseline, clean metric, flags."""
    found = columns(board)
    return Section("Verdict", tuple(found), tuple(zip(*found.values(), strict=True)))


def details(board: Board) -> list[Section]:
    """The remaining metrics by subject, in tables of at most `WIDEST` columns."""
    sections = []
    labels, named = [Cell(arm.label) for arm in board.arms], _by_base(board)
    for title, bases, note in SECTIONS:
        made: list[tuple[str, list[Cell]]] = [
            (heading(name), measured_all([arm.cells[name] for arm in board.arms], metrics.of(name).unit))
            for base in bases
            for name in named.get(base, ())
        ]
        if title == "Cost":
            made.append(("Pareto", [Cell("front" if arm.front else UNKNOWN) for arm in board.arms]))
            rates = [learning_rate(arm) for arm in board.arms]
            made += [("learning rate", [r[0] for r in rates]), ("learning rate from", [r[1] for r in rates])]
        # of equal width, rather than a full one and a rest
        size = math.ceil(len(made) / math.ceil(len(made) / (WIDEST - 1))) if made else 1
        for start in range(0, len(made), size):
            part = made[start : start + size]
            rows = zip(labels, *(cells for _, cells in part), strict=True)
            label = title if start == 0 else f"{title}, continued"
            header = ("mitigation", *(head for head, _ in part))
            sections.append(Section(label, header, tuple(rows), note if start == 0 else ""))
    return sections


def _by_base(board: Board) -> dict[str, list[str]]:
    """Base name -> the full names of the board's metrics that are printed."""
    found: dict[str, list[str]] = {}
    for name in board.metrics:
        base = name.partition(":")[0]
        if shown(name, base):
            found.setdefault(base, []).append(name)
    return found


def shown(name: str, base: str) -> bool:
    """Of the control explainer only the floors of scores are printed; the rest of it is in the CSV and JSON."""
    found, _, subject = name.partition(":")
    return found == base and (subject != CONTROL or base in FLOORS)


def learning_rate(arm: Arm) -> tuple[Cell, Cell]:
    rate, source = arm.fact("learning_rate"), arm.fact("learning_rate_source")
    shown_rate = Cell(f"{rate:g}", rate) if isinstance(rate, (int, float)) else Cell(str(rate or UNKNOWN))
    return shown_rate, Cell(str(source or UNKNOWN))


def probability(p: float) -> str:
    return "< 0.001" if p < 0.001 else f"{p:.3f}"
