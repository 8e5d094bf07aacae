"""Tuning: equal budgets, validation only, and a record that later runs read."""

from __future__ import annotations

import csv
from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.console import Console

from bench import tuning
from training import learning_rates

HEADER = "task,model,mitigation,learning_rate,validation_score,steps,seed\n"


@pytest.fixture
def landscape(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Arms whose validation score peaks at a known rate; records which trainings were asked for."""
    best = {"baseline": 3e-4, "fgm": 1.5e-3, "small_lr": 1e-5, "bitfit": 3e-8, "warmup_none": 1.0}
    # learns nothing; learns nothing but at one rate; nothing that four digits show
    level = {
        "linear_probe": dict.fromkeys(tuning.GRID, 0.0),
        "movement_pruning": dict.fromkeys(tuning.GRID, 0.0) | {1e-4: 0.3},
        "llrd": {rate: 0.5 + rate / 1e3 for rate in tuning.GRID},
    }
    best |= dict.fromkeys(level, 1e-8)
    trained: list[tuple[str, float]] = []
    record = tmp_path / "learning_rates.csv"
    record.write_text(HEADER + "movie_reviews,bert-tiny,lora,0.001,0.7137,500,0\n", encoding="utf8")

    def job(mitigation, rate, model, task, epochs):
        spec = SimpleNamespace(id=f"{mitigation}-{rate}", task=task, seed=0, arm=mitigation, rate=rate)
        return SimpleNamespace(spec=spec)

    def run_phase(jobs, phase, workers, listen):
        assert phase is tuning.train_only
        found = {}
        for one in jobs:
            trained.append((one.spec.arm, one.spec.rate))
            distance = abs(tuning.math.log(one.spec.rate / best[one.spec.arm]))
            failed = one.spec.rate > 2.9e-3 and one.spec.arm != "warmup_none"
            score = level.get(one.spec.arm, {}).get(one.spec.rate, 0.8 - 0.1 * distance)
            found[one.spec.id] = RuntimeError("diverged") if failed else (score, 500)
            listen(one.spec.id, "end", 1, 1)
        return found

    monkeypatch.setattr(tuning, "_job", job)
    monkeypatch.setattr(tuning.pool, "run_phase", run_phase)
    monkeypatch.setattr(tuning, "RECORD", record)
    return trained, record


def rows(record: Path) -> list[dict[str, str]]:
    with record.open(encoding="utf8", newline="") as stream:
        return list(csv.DictReader(stream))


def test_every_arm_gets_the_grid_and_failures_leave_a_row_without_a_score(landscape, capsys):
    trained, record = landscape
    tuning.tune(["baseline", "fgm"], "bert-tiny", "movie_reviews", tuning.GRID, 2, Console())
    assert sorted(trained) == sorted((arm, rate) for arm in ("baseline", "fgm") for rate in tuning.GRID)
    written = [(row["mitigation"], float(row["learning_rate"])) for row in rows(record)]
    assert written == [(arm, rate) for arm in ("baseline", "fgm") for rate in tuning.GRID] + [("lora", 0.001)]
    failed = [(row["mitigation"], row["learning_rate"]) for row in rows(record) if not row["validation_score"]]
    assert failed == [("baseline", "0.003"), ("fgm", "0.003")]
    assert "fgm at 0.003 failed: diverged" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arm", "further"),
    [
        ("baseline", []),
        ("small_lr", [3e-5, 1e-5, 3e-6]),
        ("bitfit", [3e-5, 1e-5, 3e-6]),
        ("warmup_none", [1e-2, 3e-2, 1e-1]),
    ],
)
def test_an_arm_whose_best_is_an_end_of_the_grid_is_tried_further_out(landscape, arm, further):
    trained, record = landscape
    tuning.tune([arm], "bert-tiny", "movie_reviews", tuning.GRID, 2, Console())
    assert [rate for _, rate in trained] == [*tuning.GRID, *further]
    written = [float(row["learning_rate"]) for row in rows(record) if row["mitigation"] == arm]
    assert written == sorted([*tuning.GRID, *further])


@pytest.mark.parametrize(
    ("arm", "further", "said"),
    [("linear_probe", 0, True), ("llrd", 0, True), ("movement_pruning", 1, False)],
)
def test_an_arm_of_which_no_rate_stands_out_keeps_to_the_grid(landscape, arm, further, said, capsys):
    """At 3e-3 the training fails, the other rates score alike: there is no best to walk out from."""
    trained, record = landscape
    tuning.tune([arm], "bert-tiny", "movie_reviews", tuning.GRID, 2, Console())
    assert len(trained) == len(tuning.GRID) + further
    scores = [row["validation_score"] for row in rows(record) if row["mitigation"] == arm]
    assert (len({score for score in scores if score}) == 1) == said
    assert (f"{arm}: no rate stands out" in capsys.readouterr().out) == said


def test_the_only_rate_that_did_not_fail_is_the_best(landscape):
    """One score says nothing about being level: an end that alone survives is walked out from."""
    study = tuning.Study.begin("fgm", (1e-3, 3e-3))
    for score in (0.0, None):
        trial, _ = study.ask()
        state = {"state": tuning.optuna.trial.TrialState.FAIL} if score is None else {"values": score}
        study.trials.tell(trial, **state)
    assert not study.level
    asked = study.ask_outwards()
    assert asked is not None
    assert asked[1] == 3e-4


def test_more_trials_are_equally_many_and_come_closer(landscape, monkeypatch):
    trained, record = landscape
    tuning.tune(["baseline", "fgm"], "bert-tiny", "movie_reviews", tuning.GRID, 2, Console(), trials=12)
    assert [sum(arm == name for arm, _ in trained) for name in ("baseline", "fgm")] == [12, 12]
    assert all(1e-4 <= rate <= 3e-3 for _, rate in trained)
    best = max(
        (float(r["validation_score"]), float(r["learning_rate"]))
        for r in rows(record)
        if r["mitigation"] == "fgm" and r["validation_score"]
    )
    # nearer to 1.5e-3 than the grid's best point, 1e-3
    assert abs(tuning.math.log(best[1] / 1.5e-3)) < tuning.math.log(1.5)
    monkeypatch.setattr(learning_rates.resources, "files", lambda _: record.parent)
    from training import registry

    stack = [("fgm", registry.load("training.mitigations", "fgm"))]
    assert learning_rates.learning_rate("movie_reviews", "classification", "bert-tiny", stack)[0] == best[1]


def test_a_budget_below_the_grid_takes_its_first_points(landscape):
    trained, _ = landscape
    tuning.tune(["fgm"], "bert-tiny", "movie_reviews", tuning.GRID, 2, Console(), trials=2)
    assert [rate for _, rate in trained] == [1e-4, 3e-4]
