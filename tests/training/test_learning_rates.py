"""Where an arm's learning rate comes from."""

from __future__ import annotations

import csv
from collections import defaultdict
from importlib import resources
from types import SimpleNamespace

import pytest

from bench.tuning import GRID, REACH
from training import learning_rates

ROWS = {
    ("movies", "small", "baseline"): 3e-4,
    ("movies", "small", "fgm"): 1e-3,
    ("movies", "small", "lora"): 2e-3,
    ("names", "small", "baseline"): 1e-4,
}
PLAIN = SimpleNamespace()
PAPER = SimpleNamespace(LEARNING_RATE=5e-4, LEARNING_RATE_SOURCE="paper")


@pytest.mark.parametrize(
    ("task", "model", "stack", "rate", "source"),
    [
        ("movies", "small", [("fgm", PLAIN)], 1e-3, "grid of 'fgm' on movies"),
        ("names", "small", [("baseline", PLAIN)], 1e-4, "grid of 'baseline' on names"),
        ("names", "small", [("fgm", PLAIN)], 1e-3, "grid of 'fgm' on movies"),
        ("movies", "small", [("fgm", PLAIN), ("lora", PAPER)], 2e-3, "grid of 'lora' on movies"),
        ("movies", "small", [("eda", PLAIN)], 3e-4, "grid of 'baseline' on movies"),
        ("movies", "large", [("lora", PAPER)], 5e-4, "paper"),
        ("movies", "large", [("fgm", PLAIN)], learning_rates.UNTUNED, "nobody tuned"),
    ],
)
def test_from_the_nearest_evidence(monkeypatch, task, model, stack, rate, source):
    monkeypatch.setattr(learning_rates, "_grid", lambda: ROWS)
    found = learning_rates.learning_rate(task, "classification", model, stack)
    assert found[0] == rate
    assert source in found[1]


@pytest.mark.parametrize("kind", ["classification", "tagging"])
def test_own_data_are_trained_as_the_recorded_task_of_their_kind(kind):
    (known,) = [task for task, its in learning_rates.KINDS.items() if its == kind]
    for arm in ("baseline", "fgm"):
        own = learning_rates.learning_rate("my_data", kind, "bert-tiny", [(arm, PLAIN)])
        assert own == learning_rates.learning_rate(known, kind, "bert-tiny", [(arm, PLAIN)])
        assert known in own[1]


def test_the_kinds_of_the_recorded_tasks_are_theirs():
    text = resources.files("training").joinpath("learning_rates.csv").read_text()
    assert {row["task"] for row in csv.DictReader(text.splitlines())} == set(learning_rates.KINDS)
    for task, kind in learning_rates.KINDS.items():
        assert f'kind="{kind}"' in resources.files("training.tasks").joinpath(f"{task}.py").read_text()


def test_every_arm_of_the_recorded_grid_had_the_same_budget():
    """The grid for all; further rates for those whose best lay at its end, until it did not or three were added.

    Where all rates score alike none is the best: such an arm may have the grid alone, or the walk of an earlier rule.
    """
    tried: dict[tuple[str, ...], dict[float, float]] = defaultdict(dict)
    text = resources.files("training").joinpath("learning_rates.csv").read_text()
    for row in csv.DictReader(text.splitlines()):
        score = float(row["validation_score"] or "-inf")
        tried[row["task"], row["model"], row["mitigation"]][float(row["learning_rate"])] = score
        assert row["seed"] == "0"
    assert len(tried) > 100
    for arm, scores in tried.items():
        assert set(GRID) <= set(scores), arm
        further = sorted(set(scores) - set(GRID))
        assert len(further) <= REACH
        best = min(scores, key=lambda rate: (-scores[rate], rate))
        known = [score for score in scores.values() if score >= 0]
        level = len(known) > 1 and len(set(known)) == 1 and not further
        inside = min(scores) < best < max(scores)
        assert inside or level or len(further) == REACH, f"{arm}: {best} is an end of what was tried"
        assert not further or min(GRID) > max(further) or max(GRID) < min(further), f"{arm}: {further}"


def test_the_best_point_wins_and_ties_go_to_the_smaller_rate(monkeypatch, tmp_path):
    table = "task,model,mitigation,learning_rate,validation_score,steps,seed\n" + "".join(
        f"t,m,a,{rate},{score},1,0\n" for rate, score in [(1e-3, 0.7), (1e-4, 0.8), (1e-5, 0.8), (1e-2, 0.1), (1, "")]
    )
    (tmp_path / "learning_rates.csv").write_text(table)
    monkeypatch.setattr(learning_rates.resources, "files", lambda _: tmp_path)
    assert learning_rates._grid() == {("t", "m", "a"): 1e-5}
