"""Boards as Markdown, CSV, LaTeX, JSON and HTML text; no dates, so the same records give the same bytes.

Every format is a beginning, a piece for each board, and an end, so that the boards can be written on all cores.
"""

from __future__ import annotations

import csv
import functools
import io
import re
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from bench import leaderboard
from bench.board import Board
from bench.report import curves, html_text, json_text, sections, wording
from bench.report.sections import Section
from bench.report.shown import EMPTY, Shown, shown_of

TEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "—": "---", "↑": r"$\uparrow$", "↓": r"$\downarrow$",
    "<": r"\textless{}", ">": r"\textgreater{}",
}  # fmt: skip
MARKDOWN = {"\\": r"\\", "&": "&amp;", "<": "&lt;", ">": "&gt;", "|": r"\|", "`": r"\`", "*": r"\*"}
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


def render(boards: Sequence[Board]) -> dict[str, str]:
    """File suffix -> text."""
    made = [pieces(shown_of(board)) for board in boards]
    return {suffix: whole(boards, [one[suffix] for one in made]) for suffix, (_, whole) in FORMATS.items()}


def pieces(shown: Shown) -> dict[str, str]:
    """File suffix -> what a board contributes to that file."""
    return {suffix: piece(shown) for suffix, (piece, _) in FORMATS.items()}


def framed(boards: Sequence[Board]) -> Iterator[tuple[str, tuple[str, str, str]]]:
    """(File suffix, what stands before, between and after the pieces of the boards), for at least one board."""
    gap = secrets.token_hex(16)  # in no text of a record
    for suffix, (_, whole) in FORMATS.items():
        before, between, after = whole(boards, [gap, gap]).split(gap)
        yield suffix, (before, between, after)


def markdown(boards: Sequence[Board]) -> str:
    """Per board the verdict with its notes, fit to be pasted elsewhere, then the tables behind it."""
    return _md_whole(boards, [_md_piece(shown_of(board)) for board in boards])


def _md_piece(shown: Shown) -> str:
    board, (verdict, *details) = shown.board, shown.tables
    lines = [f"## {_md(board.name)}", "", _md(wording.caption(board)), ""]
    lines += _md_table(verdict)
    lines += [f"- {_md(remark)}" for remark in (*shown.legend, *shown.remarks)] + [""]
    for section in details:
        lines += [f"### {_md(section.title)}", "", *_md_table(section)]
        lines += [_md(section.note), ""] if section.note else []
    return "\n".join(lines)


def _md_whole(boards: Sequence[Board], pieces: Sequence[str]) -> str:
    lines = ["# TemperBench leaderboard", "", *pieces]
    for section in curves.fewer_labels(boards):
        lines += [f"## {_md(section.title)}", "", *_md_table(section), _md(section.note), ""]
    return "\n".join(lines if boards else [*lines, EMPTY, ""])


def _md_table(section: Section) -> list[str]:
    head = _md_rows("\t".join(map(_line, section.header)))
    marks = _md_rows("\t".join(":---" if name in sections.WORDS else "---:" for name in section.header))
    return [head, marks, *([_md_rows(section.body)] if section.rows else []), ""]


def _md_rows(body: str) -> str:
    """The rows of a table, from their texts with a tab between cells and a line end between rows."""
    return "| " + _md_escaped(body).replace("\t", " | ").replace("\n", " |\n| ") + " |"


def _md(text: str) -> str:
    return _md_escaped(_line(text))


def _md_escaped(text: str) -> str:
    """Text that stays text: no table, no HTML, no link, no emphasis across words."""
    text = _replaced(text, MARKDOWN)
    return text.replace("](", "]\\(").replace("![", "!\\[")


def _line(text: str) -> str:
    return " ".join(text.split())


def _replaced(text: str, table: Mapping[str, str]) -> str:
    """The text with each character of `table` replaced: a tenth of the time of str.translate where few are in it."""
    return _any_of("".join(table)).sub(lambda found: table[found[0]], text)


@functools.cache
def _any_of(characters: str) -> re.Pattern[str]:
    return re.compile(f"[{re.escape(characters)}]")


