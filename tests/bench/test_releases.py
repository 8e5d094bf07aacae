"""Named releases never leave the results folder and never change; their history is read off them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench import leaderboard
from bench.gate import bisection, checking, releases
from bench.record import Record
from bench.report import history
from bench.report.page import history as page_history
from bench.store import Store
from tests.bench.conftest import make_record
from tests.bench.test_gate import drop, edited
from training.errors import UserError

Fill = Callable[..., Store]


def test_a_release_holds_the_records_and_never_changes(filled: Fill) -> None:
    store = filled("r", {"baseline": {}, "fgm": {}})
    place = releases.save(store.folder, "v1")
    assert place == store.folder / "releases" / "v1"
    assert Store(place).ids() == store.ids()
    assert checking.check(Store(place), store).status == "same"
    with pytest.raises(UserError, match="exists already"):
        releases.save(store.folder, "v1")
    assert [p.name for p in place.parent.iterdir()] == ["v1"]


NAMES = ("../v1", "a/b", "..", ".hidden", "", "a..b", "x" * 65, "now", "a\nb", "-rf", "/etc/x")


@pytest.mark.parametrize("name", NAMES)
def test_no_name_leaves_the_results_folder(name: str, filled: Fill) -> None:
    store = filled("r", {"baseline": {}}, seeds=1)
    with pytest.raises(UserError, match="no name for a release"):
        releases.save(store.folder, name)
    assert not (store.folder / "releases").exists()


def test_a_link_is_not_followed_and_a_damaged_record_leaves_nothing(filled: Fill, tmp_path: Path) -> None:
    store = filled("r", {"baseline": {}}, seeds=1)
    (tmp_path / "elsewhere").mkdir()
    (store.folder / "releases").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UserError, match="exists already"):
        releases.save(store.folder, "v1")
    (store.folder / "releases").unlink()
    next(store.records.glob("*.json")).write_text("{")
    with pytest.raises(UserError, match="torn"):
        releases.save(store.folder, "v1")
    assert not list((store.folder / "releases").iterdir())
    with pytest.raises(UserError, match="holds no records"):
        releases.save(tmp_path / "empty", "v1")


def test_history_is_in_order_and_says_what_is_not_comparable(filled: Fill, tmp_path: Path) -> None:
    other = {"record": {"fingerprints": {"data": "e" * 64}}}
    now = filled("now", {"baseline": {}, "fgm": {}})
    for name, arms in (("v10", {"baseline": {}, "fgm": {}}), ("v2", {"baseline": other})):
        filled(f"now/releases/{name}", arms)
    boards = leaderboard.build(now)
    lines = releases.history(now.folder, boards)
    baseline = next(line for line in lines if (line.arm, line.metric) == ("baseline", "worst_case"))
    assert [point.release for point in baseline.points] == ["v2", "v10", "now"]
    assert [point.apart for point in baseline.points] == [("data",), (), ()]
    assert [p.release for line in lines if line.arm == "fgm" for p in line.points][:2] == ["v10", "now"]
    shown = page_history.data(boards[0], lines)
    assert shown is not None
    assert shown["releases"] == ["v2", "v10", "now"]
    worst = shown["metrics"][0]
    place = next(str(i) for i, arm in enumerate(boards[0].arms) if arm.label == "baseline")
    assert [(point[0], point[4]) for point in worst["arms"][place]] == [(0, "data"), (1, None), (2, None)]
    assert worst["arms"][place][-1][1:4] == pytest.approx(
        [getattr(baseline.points[-1].interval, end) for end in ("value", "low", "high")], rel=1e-5
    )
    assert page_history.data(boards[0], []) is None
    drawn = history.write(lines, tmp_path / "out")
    assert len(drawn) == 2
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in drawn)
    first = drawn[0].read_bytes()
    assert history.write(lines, tmp_path / "out")[0].read_bytes() == first
    assert history.write(releases.history(filled("alone", {"baseline": {}}).folder, boards), tmp_path / "no") == []
    assert not (tmp_path / "no").exists()


# --- bisect


def kinds(before: Store, after: Store) -> set[str]:
    return {kind for kind, some in vars(bisection.causes(before, after)).items() if some}


def test_equal_sets_differ_in_nothing(filled: Fill) -> None:
    store = filled("a", {"baseline": {}})
    assert kinds(store, store) == set()
    assert "noise" in bisection.causes(store, store).lines()[-1]


@pytest.mark.parametrize(
    ("changes", "kind", "said"),
    [
        ({"fingerprints": {"data": "e" * 64}}, "data", "data dddd"),
        ({"environment": {"device": "cpu", "packages": {"textattack": "0.3.12"}}}, "libraries", "textattack 0.3.11 ->"),
        ({"environment": {"device": "gpu", "packages": {"textattack": "0.3.11"}}}, "machine", "device cpu -> gpu"),
        ({"fingerprints": {"code": {"train": "bb", "evaluate": "cc"}}}, "code", "the code of train changed"),
        ({"spec": {"settings": {"epochs": 3, "learning_rate": 5e-5}}}, "settings", "epochs"),
    ],
)
def test_each_kind_of_cause_is_named_alone(changes: dict[str, Any], kind: str, said: str, filled: Fill) -> None:
    code = {"fingerprints": {"code": {"train": "aa", "evaluate": "cc"}}}
    before = filled("a", {"baseline": {"record": code}})
    after = filled("b", {"baseline": {"record": code | changes}})
    found = bisection.causes(before, after)
    assert kinds(before, after) == {kind}
    assert said in getattr(found, kind)[0]
    assert f"one kind of thing differs: {kind}" in found.lines()[-1]


def test_the_worst_cell_is_the_one_to_run_again(filled: Fill, tmp_path: Path) -> None:
    mitigations = [{"name": "fgm", "version": 1, "config": {"epsilon": 0.1, "whole": True}}]
    store = filled("a", {"baseline": {}, "fgm": {"record": {"spec": {"mitigations": mitigations}}}, "eda": {}})
    worse = edited(store, tmp_path / "b", drop(0.2))
    record, metric = bisection.worst_arm(store, worse, checking.check(store, worse))
    assert (record.spec["mitigation"], record.spec["seed"]) == ("fgm", 0)
    assert metric.startswith("aua_")
    # as it comes from there, it must hold the outcomes that a second run is compared with
    assert bisection.noise(record, record, worse, worse).startswith("noise: none")
    line = bisection.command(bisection.asked(record), tmp_path / "again")
    assert "--mitigation fgm:epsilon=0.1,whole=true" in line
    assert "--seeds 1" in line
    assert "--recipe deepwordbug --recipe textfooler" in line
    listed = [{"name": "fgm", "version": 1, "config": {"layers": [1, 2]}}]
    with pytest.raises(UserError, match="no command can say"):
        bisection.asked(make_record("fgm", spec={"mitigations": listed}))


@pytest.mark.parametrize(("tier", "expected"), [("founding_ner", None), ("founding_ner-smoke", "smoke")])
def test_a_cell_of_a_preset_is_run_by_the_preset(tier: str, expected: str | None, tmp_path: Path) -> None:
    record = make_record(task="conll2003", tier=tier, spec={"learning_rate_source": "preset founding_ner"})
    wanted = bisection.asked(record)
    assert (wanted["tier"], wanted["preset"], wanted["tasks"]) == (expected, "founding_ner", ["conll2003"])
    assert "learning_rate" not in wanted["settings"]
    line = bisection.command(wanted, tmp_path)
    assert "--preset founding_ner" in line
    assert ("--tier" in line) == (expected is not None)


def test_noise_is_counted_outcome_by_outcome(filled: Fill, tmp_path: Path) -> None:
    store = filled("a", {"fgm": {}}, seeds=1)
    (record,) = store
    assert bisection.noise(record, record, store, store).startswith("noise: none")

    def three(record: Record, tables: dict[str, Any]) -> Record:
        tables["clean"].loc[:2, "correct"] = ~tables["clean"]["correct"][:3]
        return record

    again = edited(store, tmp_path / "b", three)
    assert "clean 3 of 200" in bisection.noise(record, again.read(record.spec_id), store, again)
