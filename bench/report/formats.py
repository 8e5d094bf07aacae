"""Boards as Markdown, CSV, LaTeX, JSON and HTML text; no dates, so the same records give the same bytes.

Every format is a beginning, a piece for each board, and an end, so that the boards can be written on all cores.
"""

from __future__ import annotations

import csv
import functools
import io
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from bench import leaderboard, metrics
from bench.board import Arm, Board
from bench.metrics import Missing
from bench.report import cards, curves, html_text, sections, wording
from bench.report.sections import Section
from bench.report.shown import EMPTY, Shown, shown_of
from bench.stats import Difference, Interval

TEX = str.maketrans({
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "—": "---", "↑": r"$\uparrow$", "↓": r"$\downarrow$",
    "<": r"\textless{}", ">": r"\textgreater{}",
})  # fmt: skip
MARKDOWN = str.maketrans({"\\": r"\\", "&": "&amp;", "<": "&lt;", ">": "&gt;", "|": r"\|", "`": r"\`", "*": r"\*"})
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


def render(boards: Sequence[Board]) -> dict[str, str]:
    """File suffix -> text."""
    return assembled(boards, [pieces(shown_of(board)) for board in boards])


def pieces(shown: Shown) -> dict[str, str]:
    """File suffix -> what a board contributes to that file."""
    return {suffix: piece(shown) for suffix, (piece, _) in FORMATS.items()}


