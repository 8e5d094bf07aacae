"""Attributions as pictures: an HTML fragment for the report, PNG or SVG for papers.

Blue supports the explained class and orange speaks against it (the two ends of a scale that the common
colour-vision deficiencies keep apart); the length and side of a bar say the same without colour.
"""

from __future__ import annotations

import html
import warnings
from collections.abc import Sequence
from pathlib import Path

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from explain.attribution import Attribution

SUPPORTS, AGAINST = "#2166ac", "#b35806"

STYLE = f"""<style>
.tb-strip {{ line-height: 2.6; margin: .3em 0; overflow-wrap: anywhere; }}
.tb-strip .tb-name {{ font-weight: 600; margin-right: .7em; }}
.tb-strip .tb-word {{ position: relative; padding: .15em .2em; border-radius: .2em; }}
.tb-strip .tb-word i {{ position: absolute; left: 0; height: 3px; width: calc(var(--tb) * 100%); }}
.tb-strip .tb-up {{ background: color-mix(in srgb, {SUPPORTS} calc(var(--tb) * 45%), transparent); }}
.tb-strip .tb-up i {{ bottom: 100%; background: {SUPPORTS}; }}
.tb-strip .tb-down {{ background: color-mix(in srgb, {AGAINST} calc(var(--tb) * 45%), transparent); }}
.tb-strip .tb-down i {{ top: 100%; background: {AGAINST}; }}
</style>"""
"""Put once into the page. Text keeps the page's own colour, so light and dark pages both read well."""

_SIZE, _LINE, _COLUMNS = 11, 0.42, 92  # points, inches a line, characters a line


def scale(rows: Sequence[tuple[str, Attribution]]) -> float:
    """The largest |score| of all rows (1 where all are zero): one scale makes rows comparable."""
    return max((abs(score) for _, attribution in rows for score in attribution.scores), default=0.0) or 1.0


def word_strips(rows: Sequence[tuple[str, Attribution]], *, shared: bool = True) -> str:
    """Rows of (name, Attribution) as one HTML fragment without STYLE; everything escaped.

    shared: one scale for all rows, right for one explainer on several models or texts; False scales each
    row by itself, right for explainers whose units differ (`random` has none).
    """
    return "\n".join(_strip(*row, scale(rows if shared else [row])) for row in rows)


def word_strip(attribution: Attribution, name: str = "") -> str:
    """One attribution as an HTML fragment without STYLE; a word's value shows on hover."""
    return word_strips([(name, attribution)])


def _strip(name: str, attribution: Attribution, largest: float) -> str:
    label = f'<span class="tb-name">{html.escape(name)}</span>' if name else ""
    words = " ".join(
        f'<span class="tb-word {"tb-up" if score >= 0 else "tb-down"}" style="--tb:{abs(score) / largest:.3f}" '
        f'title="{score:+.4f}">{html.escape(word)}<i></i></span>'
        for word, score in zip(attribution.words, attribution.scores, strict=True)
    )
    more = f' <span class="tb-cut">({attribution.dropped} words not read)</span>' if attribution.dropped else ""
    return f'<div class="tb-strip">{label}{words}{more}</div>'


def save_strips(rows: Sequence[tuple[str, Attribution]], path: Path, *, shared: bool = True) -> Path:
    """Draw rows of (name, Attribution) to a .png or .svg file; returns the path. shared: see word_strips.

    The same rows give the same bytes. Raises ValueError on another suffix or no rows.
    """
    if path.suffix not in {".png", ".svg"}:
        raise ValueError(f"{path.name}: give a name that ends in .png or .svg")
    if not rows:
        raise ValueError("no rows to draw: give one (name, Attribution) at least")
    lines = [(line, scale(rows if shared else [row])) for row in rows for line in _lines(*row)]
    figure = Figure(figsize=(_COLUMNS * _SIZE * 0.6 / 72 + 0.4, _LINE * len(lines) + 0.3))
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    axes.set_axis_off()
    axes.set_xlim(-1, _COLUMNS + 2)
    axes.set_ylim(-len(lines) + 0.3, 1.0)
    for row, (line, largest) in enumerate(lines):
        for column, word, score in line:
            _draw(axes, column, -row, word, None if score is None else score / largest)
    metadata = {"Date": None} if path.suffix == ".svg" else {"Software": None}
    with warnings.catch_warnings():
        # words in scripts the font lacks are drawn as boxes: a picture with a box beats no picture
        warnings.filterwarnings("ignore", message="Glyph .* missing from", category=UserWarning)
        with rc_context({"svg.hashsalt": "temperbench", "svg.fonttype": "path"}):
            figure.savefig(path, dpi=150, metadata=metadata)
    return path


def _lines(name: str, attribution: Attribution) -> list[list[tuple[int, str, float | None]]]:
    """Words with their columns, broken into lines; the name leads, without a score."""
    lines: list[list[tuple[int, str, float | None]]] = [[]]
    column = 0
    heads: list[tuple[str, float | None]] = [(name, None)] if name else []
    for word, score in [*heads, *zip(attribution.words, attribution.scores, strict=True)]:
        shown = word if len(word) <= _COLUMNS else word[: _COLUMNS - 1] + "…"
        if column and column + len(shown) > _COLUMNS:
            lines.append([])
            column = 0
        lines[-1].append((column, shown, score))
        column += len(shown) + 1
    return lines


def _draw(axes: Axes, column: int, line: int, word: str, share: float | None) -> None:
    """share: score over the largest, in [-1, 1]; None draws the word alone, bold."""
    weight = "bold" if share is None else "normal"
    if share is not None:
        colour = SUPPORTS if share >= 0 else AGAINST
        axes.add_patch(Rectangle((column, line), len(word), 0.55, color=colour, alpha=0.45 * abs(share), linewidth=0))
        low = line + 0.57 if share >= 0 else line - 0.09
        axes.add_patch(Rectangle((column, low), len(word) * abs(share), 0.07, color=colour, linewidth=0))
    axes.text(column, line + 0.16, word, family="DejaVu Sans Mono", size=_SIZE, weight=weight, parse_math=False)
