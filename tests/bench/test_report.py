"""What a reader sees: the same bytes again, nothing cut at any width, texts stay texts."""

from __future__ import annotations

import csv
import dataclasses
import html.parser
import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from bench import leaderboard
from bench.board import Arm, Board
from bench.report import formats, sections, terminal, wording
from bench.store import Store
from tests.bench.conftest import make_record

Fill = Callable[..., Store]
STRONG = {"aua": {"deepwordbug": 0.9, "textfooler": 0.85}}


def arm(board: Board, label: str) -> Arm:
    return next(a for a in board.arms if a.label == label)


def test_the_same_records_give_the_same_bytes_and_every_format(filled: Fill, tmp_path: Path) -> None:
    store = filled("r", {"baseline": {}, "fgm": STRONG, "lora": {"record": {"status": "failed", "reason": "boom"}}})
    first = {path.suffix: path.read_bytes() for path in leaderboard.write(store, tmp_path / "one")}
    second = {path.suffix: path.read_bytes() for path in leaderboard.write(Store(store.folder), tmp_path / "two")}
    assert first == second
    assert first.keys() == {".md", ".csv", ".tex", ".html", ".json"}
    assert sorted(p.name for p in (tmp_path / "one").iterdir()) == sorted(f"leaderboard{s}" for s in first)


def test_formats_agree_with_the_json_to_the_printed_digit(filled: Fill) -> None:
    boards = leaderboard.build(filled("r", {"baseline": {}, "fgm": STRONG}))
    text = formats.render(boards)
    cell = json.loads(text["json"])["boards"][0]["arms"][0]["cells"]["worst_case"]
    printed = f"{100 * cell['value']:.1f} [{100 * cell['low']:.1f}, {100 * cell['high']:.1f}]"
    text["html"] = re.sub(r"<[^>]*>", "", text["html"])
    assert all(printed in text[suffix] for suffix in ("md", "tex", "html"))
    rows = list(csv.DictReader(io.StringIO(text["csv"])))
    row = next(r for r in rows if r["mitigation"] == "fgm" and r["metric"] == "worst_case")
    assert (float(row["value"]), float(row["low"]), row["unit"]) == (cell["value"], cell["low"], "share")


def split_tables(text: str, row: str, between: str) -> list[list[list[str]]]:
    """Tables as rows of cells: neighbouring lines that match `row`, its cells parted by `between`."""
    tables: list[list[list[str]]] = [[]]
    for line in text.splitlines():
        found = re.fullmatch(row, line)
        if found:
            tables[-1].append([cell.strip() for cell in found[1].split(between)])
        elif tables[-1] and line not in (r"\midrule", r"\toprule"):
            tables.append([])
    return [table for table in tables if table]


def test_every_number_agrees_in_every_format(filled: Fill) -> None:
    lora = {"record": {"status": "failed", "reason": "boom", "fingerprints": {}}}
    boards = leaderboard.build(filled("r", {"baseline": {}, "fgm": STRONG, "eda": {"accuracy": 0.5}, "lora": lora}))
    text = formats.render(boards)
    (board,) = json.loads(text["json"])["boards"]
    cells = {one["mitigation"]: one["cells"] for one in board["arms"]}
    printed = {
        (label, wording.heading(name)): printed_cell(cell, board["metrics"][name]["unit"])
        for label, row in cells.items()
        for name, cell in row.items()
    }
    markdown = split_tables(text["md"], r"\| (.*) \|", " | ")
    latex = split_tables(text["tex"].replace(r"\_", "_").replace(r"\%", "%"), r"(.*) \\\\", " & ")
    arrows = {"$\\uparrow$": "↑", "$\\downarrow$": "↓", "---": "—", r"\textgreater{}": ">", r"\textless{}": "<"}
    for tables in (markdown, latex):
        seen = set()
        for head, *rows in tables:
            for mark, sign in arrows.items():
                head = [name.replace(mark, sign).replace("&gt;", ">") for name in head]
            for row in rows:
                shown = [cell.replace("---", "—").removeprefix("{}") for cell in row]
                found = dict(zip(head, shown, strict=True))
                label = found.get("mitigation")
                for name, cell in found.items():
                    if (label, name) in printed:
                        assert cell == printed[str(label), name], (label, name)
                        seen.add(name)
        assert len(seen) > 20
    for row in csv.DictReader(io.StringIO(text["csv"])):
        cell = cells[row["mitigation"]][row["metric"]]
        for number in ("value", "low", "high"):
            assert row[number] == ("" if cell.get(number) is None else repr(cell[number]))


