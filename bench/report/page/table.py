"""A board as the page's table, cards, forest and trade-off charts see it: printed cells and the numbers behind them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from bench import judging, metrics
from bench.board import Arm, Board
from bench.report import sections, subjects, wording
from bench.report.page.script import short, shorts
from bench.report.sections import Cell, Section
from bench.report.shown import Shown
from bench.stats import Interval


def keys(boards: Sequence[Board]) -> list[str]:
    """A name for each board that stays the same when the page is written again, for links; unique."""
    found: list[str] = []
    for board in boards:
        key = re.sub(r"[^A-Za-z0-9_.]+", "-", board.name).strip("-.")[:120]
        found.append(key if key not in found else f"{key}-{len(found)}")
    return found


def summary(board: Board, key: str) -> dict[str, Any]:
    """One line of the list of boards."""
    best = next((arm for arm in board.arms if arm.rank == 1), None)
    value = sections.measured(best.cells[board.score], metrics.of(board.score).unit) if best else None
    return {
        "key": key,
        "name": board.name,
        "task": board.task,
        "model": board.model,
        "tier": board.tier,
        "arms": len(board.arms),
        "runs": sum(len(arm.records) for arm in board.arms),
        "score": wording.heading(board.score),
        "best": best.label if best else None,
        "value": value.text if value else None,
        "better": sum(arm.verdict == "better" for arm in board.arms),
        "worse": sum(arm.verdict == "worse" for arm in board.arms),
        "failed": sum(len(arm.failures) for arm in board.arms),
    }


def content(shown: Shown) -> dict[str, Any]:
    """Everything the page shows of a board at once; arms are named by their place."""
    board = shown.board
    return {
        "name": board.name,
        "caption": wording.caption(board),
        "legend": shown.legend,
        "remarks": shown.remarks,
        "score": board.score,
        "metrics": {name: _metric(name) for name in board.metrics},
        "arms": [_arm(arm, board) for arm in board.arms],
        "sections": [columns(section) for section in _joined([shown.tables[0], *shown.details, *_further(board)])],
        "numbers": {name: _numbers([arm.cells[name] for arm in board.arms]) for name in board.metrics},
    }


def columns(section: Section) -> dict[str, Any]:
    """A section by columns: heading, whether it holds words, and its cells."""
    made = [
        {"head": head, "words": head in sections.WORDS, "cells": _cells(cells)}
        for head, *cells in zip(section.header, *section.rows, strict=True)
    ]
    return {"title": section.title, "note": section.note, "columns": made}


def _further(board: Board) -> list[Section]:
    """What no table on paper has as a column of its own, such as the accuracy at each query budget."""
    known = {base for _, bases, _ in subjects.SECTIONS for base in bases} | {board.score, *judging.CLEAN}
    names = [name for name in board.metrics if name.partition(":")[0] not in known]
    header = ("mitigation", *(wording.heading(name) for name in names))
    made = [sections.measured_all([arm.cells[name] for arm in board.arms], metrics.of(name).unit) for name in names]
    rows = zip([Cell(arm.label) for arm in board.arms], *made, strict=True)
    return [Section("Budgets", header, tuple(rows), "Accuracy under attack by the queries a word.")] if names else []


def _joined(found: Sequence[Section]) -> list[Section]:
    """The page scrolls sideways, so a table that was cut in parts for paper is whole again."""
    whole: list[Section] = []
    for section in found:
        if section.title.endswith(", continued"):
            first = whole.pop()
            rows = tuple(a + b[1:] for a, b in zip(first.rows, section.rows, strict=True))
            whole.append(Section(first.title, first.header + section.header[1:], rows, first.note))
        else:
            whole.append(section)
    return whole


def _cells(column: Sequence[Cell]) -> list[list[Any]]:
    """[printed, interval, number to sort by, hint] of each cell, cut after the last that is known."""
    numbers = shorts([cell.number for cell in column], 8)
    return [_cell(cell, number) for cell, number in zip(column, numbers, strict=True)]


def _cell(cell: Cell, number: Any) -> list[Any]:
    if cell.hint:
        return [cell.main, cell.rest or None, number, cell.hint]
    if number is not None:
        return [cell.main, cell.rest or None, number]
    return [cell.main, cell.rest] if cell.rest else [cell.main]


def _metric(name: str) -> dict[str, Any]:
    about = metrics.of(name)
    found = {"title": metrics.title(name), "unit": about.unit, "direction": about.direction}
    return found | {"smallest": about.smallest_difference}


def _arm(arm: Arm, board: Board) -> dict[str, Any]:
    difference = arm.difference
    return {
        "label": arm.label,
        "family": wording.family(arm) or None,
        "rank": arm.rank,
        "no_rank": arm.no_rank or None,
        "verdict": arm.verdict or None,
        "difference": difference and [short(x, 8) for x in (difference.value, difference.low, difference.high)],
        "seeds_compared": difference and difference.seeds,
        "difference_text": sections.points(difference, metrics.of(board.score).unit).text,
        "p": None if arm.p_adjusted is None else sections.probability(arm.p_adjusted),
        "flags": wording.flags(arm),
        "masking": arm.masking,
        "out": _ineligible(arm),
        "failures": arm.failures,
        "seeds": arm.seeds,
    }


def _ineligible(arm: Arm) -> str | None:
    """Why an arm's robustness is no bargain whatever it costs; None where nothing speaks against it."""
    if arm.below:
        return arm.below
    if arm.masking or arm.hides:
        return "; ".join(arm.hides) or f"masking under {', '.join(arm.masking)}"
    return ", ".join(arm.unhealthy) or None


def _numbers(cells: Sequence[Any]) -> list[list[Any] | None]:
    """[value, low, high] of each cell, None where it is unknown."""
    known = [cell if isinstance(cell, Interval) and cell.value is not None else None for cell in cells]
    numbers = iter(shorts([x for cell in known if cell for x in (cell.value, cell.low, cell.high)], 6))
    return [[next(numbers), next(numbers), next(numbers)] if cell else None for cell in known]
