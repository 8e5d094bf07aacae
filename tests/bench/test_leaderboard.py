"""Who is ranked, who is not and why."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from bench import leaderboard
from bench.board import Arm, Board
from bench.record import StageResult
from bench.report import formats, sections, wording
from bench.stats import Interval
from bench.store import Store
from tests.bench.conftest import make_record, make_tables

Fill = Callable[..., Store]
STRONG = {"aua": {"deepwordbug": 0.9, "textfooler": 0.85}}


def arm(board: Board, label: str) -> Arm:
    return next(a for a in board.arms if a.label == label)


def test_order_rank_and_difference(filled: Fill) -> None:
    (board,) = leaderboard.build(filled("r", {"baseline": {}, "fgm": STRONG, "eda": {}}))
    assert board.arms[0].label == "fgm"
    fgm, eda = arm(board, "fgm"), arm(board, "eda")
    assert fgm.rank == 1
    assert fgm.verdict == "better"
    assert fgm.difference is not None
    assert fgm.difference.low > 0.05  # type: ignore[operator]
    assert eda.verdict == "not distinguishable"
    assert arm(board, "baseline").verdict == "baseline"
    assert fgm.p_adjusted is not None
    assert fgm.p_adjusted >= fgm.difference.p


def test_an_arm_that_loses_clean_accuracy_is_below_the_line(filled: Fill) -> None:
    (board,) = leaderboard.build(filled("r", {"baseline": {}, "fgm": STRONG | {"accuracy": 0.5}}))
    fgm = arm(board, "fgm")
    assert board.arms[-1] is fgm
    assert fgm.rank is None
    assert re.search(r"clean accuracy is \d+\.\d points below the baseline's", fgm.no_rank)


def test_masking_is_flagged_and_gains_no_rank(filled: Fill) -> None:
    (board,) = leaderboard.build(filled("r", {"baseline": {}, "sharp": {"raw_bonus": 0.5}}))
    sharp = arm(board, "sharp")
    assert sharp.masking == ["deepwordbug", "textfooler"]
    worst, calibrated = sharp.cells["worst_case"], sharp.cells["worst_case_calibrated"]
    assert isinstance(worst, Interval)
    assert isinstance(calibrated, Interval)
    assert worst.value == calibrated.value
    assert sharp.verdict == "not distinguishable"
    assert any("masking" in remark for remark in wording.remarks(board))


def test_one_seed_has_values_but_no_interval_and_no_rank(filled: Fill) -> None:
    (board,) = leaderboard.build(filled("r", {"baseline": {}, "fgm": STRONG}, seeds=1))
    fgm = arm(board, "fgm")
    assert fgm.rank is None
    assert fgm.no_rank == "1 seed: no interval, no rank"
    cell = fgm.cells["clean_accuracy"]
    assert isinstance(cell, Interval)
    assert cell.value is not None
    assert cell.low is None
    assert fgm.verdict == "1 seed: not judged"
    assert not any("[" in cell.text for row in sections.verdict(board).rows for cell in row)


def test_failed_runs_are_rows_with_a_reason_and_unknown_is_never_zero(filled: Fill, tmp_path: Path) -> None:
    store = filled("r", {"baseline": {}})
    for seed in range(3):
        store.write(make_record("fgm", seed, status="failed", reason="OutOfMemory: 8 GiB", fingerprints={}), {})
    (board,) = leaderboard.build(store)
    fgm = arm(board, "fgm")
    assert fgm.rank is None
    assert len(fgm.failures) == 3
    frame = leaderboard.tidy([board])
    rows = frame[(frame.mitigation == "fgm") & (frame.metric == "clean_accuracy")]
    assert rows.value.item() is None
    assert rows.status.item() == "failed"
    assert rows.reason.item() == "OutOfMemory: 8 GiB"
    assert frame[(frame.mitigation == "fgm") & (frame.metric == "failed_runs")].value.item() == 1.0
    line = next(line for line in formats.markdown([board]).splitlines() if line.startswith("| — | fgm"))
    assert "— failed" in line
    assert "3 of 3" in line
    assert " 0.0 " not in line


def test_a_stage_that_does_not_apply_is_named(filled: Fill) -> None:
    store = filled("r", {"baseline": {}})
    stages = {"transfer:textfooler": StageResult(status="not_applicable", reason="needs a second seed")}
    tables = make_tables("fgm", 0, accuracy=0.8, aua={}, raw_bonus=0, n=200, attacked=50, noise=0)
    store.write(make_record("fgm", 0, stages=stages), tables)
    frame = leaderboard.tidy(leaderboard.build(store))
    row = frame[(frame.mitigation == "fgm") & (frame.metric == "transfer_accuracy:textfooler")]
    assert (row.status.item(), row.reason.item()) == ("not_applicable", "needs a second seed")


@pytest.mark.parametrize(
    "changes",
    [
        {"fingerprints": {"recipe:textfooler": {"name": "textfooler", "version": 2, "textattack": "0.3.11"}}},
        {"fingerprints": {"data": "e" * 64}},
        {"spec": {"sizes": {"test": 100, "attacked": 50}}},
    ],
)
def test_what_is_not_comparable_gets_a_board_of_its_own(filled: Fill, changes: dict[str, Any]) -> None:
    boards = leaderboard.build(filled("r", {"baseline": {}, "fgm": {"record": changes}}))
    assert [board.number for board in boards] == [1, 2]
    assert sorted(a.label for board in boards for a in board.arms) == ["baseline", "fgm"]
    assert all(any("not comparable" in note for note in board.notes) for board in boards)


def test_a_regime_has_a_board_of_its_own_and_old_records_are_of_the_default(filled: Fill) -> None:
    boards = leaderboard.build(
        filled(
            "r",
            {
                "baseline": {},
                "fgm": {"record": {"spec": {"regime": "default"}}},
                "eda": {"record": {"spec": {"regime": "strict"}}},
            },
        )
    )
    assert {one.name: [a.label for a in one.arms] for one in boards} == {
        "movie_reviews / bert-tiny / quick": ["baseline", "fgm"],
        "movie_reviews / bert-tiny / quick, regime strict (2)": ["eda"],
    }


def test_tiers_have_boards_of_their_own(filled: Fill) -> None:
    boards = leaderboard.build(filled("r", {"baseline": {}, "fgm": {"record": {"tier": "standard"}}}))
    assert [board.tier for board in boards] == ["quick", "standard"]


def test_two_settings_of_one_mitigation_are_two_rows(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for rate in (5e-5, 1e-4):
        record = make_record("fgm", 0, spec={"settings": {"learning_rate": rate}}, spec_id=f"a{rate}")
        store.write(record, make_tables("fgm", 0, accuracy=0.8, aua={}, raw_bonus=0, n=20, attacked=5, noise=0))
    (board,) = leaderboard.build(store)
    assert sorted(a.label for a in board.arms) == ["fgm [learning_rate=0.0001]", "fgm [learning_rate=5e-05]"]


def test_times_of_several_devices_are_not_averaged(filled: Fill) -> None:
    gpu = {"environment": {"device": "NVIDIA H100"}}
    (board,) = leaderboard.build(filled("r", {"baseline": {}, "fgm": {"record": gpu}}))
    frame = leaderboard.tidy([board])
    assert set(frame[frame.metric == "step_time_ratio"].status) == {"not_comparable"}
    assert set(frame[frame.metric == "clean_accuracy"].status) == {"ok"}


def test_tagging_is_ranked_by_f1(tmp_path: Path) -> None:
    store = Store(tmp_path)
    stages = {"attack:textfooler:raw": StageResult(status="not_applicable", reason="a tagging task")}
    for mitigation, hits in (("baseline", 2), ("fgm", 3)):
        for seed in range(3):
            rows = [(f"s{i}", max(0, hits - (i + seed) % 2), i % 2, (i + seed) % 2) for i in range(40)]
            clean = pd.DataFrame(rows, columns=["id", "tp", "fp", "fn"])
            store.write(make_record(mitigation, seed, task="ner_finance", stages=stages), {"clean": clean})
    (board,) = leaderboard.build(store)
    assert board.score == "entity_f1"
    assert [(a.label, a.rank) for a in board.arms] == [("fgm", 1), ("baseline", 2)]
