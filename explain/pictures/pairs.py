"""A text above its edited or adversarial version, word over word, with what was changed framed."""

from __future__ import annotations

from difflib import SequenceMatcher
from pathlib import Path

from matplotlib.patches import Rectangle

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
    write,
)
from explain.pictures.strips import scale, shortened, word

Column = tuple[int | None, int | None, bool]

GAP = "·"
_COLUMNS, _LINE = 92, 0.95  # letters a line, inches a line of two words


def aligned(before: Scored, after: Scored) -> list[Column]:
    """Columns of (word of the text, word of its version, whether they differ); None where one side has no word."""
    matcher = SequenceMatcher(a=before.words, b=after.words, autojunk=False)
    columns: list[Column] = []
    for kind, a, a_end, b, b_end in matcher.get_opcodes():
        for place in range(max(a_end - a, b_end - b)):
            left = a + place if a + place < a_end else None
            right = b + place if b + place < b_end else None
            columns.append((left, right, kind != "equal"))
    return columns


def attack_pair(before: Scored, after: Scored, names: tuple[str, str] = ("text", "attacked")) -> str:
    """Two attributions for one class as an HTML fragment without STYLE, on one scale; everything escaped."""
    largest = scale([("", before), ("", after)])
    parts = [f'<span><b class="tb-name">{escaped(names[0])}</b><b class="tb-name">{escaped(names[1])}</b></span>']
    for left, right, edited in aligned(before, after):
        sides = (_word(before, left, largest), _word(after, right, largest))
        parts.append(f'<span class="{"tb-edit" if edited else "tb-same"}">{sides[0]}{sides[1]}</span>')
    return f'<div class="tb-pair">{"".join(parts)}</div>'


def _word(attribution: Scored, place: int | None, largest: float) -> str:
    if place is None:
        return f'<span class="tb-gap">{GAP}</span>'
    return word(attribution.words[place], attribution.scores[place], largest)


def pair_csv(before: Scored, after: Scored) -> str:
    """A line a column: word, score, edited word, edited score, changed; a gap is an empty cell."""
    rows: list[tuple[str | float, ...]] = []
    for left, right, edited in aligned(before, after):
        cells: list[str | float] = []
        for side, place in ((before, left), (after, right)):
            cells += ["", ""] if place is None else [side.words[place], side.scores[place]]
        rows.append((*cells, "yes" if edited else "no"))
    return to_csv(("word", "score", "edited word", "edited score", "changed"), rows)


def save_pair(before: Scored, after: Scored, path: Path, names: tuple[str, str] = ("text", "attacked")) -> Path:
    """Draw the pair to a .png or .svg file; returns the path. Raises ValueError on another suffix."""
    largest = scale([("", before), ("", after)])
    label = max(map(letters, names)) + 2
    lines = _lines(before, after, label)
    width, height = _COLUMNS * LETTER + 0.4, _LINE * len(lines) + 0.4
    figure = new_figure(width, height)
    axes = blank_axes(figure, 0, 0, width, height)
    for row, line in enumerate(lines):
        rows = [height - _LINE * row - 0.4, height - _LINE * row - 0.8]
        for y, name in zip(rows, names, strict=True):
            write(axes, 0.2, y + 0.06, name, weight="bold")
        for column, room, (left, right, edited) in line:
            x = 0.2 + column * LETTER
            if edited:
                box = Rectangle((x - 0.04, rows[1] - 0.07), room * LETTER + 0.08, rows[0] - rows[1] + 0.36)
                box.set(fill=False, linestyle="--", linewidth=0.8, edgecolor="0.3")
                axes.add_patch(box)
            for y, side, place in zip(rows, (before, after), (left, right), strict=True):
                if place is None:
                    write(axes, x, y + 0.06, GAP, color="0.5")
                else:
                    draw_word(axes, x, y, shortened(side.words[place], _COLUMNS - label), side.scores[place] / largest)
    write(axes, 0.2, 0.1, f"{KEY}; framed: changed", size=7, color="0.35")
    return save(figure, path)


def _lines(before: Scored, after: Scored, label: int) -> list[list[tuple[int, int, Column]]]:
    """Columns with the letter they begin at and the letters they take, broken into lines."""
    lines: list[list[tuple[int, int, Column]]] = [[]]
    start = label
    for column in aligned(before, after):
        sides = zip((before, after), column[:2], strict=True)
        room = max(letters(shortened(side.words[p], _COLUMNS - label)) for side, p in sides if p is not None)
        if start > label and start + room > _COLUMNS:
            lines.append([])
            start = label
        lines[-1].append((start, room, column))
        start += room + 1
    return lines
