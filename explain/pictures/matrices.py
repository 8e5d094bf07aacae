"""Rows of scores over the words of one sentence: mitigations, layers or named entities, as a coloured table."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from explain.pictures.canvas import (
    AGAINST,
    KEY,
    LETTER,
    SUPPORTS,
    Scored,
    blank_axes,
    escaped,
    letters,
    new_figure,
    save,
    to_csv,
    write,
)
from explain.pictures.strips import shortened

_CELL, _ROW, _PANEL = 0.46, 0.34, 26  # inches a cell and a row take, words side by side
_TABLE = 19  # words side by side in HTML, where a page is narrower than a sheet
_NAME, _HEAD = 40, 18  # most letters of a row's name and of a word above its column


@dataclass(frozen=True)
class Matrix:
    """values[row][word] in logits, positive for the class; one name a row. `shared`: one colour scale for all rows.

    Raises ValueError where names, words and values do not fit each other, or there is nothing to show.
    """

    words: tuple[str, ...]
    names: tuple[str, ...]
    values: tuple[tuple[float, ...], ...]
    shared: bool = True

    def __post_init__(self) -> None:
        if not self.words or not self.names:
            raise ValueError("a picture needs one row and one word at least")
        if len(self.names) != len(self.values) or any(len(row) != len(self.words) for row in self.values):
            sizes = f"{len(self.values)} x {sorted({len(row) for row in self.values})}"
            raise ValueError(
                f"{len(self.names)} names and {len(self.words)} words for values of {sizes}: give a row a name, a "
                "word a value"
            )

    def largest(self, row: int) -> float:
        """The |value| of full colour in a row; 1 where all are zero."""
        rows = self.values if self.shared else (self.values[row],)
        return max(abs(value) for values in rows for value in values) or 1.0


def mitigation_grid(rows: Sequence[tuple[str, Scored]], *, shared: bool = False) -> Matrix:
    """The same sentence by several models, a row a model. Raises ValueError where the words differ.

    Each row has its own scale, because one model's logits are larger than another's without meaning more; `shared`
    keeps one for all.
    """
    words = rows[0][1].words if rows else ()
    if any(attribution.words != words for _, attribution in rows):
        raise ValueError("the rows explain different words: a grid shows one sentence, so explain one text with all")
    return Matrix(words, tuple(n for n, _ in rows), tuple(a.scores for _, a in rows), shared)


def entity_name(words: Sequence[str], first: int, last: int, kind: str) -> str:
    """`Bank of Italy (ORG)` for words first..last of a sentence; where these stand in it twice, also which word it is.

    The name depends on nothing but the sentence, so the rows of several models can be matched by it.
    """
    own, size = list(words[first : last + 1]), last - first + 1
    again = sum(list(words[at : at + size]) == own for at in range(len(words) - size + 1)) > 1
    return f"{' '.join(own)} ({kind}{f', word {first + 1}' if again else ''})"


def matrix_html(matrix: Matrix, caption: str = "") -> str:
    """HTML tables without STYLE, long sentences in several; everything escaped; a cell's value shows on hover."""
    count = math.ceil(len(matrix.words) / _TABLE)
    size = math.ceil(len(matrix.words) / count)  # tables of equal width, so that none holds a word or two
    parts = [slice(start, start + size) for start in range(0, len(matrix.words), size)]
    below = f"<caption>{escaped(f'{caption}; {_scales(matrix)}' if caption else _scales(matrix))}</caption>"
    tables = [_table(matrix, part, below if part is parts[-1] else "") for part in parts]
    return f'<div class="tb-scroll">{"".join(tables)}</div>'


def _table(matrix: Matrix, part: slice, below: str) -> str:
    heads = "".join(f'<th scope="col">{escaped(word)}</th>' for word in matrix.words[part])
    body = []
    for row, (name, values) in enumerate(zip(matrix.names, matrix.values, strict=True)):
        cells = "".join(_cell(value, matrix.largest(row)) for value in values[part])
        body.append(f'<tr><th scope="row">{escaped(name)}</th>{cells}</tr>')
    head = f"<thead><tr><td></td>{heads}</tr></thead>"
    return f'<table class="tb-grid">{below}{head}<tbody>{"".join(body)}</tbody></table>'


def _cell(value: float, largest: float) -> str:
    share = value / largest
    side = "tb-up" if value >= 0 else "tb-down"
    return f'<td class="{side}" style="--tb:{abs(share):.3f}" title="{value:+.4g}">{_percent(share)}<i></i></td>'


def _percent(share: float) -> str:
    text = f"{100 * share:+.0f}"
    return text.replace("-", "−") if text.strip("+-0") else "0"


def _scales(matrix: Matrix) -> str:
    full = f"{matrix.largest(0):.2g} logits" if matrix.shared else "the row's largest"
    return f"blue: for the class, orange: against it; in percent of full colour, {full}"


def matrix_csv(matrix: Matrix, corner: str = "") -> str:
    """A line a row, a column a word; safe to open in a spreadsheet."""
    rows: list[tuple[str | float, ...]] = [
        (name, *values) for name, values in zip(matrix.names, matrix.values, strict=True)
    ]
    return to_csv((corner, *matrix.words), rows)


def save_matrix(matrix: Matrix, path: Path, caption: str = "") -> Path:
    """Draw to a .png or .svg file, long sentences in several panels; returns the path.

    The same matrix gives the same bytes. Raises ValueError on another suffix.
    """
    heads = [shortened(word, _HEAD) for word in matrix.words]
    names = [shortened(name, _NAME) for name in matrix.names]
    left = max(map(letters, names)) * LETTER + 0.4
    panels = [range(start, min(start + _PANEL, len(heads))) for start in range(0, len(heads), _PANEL)]
    tops = [max(letters(heads[place]) for place in panel) * LETTER * 0.75 + 0.3 for panel in panels]
    width = max(left + _CELL * len(panels[0]) + 0.5, len(KEY) * LETTER * 0.66)
    height = sum(tops) + len(panels) * (_ROW * len(names) + 0.15) + 0.45
    figure = new_figure(width, height)
    axes = blank_axes(figure, 0, 0, width, height)
    y = height
    for panel, top in zip(panels, tops, strict=True):
        y -= top
        for column, place in enumerate(panel):
            x = left + _CELL * (column + 0.5)
            write(axes, x, y + 0.08, heads[place], rotation=60, size=9, ha="left", va="bottom", rotation_mode="anchor")
        for row, name in enumerate(names):
            y -= _ROW
            write(axes, left - 0.12, y + 0.11, name, ha="right", size=10)
            for column, place in enumerate(panel):
                _draw(axes, left + _CELL * column, y, matrix.values[row][place] / matrix.largest(row))
        y -= 0.15
    write(axes, 0.1, 0.12, f"{caption}; {_scales(matrix)}" if caption else _scales(matrix), size=7, color="0.35")
    return save(figure, path)


def _draw(axes: Axes, x: float, y: float, share: float) -> None:
    colour = SUPPORTS if share >= 0 else AGAINST
    axes.add_patch(Rectangle((x, y), _CELL, _ROW, facecolor=colour, alpha=0.6 * abs(share), linewidth=0))
    axes.add_patch(Rectangle((x, y), _CELL, _ROW, fill=False, edgecolor="0.85", linewidth=0.5))
    low = y + _ROW - 0.05 if share >= 0 else y + 0.015
    axes.add_patch(Rectangle((x, low), _CELL * abs(share), 0.035, color=colour, linewidth=0))
    write(axes, x + _CELL - 0.05, y + 0.11, _percent(share), size=7, ha="right")