def printed_cell(cell: Any, unit: str) -> str:
    """What a table must show for a cell of the JSON, written without the suite's own printing."""
    if cell["value"] is None:
        return "—" if cell["status"] == "ok" else f"— {cell['status'].replace('_', ' ')}"
    digits = {"share": 1, "score": 3, "x": 2, "gap": 3, "tau": 3, "s": 1, "s/text": 3, "nats": 2}.get(unit, 1)

    def number(value: float) -> str:
        text = f"{100 * value if unit == 'share' else value:.{digits}f}"
        return text.removeprefix("-") if float(text) == 0 else text

    if cell["low"] is None or cell["high"] is None:
        return number(cell["value"])
    return f"{number(cell['value'])} [{number(cell['low'])}, {number(cell['high'])}]"


HOSTILE = "=cmd|' /C calc'!A0 <script>alert(1)</script> | \\input{x} & 100 % _a_ [x](y)"


class Tags(html.parser.HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.seen.append(tag)
        assert not any(name.startswith("on") or (value or "").startswith("http") for name, value in attrs)


def test_hostile_texts_stay_texts(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for name, status in (("baseline", "ok"), ("fgm", "failed")):
        changes = {"status": status, "reason": HOSTILE if status == "failed" else None, "spec": {"mitigation": name}}
        if status == "failed":
            changes |= {"spec": {"mitigation": HOSTILE}}
        store.write(make_record(name, 0, **changes), {})
    text = formats.render(leaderboard.build(store))
    page = Tags()
    page.feed(text["html"])
    assert page.seen.count("script") == 1
    assert "http" not in text["html"]
    assert "&lt;script&gt;" in text["html"]
    rows = list(csv.DictReader(io.StringIO(text["csv"])))
    assert {row["mitigation"] for row in rows} == {"baseline", f"'{HOSTILE}"}
    assert not any(value.startswith(("=", "+", "@", "\t", "\r")) for row in rows for value in row.values())
    table = [line for line in text["md"].splitlines() if "calc" in line and line.startswith("|")]
    assert all("<script>" not in line and "\\|" in line for line in table)
    assert "\\input" not in text["tex"]


@pytest.mark.parametrize("text", ["=1", "+1", "-1", "@x", "\tx", "\rx"])
def test_formulas_are_guarded_and_numbers_are_not(text: str) -> None:
    assert formats.guard(text) == f"'{text}"
    assert formats.guard("fgm") == "fgm"


def test_negative_numbers_stay_numbers_in_csv(filled: Fill) -> None:
    text = formats.to_csv(leaderboard.build(filled("r", {"baseline": {}})))
    values = [row["value"] for row in csv.DictReader(io.StringIO(text)) if row["status"] == "ok"]
    assert values
    assert all(isinstance(float(value), float) for value in values)


SIX = {"baseline": {}, "clip_none": {}, "fgm": STRONG, "eda": STRONG | {"accuracy": 0.5}, "lora": {}}
SIX |= {"saliency_guided": {"raw_bonus": 0.5}}


def printed(store: Store, width: int) -> str:
    console = Console(file=io.StringIO(), width=width)
    leaderboard.show(store, console)
    return console.file.getvalue()  # type: ignore[attr-defined]


@pytest.mark.parametrize("width", [80, 120, 200])
def test_the_terminal_cuts_nothing_at_any_width(filled: Fill, width: int) -> None:
    store = filled("r", SIX)
    text = printed(store, width)
    assert "…" not in text
    assert max(len(line) for line in text.splitlines()) <= width
    (board,) = leaderboard.build(store)
    lines = text.splitlines()
    for place, one in enumerate(board.arms):
        row = next(line for line in lines if re.match(rf"[\d—]+ +([\d—-]+ +)?{one.label} ", line))
        cells = {head: column[place] for head, column in sections.columns(board).items()}
        assert cells["worst case, % ↑"].text in row
        assert cells["vs baseline, points"].text in row
        assert cells["clean accuracy, % ↑"].main in row
    assert "better" in text
    assert "not distinguishable: no proof of a difference" in text
    assert "! no rank: eda: clean accuracy is" in text
    assert "! masking: saliency_guided:" in text


def test_a_narrow_terminal_gets_several_tables_and_a_wide_one_intervals(filled: Fill) -> None:
    (board,) = leaderboard.build(filled("r", SIX))
    tables = {width: terminal.details(board, width) for width in (50, 80, 200)}
    assert [len(found) for found in tables.values()] == [3, 1, 1]
    assert sum(len(table.columns) - 1 for table in tables[50]) == len(board.arms)
    drawn = {width: printed(filled("again", SIX), width) for width in (80, 200)}
    cell = sections.measured(arm(board, "eda").cells["aua_calibrated:textfooler"], "share")
    assert cell.rest in drawn[200]
    assert cell.rest not in drawn[80]


@pytest.mark.parametrize(
    ("arms", "boards", "said"),
    [
        (300, 10, ""),
        (14, 10, "1 more board is in leaderboard.md"),
        (1, 10, "2 more boards are in leaderboard.md"),
        (300, 1, "2 more boards are in leaderboard.md"),
    ],
)
def test_of_many_boards_the_terminal_shows_the_first_and_says_so(
    filled: Fill, monkeypatch: pytest.MonkeyPatch, arms: int, boards: int, said: str
) -> None:
    (board,) = leaderboard.build(filled("r", SIX))
    three = [dataclasses.replace(board, task=f"task_{number}") for number in range(3)]
    monkeypatch.setattr(terminal, "MOST_ARMS", arms)
    monkeypatch.setattr(terminal, "MOST", boards)
    console = Console(file=io.StringIO(), width=120)
    leaderboard.show(three, console)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    shown = [name for name in ("task_0", "task_1", "task_2") if f"\n{name} / " in f"\n{text}"]
    assert len(shown) == {"": 3, "1": 2, "2": 1}[said[:1]]
    assert said in text
    assert ("more board" in text) == bool(said)


def test_what_is_unknown_is_a_dash_on_the_terminal(filled: Fill) -> None:
    store = filled("r", {"baseline": {}})
    store.write(make_record("fgm", 0, status="failed", reason="OutOfMemory: 8 GiB", fingerprints={}), {})
    text = printed(store, 80)
    assert re.search(r"— +fgm +— failed +— +— ! +—\n", text)
    assert "! failed: fgm: seed 0: OutOfMemory: 8 GiB" in text
    assert "—: not known, never zero" in " ".join(text.split())


def test_the_first_markdown_table_answers_the_question_and_none_is_wide(filled: Fill) -> None:
    text = formats.markdown(leaderboard.build(filled("r", SIX)))
    heads = [lines for lines in text.splitlines() if lines.startswith(("| rank", "| mitigation"))]
    assert max(head.count("|") - 1 for head in heads) <= sections.WIDEST
    assert heads[0].startswith("| rank | mitigation | family | worst case, % ↑ | vs baseline, points | p (Holm) |")
    assert "| lora | efficiency |" in text
    row = next(line for line in text.splitlines() if "| saliency_guided | interpretability |" in line)
    assert "| masking |" in row


def test_families_are_read_without_importing_the_mitigation() -> None:
    record = make_record("lora+fgm", spec={"mitigations": [{"name": "lora"}, {"name": "fgm"}]})
    assert wording.family(Arm("lora+fgm", [record])) == "efficiency + adversarial"
    foreign = make_record("x", spec={"mitigations": [{"name": "no_such_file"}, {"name": "../x"}]})
    assert wording.family(Arm("x", [foreign])) == ""


def test_of_the_control_explainer_only_the_floor_is_shown() -> None:
    assert sections.shown("dnaopc:random", "dnaopc")
    assert not sections.shown("comprehensiveness:random", "comprehensiveness")
    assert sections.shown("drift_tau:random", "drift_tau")
    assert sections.heading("dnaopc:random") == "dNAOPC random (floor)"


def test_a_rounded_zero_has_no_sign() -> None:
    assert (sections.number(-0.0001, "share"), sections.number(-0.0004, "gap")) == ("0.0", "0.000")


def test_an_empty_store_says_what_to_do(tmp_path: Path) -> None:
    text = formats.render(leaderboard.build(Store(tmp_path)))
    assert "temper run" in text["md"]
    assert "temper run" in text["html"]
    assert json.loads(text["json"])["boards"] == []


def test_learning_rates_and_their_source_are_shown(filled: Fill) -> None:
    (board,) = leaderboard.build(filled("r", {"baseline": {}}))
    cost = next(section for section in sections.details(board) if section.title == "Cost")
    assert cost.header[-2:] == ("learning rate", "learning rate from")
    assert [cell.text for cell in cost.rows[0][-2:]] == ["5e-05", "grid on validation"]


@pytest.mark.parametrize("width", [40, 80, 200])
def test_tables_are_as_wide_as_rich_measures_them(filled: Fill, width: int) -> None:
    (board,) = leaderboard.build(filled("r", SIX))
    board.arms[1].label = "模型_with a long name, x=0.5"
    arms, groups = range(len(board.arms)), terminal._rows(board)
    tables = [terminal.verdict(board, width), *terminal.details(board, width)]
    for part in (arms, arms[1:3], arms[4:]):
        for intervals in (False, True):
            tables.append(terminal._transposed(board, groups, part, intervals=intervals))
            needed = terminal._needed(board, groups, arms, intervals=intervals)(part)
            assert needed == terminal._width(tables[-1])
    for table in tables:
        assert terminal._width(table) == Console(width=10_000).measure(table).maximum
