"""Deletion and insertion curves: what the model says as words go and come, beside the band of random orders."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from explain.metrics import Curves
from explain.pictures.canvas import fragment, new_figure, save, to_csv, visible

# Okabe and Ito's palette, which the common colour-vision deficiencies keep apart; dashes say the same without colour
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
DASHES = ("-", "--", "-.", ":")
PLACES = 101
_TALL, _LINE = 3.7, 0.18  # inches: the picture, and each further row of names
_NAMES = 4
Row = tuple[str, Curves]


def over_texts(curves: Sequence[Curves]) -> Curves:
    """The mean curves of several texts, at 0, 1, ... 100 percent of each text's words. Raises ValueError on none."""
    if not curves:
        raise ValueError("no curves to average: give one at least")
    places = np.linspace(0, 1, PLACES)

    def mean(name: str) -> np.ndarray:
        rows = [getattr(one, name) for one in curves]
        return np.mean([np.interp(places, np.linspace(0, 1, len(row)), row) for row in rows], axis=0)

    return Curves(**{field.name: mean(field.name) for field in fields(Curves)})


def curves_html(rows: Sequence[Row], what: str = "the explained class") -> str:
    """Both curves of every (name, Curves) as an HTML fragment; the first row's band is drawn."""
    ends = "; ".join(f"{name}: deletion ends at {c.deletion[-1]:.2f}, from {c.deletion[0]:.2f}" for name, c in rows)
    return fragment(_figure(rows, what), f"Probability of {what} as words are deleted and inserted. {ends}.")


def save_curves(rows: Sequence[Row], path: Path, what: str = "the explained class") -> Path:
    """Draw both curves of every (name, Curves) to a .png or .svg file; returns the path.

    The same rows give the same bytes. Raises ValueError on another suffix or no rows.
    """
    return save(_figure(rows, what), path)


def curves_csv(rows: Sequence[Row]) -> str:
    """A line a curve and place: name, share of the words, the two curves, the ends of their bands."""
    names = [field.name for field in fields(Curves)]
    lines: list[tuple[str | float, ...]] = [
        (name, place / (len(curves.deletion) - 1), *(float(getattr(curves, one)[place]) for one in names))
        for name, curves in rows
        for place in range(len(curves.deletion))
    ]
    return to_csv(("name", "share of words", *names), lines)


def _figure(rows: Sequence[Row], what: str) -> Figure:
    if not rows:
        raise ValueError("no curves to draw: give one (name, Curves) at least")
    # the names stand below in rows of four; two rows have room anyhow
    extra = _LINE * max(0, math.ceil((len(rows) + 1) / _NAMES) - 2)
    tall = _TALL + extra
    figure = new_figure(7.6, tall)
    kinds = (("deletion", "most important words masked, %"), ("insertion", "most important words kept, %"))
    for place, (kind, label) in enumerate(kinds):
        axes = figure.add_axes((0.085 + 0.47 * place, (0.24 * _TALL + extra) / tall, 0.42, 0.67 * _TALL / tall))
        low, high = (getattr(rows[0][1], f"{kind}_{end}") for end in ("low", "high"))
        share = np.linspace(0, 100, len(low))
        axes.fill_between(share, low, high, color="0.85", linewidth=0, label="90 % of random orders")
        for number, (name, curves) in enumerate(rows):
            values = getattr(curves, kind)
            (line,) = axes.plot(np.linspace(0, 100, len(values)), values, label=visible(name), linewidth=1.6)
            line.set(color=COLOURS[number % len(COLOURS)], linestyle=DASHES[number % len(DASHES)])
        axes.set(xlim=(0, 100), ylim=(-0.02, 1.02), xlabel=label, title=kind)
        axes.spines[["top", "right"]].set_visible(False)
        if place:
            axes.set_yticklabels([])
            figure.legend(
                *axes.get_legend_handles_labels(), frameon=False, fontsize=8, loc="lower center", ncols=_NAMES
            )
        else:
            axes.set_ylabel(f"probability of {visible(what)}", parse_math=False)
    return figure
