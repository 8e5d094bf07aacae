"""How the arms of a board moved over its releases: one line an arm and metric, each point with its interval."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bench import metrics
from bench.board import Board
from bench.gate.releases import NOW, Line, Point, natural
from bench.report import wording
from bench.report.page.script import short


def data(board: Board, lines: Sequence[Line]) -> dict[str, Any] | None:
    """`{releases, metrics: [{title, unit, arms: {place: [[release, value, low, high, what differs]]}}]}`.

    `releases` are in the order of time, today's records last, and points name theirs by its place. None where no arm of
    the board has a history.
    """
    mine = [line for line in lines if line.board == board.name]
    if not mine:
        return None
    places = {arm.label: place for place, arm in enumerate(board.arms)}
    older = {point.release for line in mine for point in line.points if point.release != NOW}
    order = [*sorted(older, key=natural), NOW]
    found: dict[str, dict[str, Any]] = {}
    for line in mine:
        about = metrics.of(line.metric)
        one = found.setdefault(line.metric, {"title": wording.heading(line.metric), "unit": about.unit, "arms": {}})
        one["arms"][str(places[line.arm])] = [_point(point, order) for point in line.points]
    return {"releases": order, "metrics": list(found.values())}


def _point(point: Point, order: Sequence[str]) -> list[Any]:
    cell = point.interval
    numbers = [short(number, 6) for number in (cell.value, cell.low, cell.high)]
    return [order.index(point.release), *numbers, ", ".join(point.apart) or None]
