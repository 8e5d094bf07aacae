"""The history over releases as pictures: one per board and metric, a panel for each arm, with 95 % intervals."""

from __future__ import annotations

import hashlib
import io
import math
import re
from collections.abc import Sequence
from pathlib import Path

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from bench import metrics
from bench.gate.releases import Line
from bench.store import write_atomic
from training.errors import UserError

ACROSS = 4
PANEL = (3.0, 2.0)  # inches
BLUE, APART = "#0072b2", "#d55e00"
# of more arms a picture would be taller than anything can show
MOST = 120


def write(lines: Sequence[Line], folder: Path) -> list[Path]:
    """Draws `folder/history/<board>-<metric>.png`; returns the pictures. None are drawn without two releases.

    Raises UserError when the folder cannot be written to.
    """
    groups: dict[tuple[str, str], list[Line]] = {}
    for line in lines:
        groups.setdefault((line.board, line.metric), []).append(line)
    drawn = []
    try:
        for (board, metric), some in groups.items():
            (folder / "history").mkdir(parents=True, exist_ok=True)
            path = folder / "history" / f"{_stem(board, metric)}.png"
            write_atomic(path, _png(picture(board, metric, some)))
            drawn.append(path)
    except OSError as error:
        raise UserError(f"cannot write to '{folder}' ({error.strerror}); choose another folder with --out.") from error
    return drawn


def _stem(board: str, metric: str) -> str:
    """A readable file name; the hash keeps two boards apart whose names differ only in what a file name cannot hold."""
    text = f"{board}-{metric}"
    readable = re.sub(r"[^A-Za-z0-9_+]+", "-", text).strip("-")[:120]
    return f"{readable}-{hashlib.sha256(text.encode()).hexdigest()[:6]}"


def picture(board: str, metric: str, lines: Sequence[Line]) -> Figure:
    """A panel per arm on one scale: releases from left to right, today's records last."""
    some = lines[:MOST]
    across, down = min(ACROSS, len(some)), math.ceil(len(some) / ACROSS)
    figure = Figure(figsize=(PANEL[0] * across + 0.8, PANEL[1] * down + 1.0), layout="constrained")
    panels = figure.subplots(down, across, sharex=False, sharey=True, squeeze=False)
    scale = 100.0 if metrics.of(metric).unit == "share" else 1.0
    for position, axes in enumerate(panels.flat):
        if position < len(some):
            _panel(axes, some[position], scale)
        else:
            axes.axis("off")
    unit = ", %" if scale == 100.0 else ""
    left = f"; {len(lines) - MOST} more arms not drawn" if len(lines) > MOST else ""
    figure.suptitle(_plain(f"{board}: {metrics.title(metric)}{unit}{left}"), fontsize=10)
    return figure


def _panel(axes: Axes, line: Line, scale: float) -> None:
    places = range(len(line.points))
    values = [scale * float(point.interval.value or 0.0) for point in line.points]
    axes.plot(places, values, color=BLUE, linewidth=1.0)
    for place, point, value in zip(places, line.points, values, strict=True):
        colour = APART if point.apart else BLUE
        axes.plot([place], [value], "x" if point.apart else "o", color=colour, markersize=5)
        low, high = point.interval.low, point.interval.high
        if low is not None and high is not None:
            axes.vlines(place, scale * low, scale * high, color=colour, linewidth=1.2)
    axes.set_xticks(list(places), [_plain(point.release) for point in line.points], fontsize=7, rotation=30)
    axes.tick_params(axis="y", labelsize=7)
    title = _plain(line.arm) + (" (x: not comparable)" if any(point.apart for point in line.points) else "")
    axes.set_title(title, fontsize=8)
    axes.margins(x=0.15)


def _plain(text: str) -> str:
    """Text that matplotlib takes as it stands: a dollar sign would start a formula."""
    return text.replace("$", r"\$")


def _png(figure: Figure) -> bytes:
    stream = io.BytesIO()
    with rc_context({"svg.hashsalt": "temperbench"}):
        FigureCanvasAgg(figure).print_png(stream, metadata={"Software": None})
    return stream.getvalue()
