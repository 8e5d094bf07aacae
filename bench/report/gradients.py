"""Gradient norms as pictures: one for each run, and one for each board that compares its arms.

`<results>/figures/<spec id>-gradients.png` and `.svg` show every layer over the steps; `<board>-gradients` shows the
embedding layer and the top layer, for each arm the median over its seeds. Figures that are newer than their records
are left as they are; delete the folder to draw all of them again.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from bench import leaderboard
from bench.board import Arm, Board
from bench.record import Record
from bench.store import Store
from training.errors import UserError

MOST_RUNS = 500  # of more, pictures are drawn only when they are asked for: one takes a third of a second
POINTS, FEWER = 300, 100  # a line has no more (in an overview): each is the median of its group of steps
PANELS = 7.6  # inches that the two panels of an overview take
NAMED = 8  # of more layers only so many are named in the legend
SUFFIXES = (".png", ".svg")
# Okabe and Ito's palette, which the common colour-vision deficiencies keep apart; then the same with another dash
COLOURS = ("#000000", "#e69f00", "#56b4e9", "#009e73", "#d55e00", "#0072b2", "#cc79a7", "#999999")
DASHES = ("-", "--", ":", "-.")
PREFIX = "norm:"


def write(store: Store, folder: Path, boards: Sequence[Board] | None = None) -> list[Path]:
    """Draws what is missing or older than its records into `folder/figures`; returns the figures drawn.

    `boards` are those of the store, built here where they are not given.

    Raises UserError when a record cannot be read or the folder not be written to.
    """
    figures = folder / "figures"
    drawn: list[Path] = []
    try:
        figures.mkdir(parents=True, exist_ok=True)
        for board in leaderboard.build(store) if boards is None else boards:
            arms = [(arm, [store.read(record.spec_id) for record in arm.records]) for arm in board.arms]
            stems = {record.spec_id: figures / f"{record.spec_id}-gradients" for _, some in arms for record in some}
            for record in (record for _, some in arms for record in some):
                if _current(store, [record.spec_id], stems[record.spec_id]):
                    continue
                if (table := _telemetry(store, record)) is not None:
                    drawn += _save(run(record, table), stems[record.spec_id])
            stem = figures / (re.sub(r"[^A-Za-z0-9_.+]+", "-", board.name).strip("-.")[:200] + "-gradients")
            if not _current(store, list(stems), stem) and (picture := overview(board, _medians(store, arms))):
                drawn += _save(picture, stem)
    except OSError as error:
        raise UserError(f"cannot write to '{figures}' ({error.strerror}); choose another folder with --out.") from error
    return drawn


def run(record: Record, telemetry: pd.DataFrame) -> Figure:
    """The gradient norm of every layer over the steps of one run, with its verdict."""
    figure = Figure(figsize=(8.0, 4.2))
    axes = figure.add_axes((0.09, 0.13, 0.73, 0.72))
    layers = _layers(telemetry)
    shades = matplotlib.colormaps["viridis"](np.linspace(0.0, 0.88, max(1, len(layers) - 1)))
    named = {round(i) for i in np.linspace(0, len(layers) - 1, min(NAMED, len(layers)))}
    for index, name in enumerate(layers):
        style: dict[str, Any] = {"color": shades[min(index, len(shades) - 1)], "linewidth": 1.3}
        if name == f"{PREFIX}head":
            style = {"color": "black", "linewidth": 1.3, "linestyle": "--"}
        label = name.removeprefix(PREFIX) if index in named else None
        axes.plot(*_thinned(telemetry["step"], telemetry[name]), label=label, **style)
    broken = telemetry["step"][~np.isfinite(telemetry["loss"])]
    if len(broken):
        axes.axvline(float(broken.iloc[0]), color="black", linewidth=1, linestyle=":", label="loss not finite")
    seed, verdict = record.spec.get("seed"), record.summary.get("health") or "not judged"
    figure.text(0.09, 0.94, f"{record.spec.get('mitigation')}, seed {seed}: {verdict}", fontsize=12, parse_math=False)
    where = " / ".join(str(record.spec.get(key)) for key in ("task", "model", "tier"))
    reason = record.summary.get("health_reason")
    figure.text(0.09, 0.885, f"{where}; {reason}" if reason else where, fontsize=9, color="#444444", parse_math=False)
    _dress(axes)
    axes.set_ylabel("gradient norm before clipping")
    figure.legend(loc="center left", bbox_to_anchor=(0.83, 0.5), frameon=False, fontsize=9)
    return figure


def overview(board: Board, medians: Sequence[tuple[str, pd.DataFrame]]) -> Figure | None:
    """The arms of a board: median norm of the embeddings and of the top layer. None where no run has telemetry."""
    if not medians:
        return None
    width = PANELS + 0.6 + 0.065 * max(len(label) for label, _ in medians)
    figure = Figure(figsize=(width, 4.4 + 0.16 * max(0, len(medians) - 16)))
    panels = figure.subplots(1, 2, sharey=True)
    figure.subplots_adjust(left=0.7 / width, right=PANELS / width, top=0.84, bottom=0.12, wspace=0.06)
    for index, (label, table) in enumerate(sorted(medians, key=lambda arm: arm[0] != leaderboard.BASELINE)):
        style = {"color": COLOURS[index % len(COLOURS)], "linestyle": DASHES[index // len(COLOURS) % len(DASHES)]}
        top = [name for name in _layers(table) if name.startswith(f"{PREFIX}layer.")] or [f"{PREFIX}head"]
        for axes, name, key in zip(panels, (f"{PREFIX}embeddings", top[-1]), (label, None), strict=True):
            # an arm that does not train this layer is in the legend all the same
            values = table[name] if name in table else pd.Series(np.nan, index=table.index)
            axes.plot(*_thinned(table["step"], values, FEWER), label=key, linewidth=1.3, **style)
    for axes, title in zip(panels, ("embeddings", "top layer"), strict=True):
        axes.set_title(title, fontsize=10)
        _dress(axes)
    panels[0].set_ylabel("gradient norm before clipping")
    title = f"{board.name}: median over the seeds of each arm"
    figure.text(0.7 / width, 0.94, title, fontsize=12, parse_math=False)
    legend = figure.legend(loc="center left", bbox_to_anchor=((PANELS + 0.1) / width, 0.5), frameon=False, fontsize=8)
    for text in legend.get_texts():
        text.set_parse_math(False)
    return figure


def _telemetry(store: Store, record: Record) -> pd.DataFrame | None:
    """The telemetry as numbers, None where the record has none with gradient norms."""
    if "telemetry" not in record.tables:
        return None
    table = store.tables(record, "telemetry")
    # a column of unknown numbers comes back from JSON without a type
    return table.astype(float) if {"step", "loss"} <= set(table) and _layers(table) else None


def _layers(table: pd.DataFrame) -> list[str]:
    """The columns of gradient norms from the bottom to the top."""
    names = [str(name) for name in table if str(name).startswith(PREFIX)]
    return sorted(names, key=lambda name: (name == f"{PREFIX}head", name != f"{PREFIX}embeddings", name))


def _medians(store: Store, arms: Iterable[tuple[Arm, Sequence[Record]]]) -> list[tuple[str, pd.DataFrame]]:
    found = []
    for arm, records in arms:
        tables = [table for table in (_telemetry(store, record) for record in records) if table is not None]
        if tables:
            found.append((arm.label, pd.concat(tables).groupby("step").median().reset_index()))
    return found


def _thinned(steps: pd.Series, values: pd.Series, points: int = POINTS) -> tuple[np.ndarray, np.ndarray]:
    """At most so many points; what is not above zero cannot be drawn on a log axis and leaves a gap."""
    shown = pd.DataFrame({"step": steps.to_numpy(), "value": values.to_numpy(dtype=float)})
    shown["value"] = shown["value"].where(np.isfinite(shown["value"]) & (shown["value"] > 0))
    if len(shown) > points:
        shown = shown.groupby(np.arange(len(shown)) * points // len(shown)).median()
    return shown["step"].to_numpy(), shown["value"].to_numpy()


def _dress(axes: Axes) -> None:
    axes.set_yscale("log")
    axes.set_xlabel("step")
    axes.grid(axis="y", color="#dddddd", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)


def _current(store: Store, spec_ids: Iterable[str], stem: Path) -> bool:
    """Whether both files are there and no older than the records they show."""
    files = [stem.with_name(stem.name + suffix) for suffix in SUFFIXES]
    newest = max(((store.records / f"{one}.json").stat().st_mtime_ns for one in spec_ids), default=0)
    return all(file.is_file() and file.stat().st_mtime_ns >= newest for file in files)


def _save(figure: Figure, stem: Path) -> list[Path]:
    """Writes the PNG and the SVG; the same records give the same bytes."""
    FigureCanvasAgg(figure)
    paths = [stem.with_name(stem.name + suffix) for suffix in SUFFIXES]
    with rc_context({"svg.hashsalt": "temperbench", "svg.fonttype": "path"}):
        for path in paths:
            metadata = {"Date": None} if path.suffix == ".svg" else {"Software": None}
            figure.savefig(path, dpi=120, metadata=metadata)
    return paths