def assembled(boards: Sequence[Board], made: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """File suffix -> text, from the pieces of the boards in their order."""
    return {suffix: whole(boards, [one[suffix] for one in made]) for suffix, (_, whole) in FORMATS.items()}


def markdown(boards: Sequence[Board]) -> str:
    """Per board the verdict with its notes, fit to be pasted elsewhere, then the tables behind it."""
    return _md_whole(boards, [_md_piece(shown_of(board)) for board in boards])


def _md_piece(shown: Shown) -> str:
    board, (verdict, *details) = shown.board, shown.tables
    lines = [f"## {_md(board.name)}", "", _md(wording.caption(board)), ""]
    lines += _md_table(verdict)
    lines += [f"- {_md(remark)}" for remark in (*wording.legend(board), *wording.remarks(board))] + [""]
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
    marks = [":---" if name in sections.WORDS else "---:" for name in section.header]
    rows = [_md_row([cell.text for cell in row]) for row in section.rows]
    return [_md_row(section.header), _md_row(marks, raw=True), *rows, ""]


def _md_row(cells: Sequence[str], raw: bool = False) -> str:
    return "| " + " | ".join(cell if raw else _md(cell) for cell in cells) + " |"


def _md(text: str) -> str:
    """Text that stays text: no table, no HTML, no link, no emphasis across words, one line."""
    text = " ".join(text.split()).translate(MARKDOWN)
    return text.replace("](", "]\\(").replace("![", "!\\[")


def to_csv(boards: Sequence[Board]) -> str:
    """The tidy table. Unknown numbers are empty cells with a status; text never starts a spreadsheet formula."""
    return _csv_whole(boards, [_csv_piece(shown_of(board)) for board in boards])


def _csv_piece(shown: Shown) -> str:
    return _csv(map(_csv_cell, row) for row in leaderboard.cells(shown.board))


def _csv_cell(value: Any) -> str:
    if isinstance(value, float):
        return repr(value)
    return guard(value) if isinstance(value, str) else "" if value is None else repr(value)


def _csv_whole(_: Sequence[Board], pieces: Sequence[str]) -> str:
    return "".join([_csv([leaderboard.COLUMNS]), *pieces])


def _csv(rows: Iterable[Iterable[str]]) -> str:
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
        lines.append(" & ".join(_tex(text) for text in section.header) + r" \\")
        lines.append(r"\midrule")
        lines += [" & ".join(_tex(cell.text) for cell in row) + r" \\" for row in section.rows]
        lines += [r"\bottomrule", r"\end{tabular}}", r"\end{table}", ""]
    return "\n".join(lines)


def _tex_whole(_: Sequence[Board], pieces: Sequence[str]) -> str:
    return "\n".join(["% needs \\usepackage{booktabs} and, for wide tables, \\usepackage{graphicx}", *pieces]) + "\n"


def _tex(text: str) -> str:
    escaped = " ".join(text.split()).translate(TEX)
    # a bracket right after a line end would be read as that line's optional argument
    return f"{{}}{escaped}" if escaped.startswith("[") else escaped


def to_json(boards: Sequence[Board]) -> str:
    """Strict JSON, full precision."""
    return _json_whole(boards, [_json_piece(shown_of(board)) for board in boards])


def _json_piece(shown: Shown) -> str:
    return _indented(_board(shown.board) | {"transfer_matrix": shown.transfers}, 2)


def _json_whole(_: Sequence[Board], pieces: Sequence[str]) -> str:
    listed = ("[\n  " + ",\n  ".join(pieces) + "\n ]") if pieces else "[]"
    return f'{{\n "schema_version": 1,\n "boards": {listed}\n}}\n'


def _indented(value: Any, depth: int) -> str:
    """json.dumps with an indent of 1, several times as fast: what holds no further lists is encoded as one."""
    if not value or not isinstance(value, (dict, list, tuple)):
        return _encoder("").encode(value)
    inner, pad, end = value.values() if isinstance(value, dict) else value, "\n" + " " * (depth + 1), "\n" + " " * depth
    if not any(isinstance(one, (dict, list, tuple)) for one in inner):
        text = _encoder(pad).encode(value)
        return text[0] + pad + text[1:-1] + end + text[-1]
    parts = [_indented(one, depth + 1) for one in inner]
    if isinstance(value, dict):
        parts = [f"{_encoder('').encode(str(key))}: {part}" for key, part in zip(value, parts, strict=True)]
    opened, closed = "{}" if isinstance(value, dict) else "[]"
    return opened + pad + f",{pad}".join(parts) + end + closed


@functools.cache
def _encoder(pad: str) -> json.JSONEncoder:
    return json.JSONEncoder(allow_nan=False, separators=(f",{pad}", ": "))


def _board(board: Board) -> dict[str, Any]:
    about = {
        name: {
            "title": metrics.title(name),
            "unit": metrics.of(name).unit,
            "direction": metrics.of(name).direction,
            "smallest_difference": metrics.of(name).smallest_difference,
        }
        for name in board.metrics
    }
    return {
        "name": board.name,
        "task": board.task,
        "model": board.model,
        "tier": board.tier,
        "fingerprint": board.fingerprint,
        "ranked_by": board.score,
        "notes": board.notes,
        "metrics": about,
        "arms": [_arm(arm) | {"card": vars(cards.card(board, arm))} for arm in board.arms],
        "interactions": [vars(one) | {"difference": _numbers(one.difference)} for one in board.interactions],
    }


def _arm(arm: Arm) -> dict[str, Any]:
    return {
        "mitigation": arm.label,
        "rank": arm.rank,
        "ranks": list(arm.ranks) if arm.ranks else None,
        "group": arm.group or None,
        "pareto": arm.front,
        "no_rank": arm.no_rank or None,
        "verdict": arm.verdict or None,
        "difference": _numbers(arm.difference),
        "p_holm": arm.p_adjusted,
        "masking": arm.masking,
        "masking_signs": [vars(sign) for sign in arm.signs],
        "seeds": arm.seeds,
        "failures": arm.failures,
        "unhealthy": arm.unhealthy,
        "learning_rate": arm.fact("learning_rate"),
        "learning_rate_source": arm.fact("learning_rate_source"),
        "records": [record.spec_id for record in arm.records],
        "cells": {name: _numbers(cell) for name, cell in arm.cells.items()},
    }


def _numbers(value: Interval | Missing | Difference | None) -> dict[str, Any] | None:
    if value is None:
        return None
    if isinstance(value, Missing):
        return {"value": None, "status": value.status, "reason": value.reason}
    return {"status": "ok", **vars(value)}


def html(boards: Sequence[Board]) -> str:
    """One page that needs no server and no network; whatever stands in a record stays text."""
    return html_text.whole(boards, [html_text.piece(shown_of(board)) for board in boards])


# a board's piece of a format, and the whole of the boards and their pieces
FORMATS: dict[str, tuple[Callable[[Shown], str], Callable[[Sequence[Board], Sequence[str]], str]]] = {
    "md": (_md_piece, _md_whole),
    "csv": (_csv_piece, _csv_whole),
    "tex": (_tex_piece, _tex_whole),
    "html": (html_text.piece, html_text.whole),
    "json": (_json_piece, _json_whole),
}
