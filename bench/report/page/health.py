"""Gradient norms of every layer and the loss over the steps of an arm, thinned for drawing."""

from __future__ import annotations

import functools
import warnings
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np

from bench.report.page.script import shorts
from bench.report.page.source import Tables, numbers
from bench.stats import Array

POINTS = 120
PREFIX = "norm:"
Run = tuple[tuple[str, ...], Array]  # names of the lines, (1 + lines, points) steps and values


class Health:
    """Per arm and layer the median over its seeds; each point is itself the median of its group of steps."""

    def __init__(self) -> None:
        self._runs: dict[int, list[Run]] = defaultdict(list)

    def add(self, arm: int, tables: Tables) -> None:
        columns = tables.get("telemetry")
        shown = tuple([name for name in columns if name == "loss" or name.startswith(PREFIX)])
        if "step" not in columns or len(shown) < 2:
            return
        rows = numbers([columns[name] for name in ("step", *shown)])
        values = rows[1:]
        values[~((values > _floors(shown)) & (values < np.inf))] = np.nan
        self._runs[arm].append((shown, thin(rows)))

    def data(self) -> dict[str, Any] | None:
        if not self._runs:
            return None
        arms = {str(arm): _lines(runs) for arm, runs in self._runs.items()}
        layers = sorted({name for lines in arms.values() for name in lines if name != "loss"}, key=_height)
        shown = {arm: {name.removeprefix(PREFIX): line for name, line in lines.items()} for arm, lines in arms.items()}
        return {"layers": [name.removeprefix(PREFIX) for name in layers], "arms": shown}


@functools.lru_cache(64)
def _floors(names: tuple[str, ...]) -> Array:
    """(lines, 1): what is not above zero cannot be drawn on a log axis and leaves a gap; only the loss may be less."""
    return np.array([[-np.inf if name == "loss" else 0.0] for name in names])


def _height(name: str) -> tuple[bool, bool, str]:
    """The order from the bottom of the model to its top."""
    return name == f"{PREFIX}head", name != f"{PREFIX}embeddings", name


def thin(rows: Array, points: int = POINTS) -> Array:
    """(lines, steps) -> (lines, at most `points`): medians of equal groups of steps, NaN where all are unknown."""
    if rows.shape[1] <= points:
        return rows
    edges = np.linspace(0, rows.shape[1], points + 1).astype(int)
    starts, group = edges[:-1], np.repeat(np.arange(points), np.diff(edges))
    # each group in order, the unknown last, so that its median is the middle of those that are known
    ordered = np.take_along_axis(rows, np.lexsort((rows, np.broadcast_to(group, rows.shape))), axis=1)
    known = np.add.reduceat(~np.isnan(rows), starts, axis=1, dtype=int)
    low, high = starts + np.maximum(known - 1, 0) // 2, starts + known // 2
    return (np.take_along_axis(ordered, low, axis=1) + np.take_along_axis(ordered, high, axis=1)) / 2


def _median(values: Array) -> Array:
    """Over the first axis."""
    if not np.isnan(values).any():
        ordered, count = np.sort(values, axis=0), len(values)
        return (ordered[(count - 1) // 2] + ordered[count // 2]) / 2  # a tenth of the time of numpy's median
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a point without any known value is unknown
        return np.nanmedian(values, axis=0)


def _lines(runs: Sequence[Run]) -> dict[str, list[Sequence[Any]]]:
    """[steps, values] of each line of an arm."""
    names, first = runs[0]
    if all(other == names and table.shape == first.shape for other, table in runs):
        steps, values = shorts(first[0].tolist()), _median(np.array([table[1:] for _, table in runs]))
        flat, width = shorts(values.ravel().tolist()), values.shape[1]
        return {name: [steps, flat[k * width : (k + 1) * width]] for k, name in enumerate(names)}
    every = dict.fromkeys(name for others, _ in runs for name in others)
    return {
        name: _line([table[[0, 1 + others.index(name)]] for others, table in runs if name in others]) for name in every
    }


def _line(runs: list[Array]) -> list[Sequence[Any]]:
    """[steps, values]; runs of unequal length (one diverged) are compared as far as the longest goes."""
    longest = max(runs, key=lambda run: run.shape[1])
    padded = np.full((len(runs), longest.shape[1]), np.nan)
    for row, run in enumerate(runs):
        same = run.shape[1] == longest.shape[1]
        padded[row] = run[1] if same else np.interp(longest[0], run[0], run[1], right=np.nan)
    return [shorts(longest[0].tolist()), shorts(_median(padded).tolist())]
