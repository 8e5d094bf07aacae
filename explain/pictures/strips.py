"""Word strips: one attribution a row, every word on its colour and with its bar."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path

from explain.pictures.canvas import (
    KEY,
    LETTER,
    Scored,
    blank_axes,
    draw_word,
    escaped,
    letters,
    new_figure,
    save,
    to_csv,
    visible,
    write,
)

Row = tuple[str, Scored]

_LINE, _COLUMNS = 0.42, 92  # inches a line, letters a line


def scale(rows: Sequence[Row]) -> float:
    """The largest |score| of all rows (1 where all are zero): one scale makes rows comparable."""
    return max((abs(score) for _, attribution in rows for score in attribution.scores), default=0.0) or 1.0


def word_strips(rows: Sequence[Row], *, shared: bool = True) -> str:
    """Rows of (name, attribution) as one HTML fragment without STYLE; everything escaped.

    shared: one scale for all rows, right for one explainer and model on several texts; False scales each row
    by itself, right for explainers whose units differ (`random` has none) and models whose logits do.
    """
    return "\n".join(_strip(*row, scale(rows if shared else [row])) for row in rows)


def word_strip(attribution: Scored, name: str = "") -> str:
    """One attribution as an HTML fragment without STYLE; a word's value shows on hover."""
    return word_strips([(name, attribution)])


def word(text: str, score: float, largest: float) -> str:
    """One word as HTML, on its colour and with its bar; the value shows on hover."""
    side = "tb-up" if score >= 0 else "tb-down"
    return (
        f'<span class="tb-word {side}" style="--tb:{abs(score) / largest:.3f}" title="{score:+.4f}">'
        f"{escaped(text)}<i></i></span>"
    )


def _strip(name: str, attribution: Scored, largest: float) -> str:
    label = f'<span class="tb-name">{escaped(name)}</span>' if name else ""
    pairs = zip(attribution.words, attribution.scores, strict=True)
    words = " ".join(word(text, score, largest) for text, score in pairs)
    more = f' <span class="tb-cut">({attribution.dropped} words not read)</span>' if attribution.dropped else ""
    return f'<div class="tb-strip" dir="auto">{label}{words}{more}</div>'


def strips_csv(rows: Sequence[Row]) -> str:
    """A line a word: name, position, word, score; safe to open in a spreadsheet."""
    lines = [
        (name, position, text, score)
        for name, attribution in rows
        for position, (text, score) in enumerate(zip(attribution.words, attribution.scores, strict=True))
    ]
    return to_csv(("name", "position", "word", "score"), lines)


def save_strips(rows: Sequence[Row], path: Path, *, shared: bool = True) -> Path:
    """Draw rows of (name, attribution) to a .png or .svg file; returns the path. shared: see word_strips.

    The same rows give the same bytes. Raises ValueError on another suffix or no rows.
    """
    if not rows:
        raise ValueError("no rows to draw: give one (name, attribution) at least")
    lines = [(line, scale(rows if shared else [row])) for row in rows for line in _lines(*row)]
    width, height = _COLUMNS * LETTER + 0.4, _LINE * len(lines) + 0.45
    figure = new_figure(width, height)
    axes = blank_axes(figure, 0, 0, width, height)
    for row, (line, largest) in enumerate(lines):
        y = height - _LINE * (row + 1) + 0.06
        for column, text, score in line:
            x = 0.2 + column * LETTER
            if score is None:
                write(axes, x, y + 0.06, text, weight="bold")
            else:
                draw_word(axes, x, y, text, score / largest)
    write(axes, 0.2, 0.1, KEY, size=7, color="0.35")
    return save(figure, path)


def _lines(name: str, attribution: Scored) -> list[list[tuple[int, str, float | None]]]:
    """Words with their columns, broken into lines; the name leads, without a score."""
    lines: list[list[tuple[int, str, float | None]]] = [[]]
    column = 0
    heads: list[tuple[str, float | None]] = [(name, None)] if name else []
    for text, score in [*heads, *zip(attribution.words, attribution.scores, strict=True)]:
        shown = shortened(text, _COLUMNS)
        if column and column + letters(shown) > _COLUMNS:
            lines.append([])
            column = 0
        lines[-1].append((column, shown, score))
        column += letters(shown) + (2 if score is None else 1)
    return lines


def shortened(text: str, most: int) -> str:
    """The visible text in the room of so many letters, an ellipsis at the end of what is cut."""
    shown = visible(text)
    if letters(shown) <= most:
        return shown
    used = itertools.accumulate(map(letters, shown))
    return "".join(c for c, room in zip(shown, used, strict=True) if room < most) + "…"
