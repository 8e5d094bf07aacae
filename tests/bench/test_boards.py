"""Which arms stand on one board: those that were asked alike, whatever else the folder holds."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from bench import leaderboard
from bench.board import Arm, Board
from bench.gate import checking
from bench.record import Record
from bench.store import Store
from tests.bench.conftest import RECIPES, make_record, make_tables
from tests.bench.test_gate import drop, edited

Fill = Callable[..., Store]
ARMS = ("baseline", "fgm", "eda")
SETTINGS = {"epochs": 2, "learning_rate": 5e-5}


def add(store: Store, mitigation: str, name: str, noise: object = 0, **spec: Any) -> None:
    """Three runs of an arm whose spec differs in something from those that are there."""
    recipes = spec.get("recipes", list(RECIPES))
    for seed in range(3):
        record: Record = make_record(mitigation, seed, recipes=recipes, spec=spec)
        tables = make_tables(
            mitigation, seed, accuracy=0.8, aua={recipe: RECIPES.get(recipe, 0.9) for recipe in recipes}, raw_bonus=0.0,
            n=200, attacked=50, noise=noise,
        )  # fmt: skip
        store.write(record.model_copy(update={"spec_id": f"{record.spec_id}-{name}"}), tables)


def labels(board: Board) -> set[str]:
    return {arm.label for arm in board.arms}


def arm(board: Board, label: str) -> Arm:
    return next(one for one in board.arms if one.label == label)


def notes_apart(board: Board) -> list[str]:
    return [note for note in board.notes if note.startswith("one of")]


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"recipes": ["deepwordbug"]}, "recipes (here deepwordbug textfooler)"),
        ({"explainers": ["lime"]}, "explainers (here integrated_gradients)"),
        ({"settings": SETTINGS | {"epochs": 5}}, "epochs (here 2)"),
        ({"adaptive": True}, "adaptive (here False)"),
    ],
)
def test_what_was_asked_otherwise_has_a_board_and_a_baseline_of_its_own(
    asked: dict[str, Any], said: str, filled: Fill
) -> None:
    """An arm that met fewer attacks would have the better worst case, and take the rank of one that met all."""
    store = filled("r", {name: {} for name in ARMS})
    for mitigation in ("baseline", "fgm"):
        add(store, mitigation, "later", **asked)
    first, second = leaderboard.build(store)
    assert (labels(first), labels(second)) == (set(ARMS), {"baseline", "fgm"})  # the largest first
    for board in (first, second):
        assert arm(board, "baseline").verdict == "baseline"
        assert arm(board, "fgm").difference is not None
    assert notes_apart(first) == [f"one of 2 boards of this name, as their arms were asked other things: {said}"]
    (alone,) = leaderboard.build(filled("alone", {name: {} for name in ARMS}))
    for name in ARMS:
        assert arm(first, name).cells["worst_case"] == arm(alone, name).cells["worst_case"]
        assert arm(first, name).ranks == arm(alone, name).ranks


def test_the_order_of_the_attacks_and_explainers_says_nothing(filled: Fill) -> None:
    store = filled("r", {"baseline": {}})
    add(store, "fgm", "later", recipes=list(reversed(RECIPES)))
    (board,) = leaderboard.build(store)
    assert labels(board) == {"baseline", "fgm"}


def test_the_baseline_at_another_rate_is_an_arm_beside_the_searched_one(filled: Fill) -> None:
    store = filled("r", {"baseline": {}, "fgm": {}})
    given = {"settings": SETTINGS | {"learning_rate": 1e-3}, "learning_rate_source": "given by the user"}
    add(store, "baseline", "faster", **given)
    (board,) = leaderboard.build(store)
    control = "baseline [learning_rate=0.001]"
    assert labels(board) == {"baseline", control, "fgm"}
    assert arm(board, "baseline").verdict == "baseline"
    assert arm(board, "baseline").fact("learning_rate_source") == "grid on validation"
    assert arm(board, control).difference is not None
    assert arm(board, control).verdict == "not distinguishable"


def test_the_gate_counts_an_arm_of_two_runs_once(filled: Fill, tmp_path: Path) -> None:
    """The same models in two runs are no further comparison, and no further evidence of how much seeds differ."""
    once, twice = (filled(name, {name: {} for name in ARMS}) for name in ("once", "twice"))
    for mitigation in ARMS:
        add(twice, mitigation, "later", recipes=["deepwordbug"])
    found = [
        checking.check(store, edited(store, tmp_path / f"{store.folder.name}-worse", drop(0.1)))
        for store in (once, twice)
    ]
    assert found[0].exit_code == 1
    first, second = (one.rows.drop(columns="cell") for one in found)
    assert first.equals(second)


def test_the_gate_names_what_two_arms_of_one_name_differ_in(filled: Fill) -> None:
    store = filled("r", {"baseline": {}, "fgm": {}})
    add(store, "baseline", "faster", noise=1, settings=SETTINGS | {"learning_rate": 1e-3})
    add(store, "fgm", "later", noise=1, recipes=["deepwordbug"])
    cells = set(checking.check(store, store).rows.cell)
    assert cells == {
        "movie_reviews / bert-tiny / baseline [learning_rate=5e-05]",
        "movie_reviews / bert-tiny / baseline [learning_rate=0.001]",
        "movie_reviews / bert-tiny / fgm [recipes=deepwordbug textfooler]",
        "movie_reviews / bert-tiny / fgm [recipes=deepwordbug]",
    }


def test_a_run_is_shown_the_boards_it_is_on(filled: Fill) -> None:
    store = filled("r", {name: {} for name in ARMS})
    add(store, "baseline", "later", recipes=["deepwordbug"])
    boards = leaderboard.build(store)
    shown = {}
    for name, run in (("all", []), ("later", [one for one in store.ids() if one.endswith("later")]), ("none", ["x"])):
        console = Console(file=io.StringIO(), width=120)
        leaderboard.show(boards, console, run)
        shown[name] = console.file.getvalue()  # type: ignore[attr-defined]
    assert shown["all"] == shown["none"]
    assert "quick (2)\n" in shown["all"]
    assert "eda" in shown["all"]
    assert shown["later"].startswith("movie_reviews / bert-tiny / quick (2)\n1 arm")
    assert "eda" not in shown["later"]
    assert "1 more board is in leaderboard.md and on the page" in shown["later"]
