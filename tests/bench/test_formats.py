"""What the formats make in bulk (columns, rows, an arm's numbers) is what each cell alone would be."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable

import numpy as np
import pytest

from bench import leaderboard, metrics
from bench.board import Arm, Board
from bench.metrics import Missing, Values
from bench.report import formats, matrix, printed, sections
from bench.report.sections import Cell, Section
from bench.stats import Interval
from bench.store import Store

Fill = Callable[..., Store]
HOSTILE = '=1,"2"\n[x](y)\t|_%{} ü'


@pytest.fixture
def boards(filled: Fill) -> list[Board]:
    """One board with what is known, without an interval, unknown and missing, and a label that is no plain word."""
    lora = {"record": {"status": "failed", "reason": f"{HOSTILE}, boom"}}
    found = leaderboard.build(filled("r", {"baseline": {}, "fgm": {}, "lora": lora}))
    arm = next(arm for arm in found[0].arms if arm.label == "fgm")
    arm.label = HOSTILE
    arm.cells |= {
        "clean_accuracy": Interval(0.5, np.float64(0.25), np.float64(1e-7), 3, 2, np.float64(4.0)),
        "aua_raw:textfooler": Interval(1 / 3, None, None, 0, 1),
        "worst_case_raw": Interval(None, None, None, 0, 0),
        "failed_runs": Missing("failed", HOSTILE),
    }
    return found


def test_the_csv_is_the_tidy_table_guarded(boards: list[Board]) -> None:
    stream = io.StringIO()
    rows = [leaderboard.COLUMNS, *leaderboard.tidy(boards).itertuples(index=False)]
    guarded = [[formats.guard(cell) if isinstance(cell, str) else cell for cell in row] for row in rows]
    csv.writer(stream, lineterminator="\n").writerows(guarded)
    text = formats.to_csv(boards)
    assert text == stream.getvalue()
    assert "0.25,1e-07" in text


def test_the_json_is_indented_as_by_python(boards: list[Board]) -> None:
    text = formats.to_json(boards)
    assert text == json.dumps(json.loads(text), indent=1) + "\n"
    cells = json.loads(text)["boards"][0]["arms"][[arm.label for arm in boards[0].arms].index(HOSTILE)]["cells"]
    interval = {"value": 0.5, "low": 0.25, "high": 1e-7, "n": 3, "seeds": 2, "df": 4.0}
    assert cells["clean_accuracy"] == {"status": "ok", **interval}
    assert cells["failed_runs"] == {"value": None, "status": "failed", "reason": HOSTILE}
    assert cells["aua_raw:textfooler"]["low"] is None


def test_a_board_with_a_number_that_is_none_has_no_json(boards: list[Board]) -> None:
    boards[0].arms[0].cells["clean_accuracy"] = Interval(math.nan, None, None, 1, 1)
    with pytest.raises(ValueError, match="JSON"):
        formats.to_json(boards)


def test_a_cell_with_line_ends_tabs_and_brackets_stays_one_cell() -> None:
    rows = ((Cell("[a]\n b\t"), Cell("1.0", 1.0, "", "[0.5, 2.0]")), (Cell("x"), Cell("[_ |")))
    section = Section("t", ("mitigation", "n_1"), rows)
    assert section.body == "[a] b\t1.0 [0.5, 2.0]\nx\t[_ |"
    assert formats._md_table(section) == [
        "| mitigation | n_1 |", "| :--- | ---: |", "| [a] b | 1.0 [0.5, 2.0] |\n| x | [_ \\| |", "",
    ]  # fmt: skip
    assert formats._tex_rows(section.body) == "{}[a] b & 1.0 [0.5, 2.0] \\\\\nx & {}[\\_ | \\\\"


def test_no_rows_are_no_lines() -> None:
    assert formats._md_table(Section("t", ("a",), ())) == ["| a |", "| ---: |", ""]


@pytest.mark.parametrize("unit", ["share", "score", "x", "steps"])
def test_many_numbers_are_printed_as_one(unit: str) -> None:
    values = [0.0, -0.0, -0.0004, 0.0004, -0.0006, 0.25, -1.5, 1234.5678, 1e-9, -1e-9, 3]
    digits = {"share": 1, "score": 3, "x": 2}.get(unit, 1)
    texts = [f"{100 * value if unit == 'share' else value:.{digits}f}" for value in values]
    wanted = [text if float(text) else text.removeprefix("-") for text in texts]
    assert printed.numbers(values, unit) == wanted == [sections.number(value, unit) for value in values]


def test_a_transfer_is_summarised_as_every_ratio() -> None:
    rng = np.random.default_rng(2)
    ids = tuple(map(str, range(9)))
    known = [Values(rng.integers(0, 4, 9).astype(float), rng.integers(4, 9, 9).astype(float), ids) for _ in range(3)]
    unknown = Values(np.where(np.arange(9) == 4, math.nan, known[0].top), known[0].bottom, ids)
    nothing = Values(np.zeros(2), np.zeros(2), ids[:2])
    bare = Values(np.ones(2), None, ids[:2])
    for seeds in (known, known[:1], [*known, unknown], [unknown], [nothing], [bare, *known], [*known, nothing], []):
        found = metrics.summarise("transfer_f1_from:x:y", seeds, None)
        assert matrix._mean("transfer_f1_from:x:y", seeds) == (found.value, found.seeds)


@pytest.mark.parametrize(
    ("facts", "wanted"),
    [
        (["a", "a"], "a"),
        ([1e-5, 1e-5], 1e-5),
        ([None, None], None),
        (["a", None], "a"),
        ([None, "a"], "a"),
        ([1, 1.0], "1, 1.0"),
        (["b", "a"], '"a", "b"'),
        ([[1], [1]], [1]),
    ],
)
def test_a_fact_is_what_all_seeds_share(facts: list[object], wanted: object, filled: Fill) -> None:
    record = leaderboard.build(filled("r", {"baseline": {}}))[0].arms[0].records[0]
    records = [record.model_copy(update={"summary": {"fact": fact}}) for fact in facts]
    assert Arm("x", records).fact("fact") == wanted
