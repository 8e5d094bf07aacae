"""Paired differences to the baseline as the coordinates of a small forest plot."""

from __future__ import annotations

from dataclasses import dataclass

from bench import metrics
from bench.board import Board

PLOT, LABELS, LINE = 470, 240, 24
LETTER = 7


@dataclass(frozen=True)
class Bar:
    """One arm: its row, the pixels of its estimate and interval, and the verdict in words."""

    label: str
    y: int
    x: float
    left: float
    right: float
    text: str
    verdict: str


@dataclass(frozen=True)
class Forest:
    """A drawing: bars, the pixel of no difference, the band that does not matter, and tick marks (x, text)."""

    title: str
    width: int
    height: int
    zero: float
    band: tuple[float, float]
    bars: tuple[Bar, ...]
    ticks: tuple[tuple[float, str], ...]


def plot(board: Board) -> Forest | None:
    """The plot of a board's ranked metric, in percentage points; None where no arm has an interval."""
    arms = [
        (arm, arm.difference, arm.difference.low, arm.difference.high)
        for arm in board.arms
        if arm.difference is not None
        and arm.difference.seeds > 1
        and arm.difference.low is not None
        and arm.difference.high is not None
    ]
    if not arms:
        return None
    smallest = metrics.of(board.score).smallest_difference or 0.0
    reach = 1.1 * max(smallest, *(abs(edge) for _, _, low, high in arms for edge in (low, high)))

    names = min(LABELS, 20 + LETTER * max(len(arm.label) for arm, *_ in arms))

    def pixel(value: float) -> float:
        return round(names + (value + reach) / (2 * reach) * PLOT, 1)

    bars = tuple(
        Bar(
            arm.label,
            LINE * (row + 1),
            pixel(difference.value),
            pixel(low),
            pixel(high),
            f"{100 * difference.value:+.1f} [{100 * low:+.1f}, {100 * high:+.1f}] points",
            arm.verdict,
        )
        for row, (arm, difference, low, high) in enumerate(arms)
    )
    step = next(s for s in (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0) if reach / s <= 5 or s == 1.0)
    marks = [k * step for k in range(-int(reach / step), int(reach / step) + 1)]
    ticks = tuple((pixel(mark), f"{100 * mark:+.0f}" if mark else "0") for mark in marks)
    title = f"{metrics.title(board.score)}: difference to the baseline, points"
    band = (pixel(-smallest), pixel(smallest))
    return Forest(title, names + PLOT + 20, LINE * (len(bars) + 2), pixel(0.0), band, bars, ticks)
