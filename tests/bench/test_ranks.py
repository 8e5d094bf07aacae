"""Rank intervals, groups, Pareto front, stacked mitigations and cards on boards of known arms."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from bench import leaderboard, metrics, ranks, stats
from bench.board import Arm, Board
from bench.report import cards, formats, terminal
from bench.stats import Interval
from bench.store import Store

Fill = Callable[..., Store]
STRONG, WEAK = {"aua": {"deepwordbug": 0.9, "textfooler": 0.85}}, {"aua": {"deepwordbug": 0.3, "textfooler": 0.2}}


def arm(board: Board, label: str) -> Arm:
    return next(a for a in board.arms if a.label == label)


def stack(*names: str) -> dict[str, Any]:
    listed = [{"name": name, "version": 1, "config": {}} for name in names]
    return {"record": {"spec": {"mitigations": listed}}}


def test_a_strong_arm_is_first_and_the_others_share_their_ranks(filled: Fill) -> None:
    (board,) = leaderboard.build(filled("r", {"baseline": {}, "fgm": STRONG, "eda": {}}, attacked=100))
    assert arm(board, "fgm").ranks == (1, 1)
    assert arm(board, "fgm").group == "a"
    assert {arm(board, name).ranks for name in ("baseline", "eda")} == {(2, 3)}
    assert {arm(board, name).group for name in ("baseline", "eda")} == {"b"}


def test_ranks_stand_in_every_format_alike(filled: Fill) -> None:
    text = formats.render(leaderboard.build(filled("r", {"baseline": {}, "fgm": STRONG, "eda": {}}, attacked=100)))
    first = json.loads(text["json"])["boards"][0]["arms"][1]
    assert (first["ranks"], first["group"]) == ([2, 3], "b")
    rows = [r for r in csv.DictReader(io.StringIO(text["csv"])) if r["mitigation"] == first["mitigation"]]
    assert {(r["rank_best"], r["rank_worst"], r["group"]) for r in rows} == {("2", "3", "b")}
    assert f"| 2 [2, 3] | {first['mitigation']} |" in text["md"]


@pytest.mark.parametrize("width", [80, 100, 200])
def test_the_terminal_has_the_ranks_beside_the_rank(filled: Fill, width: int) -> None:
    board, *_ = leaderboard.build(filled("r", {"baseline": {}, "fgm": STRONG, "eda": {}}, attacked=100))
    console = Console(file=io.StringIO(), width=width, record=True)
    console.print(terminal.verdict(board, width))
    printed = console.export_text().splitlines()
    assert max(map(len, printed)) <= width
    lines = [line.split() for line in printed if line.strip()]
    heads = next(line for line in lines if "ranks" in line)
    assert heads[:2] == ["#", "ranks"]
    shown = {line[2]: line[1] for line in lines if len(line) > 2 and line[2] in ("baseline", "fgm", "eda")}
    assert shown == {"baseline": "2-3", "fgm": "1", "eda": "2-3"}


def test_a_board_without_ranks_has_no_column_for_them(filled: Fill) -> None:
    (board,) = leaderboard.build(filled("s", {"baseline": {}, "eda": {}}, seeds=1))
    assert "ranks" not in [str(column.header) for column in terminal.verdict(board, 100).columns]


def test_arms_without_a_rank_have_no_interval_either(filled: Fill) -> None:
    (board,) = leaderboard.build(filled("r", {"baseline": {}, "fgm": STRONG | {"accuracy": 0.5}, "eda": {}}))
    assert arm(board, "fgm").ranks is None
    assert arm(board, "baseline").ranks == (1, 2)
    (single,) = leaderboard.build(filled("s", {"baseline": {}, "eda": {}}, seeds=1))
    assert all(one.ranks is None and not one.group for one in single.arms)


def test_the_front_holds_what_nothing_beats_in_both(filled: Fill) -> None:
    (board,) = leaderboard.build(filled("r", {"baseline": {}, "fgm": STRONG, "eda": WEAK}, attacked=100))
    # the fixtures' baseline takes 1.0 of a step, every other arm 1.5
    assert [one.label for one in board.arms if one.front] == ["fgm", "baseline"]
    for one in board.arms:
        one.cells["step_time_ratio"] = one.cells["counted_cost"] = metrics.Missing("missing", "not measured")
        one.front = False
    ranks.place(board)
    assert not any(one.front for one in board.arms)


def test_whether_the_second_still_helps(filled: Fill) -> None:
    arms = {"baseline": {}, "fgm": STRONG | stack("fgm"), "eda": stack("eda"), "fgm+eda": STRONG | stack("fgm", "eda")}
    (board,) = leaderboard.build(filled("r", arms, attacked=100))
    found = {one.added: one for one in board.interactions}
    assert found.keys() == {"fgm", "eda"}
    assert (found["fgm"].rest, found["fgm"].verdict) == ("eda", "still helps")
    assert (found["eda"].rest, found["eda"].verdict) == ("fgm", "not distinguishable")

    def value(label: str) -> float:
        cell = arm(board, label).cells["worst_case"]
        assert isinstance(cell, Interval)
        return float(cell.value or 0.0)

    contrast = value("fgm+eda") - value("eda") - value("fgm") + value("baseline")
    assert found["fgm"].contrast == pytest.approx(contrast)
    assert found["eda"].contrast == pytest.approx(contrast)
    assert "### Stacked mitigations" in formats.markdown([board])
    assert len(json.loads(formats.to_json([board]))["boards"][0]["interactions"]) == 2


def test_a_stack_without_its_parts_says_nothing(filled: Fill) -> None:
    (board,) = leaderboard.build(filled("r", {"baseline": {}, "fgm+eda": stack("fgm", "eda")}))
    assert board.interactions == []
    assert "Stacked mitigations" not in formats.markdown([board])


def test_cards_say_what_the_numbers_bear(filled: Fill) -> None:
    arms = {"baseline": {}, "fgm": STRONG, "eda": {}, "sharp": {"raw_bonus": 0.5}, "fgm+lora": stack("fgm", "lora")}
    (board,) = leaderboard.build(filled("r", arms, attacked=100))
    fgm = cards.card(board, arm(board, "fgm"))
    assert fgm.use_when.startswith("worst case matters: +")
    assert "1.50 times the baseline's step time" in fgm.costs
    assert "arXiv 1605.07725" in fgm.source
    assert cards.card(board, arm(board, "eda")).use_when.startswith("no use is proven here")
    assert "masking" in cards.card(board, arm(board, "sharp")).caveats
    assert cards.card(board, arm(board, "sharp")).source == "no source given"
    assert cards.card(board, arm(board, "fgm+lora")).source.startswith("fgm: ")
    (single,) = leaderboard.build(filled("s", {"baseline": {}, "fgm": STRONG}, seeds=1))
    assert cards.card(single, arm(single, "fgm")).use_when.startswith("unknown")


def test_a_board_borrows_the_spread_of_its_arms(filled: Fill) -> None:
    (board,) = leaderboard.build(filled("r", {name: {} for name in ("baseline", "fgm", "eda", "lora")}))
    lent = metrics.lend("worst_case", [one.values["worst_case"] for one in board.arms])
    assert lent is not None
    assert lent.df <= 2 * len(board.arms)
    assert metrics.lend("train_seconds", [{}]) is None
    expected = stats.pool(
        [
            stats.squares(
                stats.influence(np.stack([values.top for _, values in sorted(one.values["worst_case"].items())]))
            )
            for one in board.arms
        ]
    )
    assert expected is not None
    assert lent.variance == pytest.approx(2 * expected.variance)