def to_csv(boards: Sequence[Board]) -> str:
    """The tidy table. Unknown numbers are empty cells with a status; text never starts a spreadsheet formula."""
    return _csv_whole(boards, [_csv_piece(shown_of(board)) for board in boards])


def _csv_piece(shown: Shown) -> str:
    text = functools.cache(_csv_part)
    numbers = (exact.get(name) for exact in shown.exact for name in shown.board.metrics)
    lines = [
        f"{text(about)},{text(metric)},{_csv_numbers(number)},{text(unit)},{text(state)}\n"
        for (about, metric, _, unit, state), number in zip(leaderboard.groups(shown.board), numbers, strict=True)
    ]
    return "".join(lines)


def _csv_numbers(exact: str | None) -> str:
    """All but the last, the degrees of freedom."""
    return exact.rpartition(",")[0].replace("null", "") if exact else ",,,,"


def _csv_part(cells: Sequence[Any]) -> str:
    """Cells of a row that stand in many rows."""
    return _csv([[guard(cell) if isinstance(cell, str) else cell for cell in cells]])[:-1]


def _csv_whole(_: Sequence[Board], pieces: Sequence[str]) -> str:
    return "".join([_csv([leaderboard.COLUMNS]), *pieces])


def _csv(rows: Iterable[Iterable[Any]]) -> str:
    """Rows of at least two cells; None is an empty one, and floats are as by repr."""
    stream = io.StringIO()
    csv.writer(stream, lineterminator="\n").writerows(rows)
    return stream.getvalue()


def guard(text: str) -> str:
    """Puts an apostrophe before text that a spreadsheet would run (OWASP, CSV injection)."""
    return f"'{text}" if text.startswith(FORMULA) else text


def latex(boards: Sequence[Board]) -> str:
    """One tabular per section, booktabs rules, everything escaped."""
    return _tex_whole(boards, [_tex_piece(shown_of(board)) for board in boards])


def _tex_piece(shown: Shown) -> str:
    lines = []
    for section in shown.tables:
        lines += [r"\begin{table}", rf"\caption{{{_tex(shown.board.name)}: {_tex(section.title)}}}"]
        lines += [rf"\resizebox{{\textwidth}}{{!}}{{\begin{{tabular}}{{{'l' * len(section.header)}}}", r"\toprule"]
        lines += [_tex_rows("\t".join(map(_line, section.header))), r"\midrule"]
        lines += [_tex_rows(section.body)] if section.rows else []
        lines += [r"\bottomrule", r"\end{tabular}}", r"\end{table}", ""]
    return "\n".join(lines)


def _tex_whole(_: Sequence[Board], pieces: Sequence[str]) -> str:
    return "\n".join(["% needs \\usepackage{booktabs} and, for wide tables, \\usepackage{graphicx}", *pieces]) + "\n"


def _tex_rows(body: str) -> str:
    """The rows of a table, from their texts with a tab between cells and a line end between rows."""
    return _tex_escaped(body).replace("\t", " & ").replace("\n", " \\\\\n") + r" \\"


def _tex(text: str) -> str:
    return _tex_escaped(_line(text))


def _tex_escaped(text: str) -> str:
    # a bracket right after a line end would be read as that line's optional argument
    return re.sub(r"^\[|(?<=[\t\n])\[", "{}[", _replaced(text, TEX))


def to_json(boards: Sequence[Board]) -> str:
    """Strict JSON, full precision."""
    return json_text.whole(boards, [json_text.piece(shown_of(board)) for board in boards])


def html(boards: Sequence[Board]) -> str:
    """One page that needs no server and no network; whatever stands in a record stays text."""
    return html_text.whole(boards, [html_text.piece(shown_of(board)) for board in boards])


# a board's piece of a format, and the whole of the boards and their pieces
FORMATS: dict[str, tuple[Callable[[Shown], str], Callable[[Sequence[Board], Sequence[str]], str]]] = {
    "md": (_md_piece, _md_whole),
    "csv": (_csv_piece, _csv_whole),
    "tex": (_tex_piece, _tex_whole),
    "html": (html_text.piece, html_text.whole),
    "json": (json_text.piece, json_text.whole),
}
