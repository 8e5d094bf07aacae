"""The gate's comparisons in words: one sentence per cell, what to do about a regression, the table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import pandas as pd
from rich.table import Table
from rich.text import Text

from bench import metrics
from bench.report.sections import number, signed
from bench.stats import Difference

Word = Literal["worse", "better", "same", "not shown"]


@dataclass(frozen=True)
class Cell:
    """One comparison that could be made."""

    name: str
    metric: str
    before: float
    after: float
    difference: Difference
    smallest: float
    changed: tuple[str, ...] = ()


def table(rows: pd.DataFrame, status: str) -> Table:
    """The compared cells as a rich table."""
    made = Table(title=f"verdict: {status.replace('_', ' ')}", title_justify="left", header_style="bold")
    for column in ("cell", "metric", "before", "after", "difference, points", "p (Holm)", "verdict"):
        made.add_column(column, justify="left" if column in ("cell", "metric", "verdict") else "right")
    for row in rows.to_dict(orient="records"):
        unit = metrics.of(row["metric"]).unit
        before, after = (number(row[key], unit) for key in ("before", "after"))
        difference, p = points(unit, row["difference"], row["low"], row["high"]), f"{row['p_holm']:.4f}"
        texts = (row["cell"], metrics.title(row["metric"]), before, after, difference, p, row["verdict"])
        made.add_row(*(Text(str(text)) for text in texts))
    return made


def sentence(cell: Cell, p: float, word: str) -> str:
    """The mitigation, the metric, the size, the interval and the verdict of one cell."""
    difference, unit = cell.difference, metrics.of(cell.metric).unit
    before, after = (f"{value:.3f}" for value in (cell.before, cell.after))
    end = word
    if word == "not shown":
        margin = signed(cell.smallest, unit).lstrip("+")
        end = f"not shown to be worse by no more than {margin}; more seeds or texts would tell (temper plan)"
    size = f"{points(unit, difference.value, difference.low, difference.high)}{' points' if unit == 'share' else ''}"
    return (
        f"{cell.name} / {metrics.title(cell.metric)}: {before} -> {after}, {size}, "
        f"p = {p:.2g} after Holm (n = {difference.n}, {difference.seeds} seeds): {end}"
    )


def advise(cell: Cell) -> str:
    """What to do about a regression: undo a changed setting, or find out which of data, libraries, code it was."""
    if cell.changed:
        return (
            f"the settings changed ({'; '.join(cell.changed)}); set them back and run again, or, if that was meant, "
            "make the candidate the new baseline (temper release)"
        )
    return "its settings are the same; `temper bisect` with the same two folders tells data, libraries, code and noise"


def points(unit: str, value: float, low: float | None, high: float | None) -> str:
    """`-10.0 [-14.1, -5.9]`: a difference with its interval where it has one, shares in percentage points."""
    if low is None or high is None or low != low or high != high:
        return signed(value, unit)
    return f"{signed(value, unit)} [{signed(low, unit)}, {signed(high, unit)}]"
