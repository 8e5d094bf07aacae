"""Gradient norms of every layer and the loss over the steps of an arm, thinned for drawing."""

from __future__ import annotations

import itertools
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


class Health:
    """Per arm and layer the median over its seeds; each point is itself the median of its group of steps."""

    def __init__(self) -> None:
        self._lines: dict[int, dict[str, list[Array]]] = defaultdict(lambda: defaultdict(list))

    def add(self, arm: int, tables: Tables) -> None:
        columns = tables.get("telemetry")
        shown = [name for name in columns if name == "loss" or name.startswith(PREFIX)]
        if "step" not in columns or len(shown) < 2:
            return
        steps = numbers(columns["step"])
        for name in shown:
            values = numbers(columns[name])
            # what is not above zero cannot be drawn on a log axis and leaves a gap
            usable = np.where(np.isfinite(values) & ((values > 0) | (name == "loss")), values, np.nan)
            self._lines[arm][name].append(thin(steps, usable))

    def data(self) -> dict[str, Any] | None:
        if not self._lines:
            return None
        layers = sorted({name for lines in self._lines.values() for name in lines if name != "loss"}, key=_height)
        arms = {
            str(arm): {name.removeprefix(PREFIX): _line(runs) for name, runs in lines.items()}
            for arm, lines in self._lines.items()
        }
        return {"layers": [name.removeprefix(PREFIX) for name in layers], "arms": arms}


def _height(name: str) -> tuple[bool, bool, str]:
    """The order from the bottom of the model to its top."""
    return name == f"{PREFIX}head", name != f"{PREFIX}embeddings", name


def thin(steps: Array, values: Array, points: int = POINTS) -> Array:
    """(2, at most `points`) steps and values, each the median of an equal group of steps; NaN where all are unknown."""
    if len(steps) <= points:
        return np.array([steps, values])
    edges = np.linspace(0, len(steps), points + 1).astype(int)
    groups = [slice(a, b) for a, b in itertools.pairwise(edges)]
    return np.array([[_median(steps[g]) for g in groups], [_median(values[g]) for g in groups]])


def _median(values: Array, axis: int | None = None) -> Any:
    if not np.isnan(values).any():
        ordered, count = np.sort(values, axis=axis), values.shape[axis or 0]
        return (ordered[(count - 1) // 2] + ordered[count // 2]) / 2  # a tenth of the time of numpy's median
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a group without any known value is unknown
        return np.nanmedian(values, axis=axis)


def _line(runs: list[Array]) -> list[Sequence[Any]]:
    """[steps, values]; runs of unequal length (one diverged) are compared as far as the longest goes."""
    longest = max(runs, key=lambda run: run.shape[1])
    padded = np.full((len(runs), longest.shape[1]), np.nan)
    for row, run in enumerate(runs):
        same = run.shape[1] == longest.shape[1]
        padded[row] = run[1] if same else np.interp(longest[0], run[0], run[1], right=np.nan)
    values = padded[0] if len(runs) == 1 else _median(padded, axis=0)
    return [shorts(longest[0].tolist()), shorts(values.tolist())]
