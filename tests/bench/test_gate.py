"""Planted regressions are found, identical code is quiet, and what cannot be compared is said to be so."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from bench.gate import checking
from bench.record import Record
from bench.store import Store
from tests.bench.conftest import generator, make_record
from training.errors import UserError

Fill = Callable[..., Store]
HOUSE = Path(__file__).resolve().parent.parent.parent
ARMS = ("baseline", "clip_none", "fgm", "eda", "lora", "saliency_guided")
SIX: dict[str, dict[str, Any]] = {name: {} for name in ARMS}


def edited(store: Store, target: Path, change: Callable[[Record, dict[str, Any]], Record | None]) -> Store:
    """A copy of a store; `change` may edit the tables in place and returns the record to write, None to drop it."""
    copy = Store(target, write=True)
    for record in store:
        tables = {name: store.tables(record, name) for name in record.tables}
        kept = change(record, tables)
        if kept is not None:
            copy.write(kept, tables)
    return copy


def test_an_a_a_pair_is_the_same(filled: Fill) -> None:
    store = filled("a", SIX)
    verdict = checking.check(store, store)
    assert (verdict.status, verdict.exit_code) == ("same", 0)
    assert set(verdict.rows.verdict) == {"same"}
    assert len(verdict.rows) == 6 * 5


def test_other_noise_is_the_same_too(filled: Fill) -> None:
    alarms = [
        checking.check(filled("a", SIX), filled(f"b{i}", {n: {"noise": i} for n in SIX})).exit_code for i in range(3)
    ]
    assert alarms == [0, 0, 0]


def drop(rate: float, arms: tuple[str, ...] = ("fgm",)) -> Callable[[Record, dict[str, Any]], Record]:
    """Turns `rate` of all attacked texts from survived into fooled, other ones in every seed."""

    def change(record: Record, tables: dict[str, Any]) -> Record:
        if record.spec["mitigation"] in arms:
            for name in ("attack:deepwordbug:calibrated", "attack:deepwordbug:raw"):
                table = tables[name]
                rng = generator("drop", record.spec["seed"])
                survived = np.flatnonzero(table["status"] == "failed")
                chosen = rng.choice(survived, round(rate * len(table)), replace=False)
                table.loc[chosen, "status"] = "success"
        return record

    return change


def test_a_planted_ten_point_drop_is_worse(filled: Fill, tmp_path: Path) -> None:
    store = filled("a", SIX)
    verdict = checking.check(store, edited(store, tmp_path / "b", drop(0.1)))
    assert (verdict.status, verdict.exit_code) == ("worse", 1)
    assert verdict.reasons[0].startswith("movie_reviews / bert-tiny / fgm / AUA calibrated deepwordbug: 0.")
    assert "-10.0 [-" in verdict.reasons[0]
    assert verdict.reasons[0].endswith(": worse")
    worse = verdict.rows[verdict.rows.verdict == "worse"]
    assert set(worse.metric) == {"aua_calibrated:deepwordbug", "aua_raw:deepwordbug"}


def test_the_same_texts_lost_in_every_seed_of_one_cell_are_worse(filled: Fill, tmp_path: Path) -> None:
    """Five texts of fifty: fewer independent losses, but nothing else changed, so nothing dilutes them."""
    store = filled("a", SIX)

    def change(record: Record, tables: dict[str, Any]) -> Record:
        if record.spec["mitigation"] == "fgm":
            table = tables["attack:deepwordbug:raw"]
            table.loc[table["id"].isin(lost), "status"] = "success"
        return record

    survivors = [
        set(table.loc[table["status"] == "failed", "id"])
        for record in store
        if record.spec["mitigation"] == "fgm"
        for table in [store.tables(record, "attack:deepwordbug:raw")]
    ]
    lost = sorted(set.intersection(*survivors))[:5]
    assert len(lost) == 5
    verdict = checking.check(store, edited(store, tmp_path / "worse", change))
    assert verdict.exit_code == 1
    assert list(verdict.rows.loc[verdict.rows.verdict == "worse", "metric"]) == ["aua_raw:deepwordbug"]


def test_a_drop_below_what_matters_is_the_same(filled: Fill, tmp_path: Path) -> None:
    store = filled("a", SIX)
    assert checking.check(store, edited(store, tmp_path / "b", drop(0.04))).status == "same"
    other = edited(store, tmp_path / "c", drop(0.1))
    assert checking.check(store, other, thresholds={"aua_calibrated": 0.2, "aua_raw": 0.2}).status == "same"
    one = checking.check(store, other, thresholds={"aua_calibrated": 0.2, "aua_raw:deepwordbug": 0.01})
    assert set(one.rows[one.rows.verdict == "worse"].metric) == {"aua_raw:deepwordbug"}


def test_an_improvement_is_better_and_exits_0(filled: Fill, tmp_path: Path) -> None:
    store = filled("a", SIX)
    verdict = checking.check(edited(store, tmp_path / "b", drop(0.2)), store)
    assert (verdict.status, verdict.exit_code) == ("better", 0)
    assert verdict.reasons[0].endswith(": better")


def test_a_vanished_cell_is_worse(filled: Fill, tmp_path: Path) -> None:
    store = filled("a", {"baseline": {}, "fgm": {}})
    gone = edited(store, tmp_path / "b", lambda r, _: None if r.spec["mitigation"] == "fgm" else r)
    verdict = checking.check(store, gone)
    assert verdict.exit_code == 1
    assert "fgm: not in the candidate (quick): a vanished cell counts as worse" in verdict.reasons[0]


def test_a_vanished_metric_is_worse(filled: Fill, tmp_path: Path) -> None:
    store = filled("a", {"baseline": {}})
    gone = edited(store, tmp_path / "b", lambda r, t: (t.pop("attack:textfooler:raw"), r)[1])
    verdict = checking.check(store, gone)
    assert verdict.exit_code == 1
    assert "AUA raw textfooler: seeds 0, 1, 2 have no value in the candidate" in verdict.reasons[0]


def test_a_new_failure_is_worse_and_an_old_one_is_not(filled: Fill, tmp_path: Path) -> None:
    store = filled("a", {"baseline": {}})

    def fail(record: Record, tables: dict[str, Any]) -> Record:
        if record.spec["seed"] != 1:
            return record
        tables.clear()
        return make_record("baseline", 1, status="failed", reason="NaN in the loss")

    broken = edited(store, tmp_path / "b", fail)
    verdict = checking.check(store, broken)
    assert verdict.exit_code == 1
    assert "seed 1: failed in the candidate (NaN in the loss), was ok in the baseline" in verdict.reasons[0]
    assert checking.check(broken, broken).exit_code == 0


def other(**changes: Any) -> dict[str, dict[str, Any]]:
    return {"baseline": {"record": changes}, "fgm": {"record": changes}}


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        (
            {"fingerprints": {"recipe:textfooler": {"name": "textfooler", "version": 2, "textattack": "0.3.11"}}},
            "recipe:textfooler version differs (1 against 2)",
        ),
        ({"fingerprints": {"data": "e" * 64}}, "data differs"),
        ({"spec": {"budget_per_word": 20}}, "budget_per_word differs (50 against 20)"),
        (
            {"environment": {"device": "cpu", "packages": {"textattack": "0.3.12"}}},
            "textattack version differs (0.3.11 against 0.3.12)",
        ),
    ],
)
def test_other_conditions_are_not_comparable(filled: Fill, changes: dict[str, Any], named: str) -> None:
    verdict = checking.check(filled("a", other()), filled("b", other(**changes)))
    assert (verdict.status, verdict.exit_code) == ("not_comparable", 3)
    assert named in verdict.reasons[0]


def test_other_seeds_or_examples_are_not_comparable(filled: Fill, tmp_path: Path) -> None:
    store = filled("a", {"baseline": {}})
    verdict = checking.check(store, filled("b", {"baseline": {}}, seeds=2))
    assert verdict.exit_code == 3
    assert "seeds 0, 1, 2 against 0, 1" in verdict.reasons[0]

    def rename(record: Record, tables: dict[str, Any]) -> Record:
        tables["clean"]["id"] = "x" + tables["clean"]["id"]
        return record

    verdict = checking.check(store, edited(store, tmp_path / "c", rename))
    assert verdict.exit_code == 3
    assert "clean accuracy: not comparable: the example ids differ" in verdict.reasons[0]


def test_a_definite_regression_beats_what_cannot_be_compared(filled: Fill, tmp_path: Path) -> None:
    store = filled("a", {"baseline": {}, "fgm": {}})

    def both(record: Record, tables: dict[str, Any]) -> Record:
        if record.spec["mitigation"] == "baseline":
            return record.model_copy(update={"fingerprints": record.fingerprints | {"data": "other"}})
        return drop(0.2)(record, tables)

    verdict = checking.check(store, edited(store, tmp_path / "b", both))
    assert verdict.exit_code == 1
    assert any("not comparable: data differs" in reason for reason in verdict.reasons)


def test_one_seed_is_compared_and_says_so(filled: Fill) -> None:
    store = filled("a", {"baseline": {}}, seeds=1)
    verdict = checking.check(store, store)
    assert verdict.exit_code == 0
    assert any("1 seed" in reason for reason in verdict.reasons)


def test_bad_usage(filled: Fill, tmp_path: Path) -> None:
    store = filled("a", {"baseline": {}})
    with pytest.raises(UserError, match="holds no records"):
        checking.check(Store(tmp_path / "empty"), store)
    with pytest.raises(UserError, match="no metric of the gate"):
        checking.check(store, store, thresholds={"accuracy": 0.1})
    twin = make_record("baseline", 0, spec_id="twin")
    store.write(twin, {})
    with pytest.raises(UserError, match="two versions"):
        checking.check(store, store)


def test_the_table_prints(filled: Fill) -> None:
    store = filled("a", {"baseline": {}})
    console = Console(file=io.StringIO(), width=160)
    console.print(checking.table(checking.check(store, store)))
    assert "clean accuracy" in console.file.getvalue()  # type: ignore[attr-defined]


def test_a_baseline_that_is_not_there_is_refused_before_the_run(tmp_path: Path) -> None:
    words = ["bench/", "--benchmark-only", "--tier", "smoke", "--results", str(tmp_path / "r"), "--baseline", "nowhere"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *words], cwd=HOUSE, capture_output=True, text=True, check=False
    )
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert "'nowhere' holds no records; give a folder that `temper run` wrote" in done.stderr
    assert "Traceback" not in done.stderr + done.stdout
    assert not (tmp_path / "r").exists()
