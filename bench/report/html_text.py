"""The leaderboard as one HTML page that needs no server and no network."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jinja2
import markupsafe

from bench.board import Board
from bench.report import curves, forest, sections, wording
from bench.report.sections import Cell, Section
from bench.report.shown import EMPTY, Shown

HTML = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&#34;", "'": "&#39;"})


def piece(shown: Shown) -> str:
    board = shown.board
    about = {
        "name": board.name,
        "caption": wording.caption(board),
        "sections": shown.tables,
        "remarks": [*shown.legend, *shown.remarks],
        "forest": forest.plot(board),
    }
    return _section(about)


def _section(about: dict[str, Any]) -> str:
    return _template("section.html.j2").render(board=about, words=sections.WORDS, rows=_rows)


def _rows(section: Section) -> markupsafe.Markup:
    """The rows of a table, escaped. Not in the template, which takes twice as long for what is most of a page."""
    columns = [_column(head, cells) for head, *cells in zip(section.header, *section.rows, strict=True)]
    rows = [f"<tr>{''.join(row)}</tr>\n" for row in zip(*columns, strict=True)]
    return markupsafe.Markup("".join(rows))  # noqa: S704


def _column(head: str, cells: Sequence[Cell]) -> list[str]:
    if head == "mitigation":
        return [f'<th scope="row" class="words name">{_text(cell.text)}</th>' for cell in cells]
    words = head in sections.WORDS
    found = []
    for main, number, hint, rest in cells:
        kind = ' class="unknown"' if number is None else ""
        if words:
            kind = f' class="words {main}"' if main in ("better", "worse") and not rest else ' class="words"'
        value = "" if number is None else f' data-value="{number}"'
        title = f' title="{_text(hint)}"' if hint else ""
        after = f' <span class="rest">{_text(rest)}</span>' if rest else ""
        found.append(f"<td{kind}{value}{title}>{_text(main)}{after}</td>")
    return found


@functools.lru_cache(4096)
def _text(text: str) -> str:
    return text.translate(HTML)


def whole(boards: Sequence[Board], pieces: Sequence[str]) -> str:
    further = [
        _section({"name": one.title, "caption": one.note, "sections": [one], "remarks": [], "forest": ""})
        for one in curves.fewer_labels(boards)
    ]
    # the pieces are escaped already
    found = [markupsafe.Markup(piece) for piece in (*pieces, *further)]  # noqa: S704
    return _template("board.html.j2").render(boards=found, empty=EMPTY) + "\n"


@functools.cache
def _template(name: str) -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=jinja2.StrictUndefined
    )
    return environment.get_template(name)
