"""What other programs read of a verdict, suite-wide drift, non-inferiority, and what a planted regression says."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest

from bench.cli import app
from bench.gate import checking, drift, outputs
from bench.gate.settings import gate_thresholds
from bench.record import Record
from bench.store import Store
from tests.bench.conftest import generator
from tests.bench.test_gate import ARMS, SIX, drop, edited
from training.errors import UserError

Fill = Callable[..., Store]
TABLES = Path(__file__).parent / "tables"
HOUSE = Path(__file__).resolve().parents[2]


def everywhere(share: float) -> Callable[[Record, dict[str, Any]], Record]:
    """Turns `share` of the clean answers of every arm from right to wrong, other ones in every run."""

    def change(record: Record, tables: dict[str, Any]) -> Record:
        clean = tables["clean"]
        right = np.flatnonzero(clean["correct"])
        rng = generator("everywhere", record.spec["mitigation"], record.spec["seed"])
        clean.loc[rng.choice(right, round(share * len(clean)), replace=False), "correct"] = False
        return record

    return change


def with_epsilon(value: float, name: str = "fgm") -> dict[str, Any]:
    listed = [{"name": "fgm", "version": 1, "config": {"epsilon": value}}]
    return {"record": {"spec": {"mitigations": listed, "mitigation": name}}}


# --- drift


def test_two_public_reruns_are_told_apart() -> None:
    later = drift.of_table(TABLES / "rerun_38_methods.csv")
    assert (later.signs.down, later.signs.down + later.signs.up + later.signs.equal) == (36, 38)
    assert later.signs.mean == pytest.approx(-0.0165)
    assert later.verdict == "worse"
    assert later.text.startswith("suite-wide drift: clean accuracy: 36 of 38 lower")
    earlier = drift.of_table(TABLES / "rerun_26_methods.csv")
    assert (earlier.signs.down, earlier.signs.up, earlier.signs.equal) == (13, 10, 3)
    assert earlier.signs.mean == pytest.approx(0.0011)
    assert earlier.verdict == "quiet"


def test_a_drift_too_small_to_matter_is_said_and_fails_nothing() -> None:
    found = drift.of_table(TABLES / "rerun_38_methods.csv", smallest=0.02)
    assert found.verdict == "small"
    assert "that matter" in found.text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("name,before\na,0.1\n", "no column after"),
        ("name,before,after\na,71.2,70.1\n", "not percent"),
        ("name,before,after\na,0.1,x\n", "must be numbers"),
        ("name,before,after\na,0.1,0.2\na,0.1,0.2\n", "twice"),
        ("name,before,after\n", "no pairs"),
        ("", "cannot read"),
    ],
)
def test_bad_tables_are_refused(text: str, expected: str, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(UserError, match=expected):
        drift.of_table(tmp_path / "t.csv")


def test_the_gate_sees_what_no_cell_shows(filled: Fill, tmp_path: Path) -> None:
    """Every one of 12 arms loses 1.5 points of clean accuracy: a sign test finds it."""
    arms = {name: {} for name in (*ARMS, *(f"arm_{k}" for k in range(6)))}
    store = filled("a", arms)
    verdict = checking.check(store, edited(store, tmp_path / "b", everywhere(0.015)))
    assert verdict.exit_code == 1
    assert any(reason.startswith("suite-wide drift: clean accuracy: 12 of 12 lower") for reason in verdict.worse)
    quiet = checking.check(store, filled("c", {name: {"noise": 1} for name in arms}))
    assert not [one for one in quiet.drifts if one.verdict in ("worse", "small")]


# --- settings, margins


def without_radius(record: Record, tables: dict[str, Any]) -> Record:
    if record.spec["mitigation"] != "fgm":
        return record
    spec = record.spec | {"mitigations": [{"name": "fgm", "version": 1, "config": {"epsilon": 0.0}}]}
    return drop(0.2)(record.model_copy(update={"spec": spec, "spec_id": f"{record.spec_id}-planted"}), tables)


def test_a_changed_setting_is_compared_and_named(filled: Fill, tmp_path: Path) -> None:
    """A mitigation whose epsilon became 0: the message names it, the metric, the size, the interval, what to do."""
    store = filled("a", {"baseline": {}, "fgm": with_epsilon(0.1)})
    verdict = checking.check(store, edited(store, tmp_path / "b", without_radius))
    assert verdict.exit_code == 1
    said = verdict.worse[0]
    assert said.startswith("movie_reviews / bert-tiny / fgm / AUA calibrated deepwordbug: 0.")
    assert re.search(r", -20\.0 \[-[\d.]+, -[\d.]+\] points, p = ", said)
    assert "the settings changed (fgm: epsilon 0.1 -> 0.0); set them back and run again" in verdict.advice[0]


def test_an_arm_that_changed_is_not_compared_with_what_the_folder_holds_of_it_from_before(
    filled: Fill, tmp_path: Path
) -> None:
    store = filled("a", {"baseline": {}, "fgm": with_epsilon(0.1)})
    both = edited(store, tmp_path / "b", lambda record, _: record)
    planted = edited(store, tmp_path / "c", without_radius)
    for path in planted.records.glob("*-planted.json"):
        shutil.copy(path, both.records)
    judged = checking.check(store, both, run=planted.ids())
    assert judged.exit_code == 1
    assert judged.worse == checking.check(store, planted).worse
    # who only has the folders cannot know which of the two was meant
    with pytest.raises(UserError, match=r"two versions of movie_reviews / fgm, seed 0.*a folder of its own"):
        checking.check(store, both)


def test_an_arm_with_further_settings_is_said_to_have_them(filled: Fill, tmp_path: Path) -> None:
    store = filled("a", {"baseline": {}, "fgm": {}})

    def slower(record: Record, _: dict[str, Any]) -> Record | None:
        spec = record.spec | {"settings": {"learning_rate": 1e-5}}
        return record.model_copy(update={"spec": spec, "spec_id": f"{record.spec_id}-slower"})

    both = edited(store, tmp_path / "b", lambda record, _: record)
    for path in edited(store, tmp_path / "c", slower).records.glob("*--fgm--*-slower.json"):
        shutil.copy(path, both.records)
    verdict = checking.check(store, both)
    said = "movie_reviews / bert-tiny / fgm: the candidate also holds it with settings that the baseline does not have"
    assert [reason.startswith(said) for reason in verdict.reasons].count(True) == 1
    assert not any("also holds" in reason for reason in checking.check(both, both).reasons)


def test_an_arm_whose_name_says_its_settings_is_still_the_same_arm(filled: Fill) -> None:
    before = filled("a", {"baseline": {}, "fgm": with_epsilon(0.1)})
    after = filled("b", {"baseline": {}, "fgm": with_epsilon(0.0, "fgm (epsilon=0.0)")})
    verdict = checking.check(before, after)
    assert verdict.status == "same"
    assert not any("vanished" in reason for reason in verdict.reasons)


def test_an_unchanged_arm_that_is_worse_points_to_bisect(filled: Fill, tmp_path: Path) -> None:
    store = filled("a", SIX)
    verdict = checking.check(store, edited(store, tmp_path / "b", drop(0.2)))
    assert "temper bisect" in verdict.advice[0]


def test_non_inferiority_puts_the_proof_on_the_candidate(filled: Fill, tmp_path: Path) -> None:
    store = filled("a", {"baseline": {}, "fgm": {}})
    assert checking.check(store, store, non_inferiority=True).exit_code == 0
    slightly = edited(store, tmp_path / "b", drop(0.04))
    assert checking.check(store, slightly).exit_code == 0
    strict = checking.check(store, slightly, non_inferiority=True)
    assert strict.exit_code == 1
    assert "not shown to be worse by no more than 5.0" in strict.worse[0]
    loose = {"aua_calibrated": 0.3, "aua_raw": 0.3}
    assert checking.check(store, slightly, thresholds=loose, non_inferiority=True).exit_code == 0


def test_a_metric_named_in_the_settings_is_judged_too(filled: Fill) -> None:
    store = filled("a", {"baseline": {}})
    assert "dnaopc:integrated_gradients" not in set(checking.check(store, store).rows.metric)
    more = checking.check(store, store, thresholds={"dnaopc": 0.1})
    assert "dnaopc:integrated_gradients" in set(more.rows.metric)
    with pytest.raises(UserError, match="no metric of the gate"):
        checking.check(store, store, thresholds={"train_seconds": 1.0})


@pytest.mark.parametrize("text", ["gate = 3", "gate.clean_accuracy = -1", "gate.clean_accuracy = true"])
def test_bad_settings_are_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(f"[tool.temperbench]\n{text}\n")
    with pytest.raises(UserError, match=re.escape("[tool.temperbench.gate]")):
        gate_thresholds(tmp_path)
    (tmp_path / "pyproject.toml").write_text("[tool")
    with pytest.raises(UserError, match="cannot read"):
        gate_thresholds(tmp_path)


# --- for other programs


def hostile() -> checking.Verdict:
    name = "t / m / a|b <script>\x00, 100%"
    row = dict.fromkeys(checking.ROW_COLUMNS) | {
        "cell": name, "metric": "clean_accuracy", "before": 0.8, "after": 0.7, "difference": -0.1, "low": -0.15,
        "high": -0.05, "p": 0.001, "p_holm": 0.002, "smallest_difference": 0.01, "n": 9, "seeds": 3, "verdict": "worse",
    }  # fmt: skip
    lost = f"{name}: lost\n::error::forged @someone [x](http://y)"
    said = f"{name} / clean accuracy: 0.800 -> 0.700, -10.0 points: worse"
    rows = pd.DataFrame([row], columns=checking.ROW_COLUMNS)
    return checking.Verdict("worse", 1, [said, lost], rows, [said, lost], ["u: not comparable"], ["do this"])


def test_junit_counts_and_holds_what_xml_can() -> None:
    suite = ElementTree.fromstring(outputs.junit(hostile()))  # noqa: S314 (our own)
    assert (suite.get("tests"), suite.get("failures"), suite.get("skipped")) == ("3", "2", "1")
    first = suite[0]
    assert first.get("classname") == "t / m / a|b <script>\ufffd, 100%"
    assert first[0].get("message") == "80.0 -> 70.0, -10.0 [-15.0, -5.0], p = 0.002 after Holm: worse"


def test_github_lines_cannot_be_forged() -> None:
    lines = outputs.github(hostile())
    assert [line.split(" ")[0] for line in lines] == ["::error", "::error", "::warning"]
    assert all("\n" not in line for line in lines)
    assert lines[0].startswith("::error title=TemperBench%3A worse::")
    assert "100%25" in lines[0]
    assert "%0A::error::forged" in lines[1]


def test_the_summary_stays_a_table(tmp_path: Path) -> None:
    text = outputs.summary(hostile())
    table = [line for line in text.splitlines() if line.startswith("|")]
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in table} == {8}
    assert "<script>" not in text
    assert "@someone" not in text
    assert r"\[x\](http" in text  # the brackets are escaped, so it is no link
    outputs.write(tmp_path / "s.md", "one\n", append=True)
    outputs.write(tmp_path / "s.md", "two\n", append=True)
    assert (tmp_path / "s.md").read_text() == "one\ntwo\n"
    with pytest.raises(UserError, match="cannot write"):
        outputs.write(tmp_path / "absent" / "s.md", "x")


def test_check_writes_all_of_them_and_exits_1(filled: Fill, tmp_path: Path, monkeypatch: Any) -> None:
    from typer.testing import CliRunner

    monkeypatch.chdir(tmp_path)
    store = filled("a", {"baseline": {}, "fgm": {}})
    worse = edited(store, tmp_path / "b", drop(0.2))
    words = ["check", "--baseline", str(store.folder), "--candidate", str(worse.folder), "--github"]
    done = CliRunner().invoke(app, [*words, "--junit", "g.xml", "--summary", "s.md"])
    assert done.exit_code == 1
    assert "verdict: worse" in done.output
    assert "::error title=" in done.output
    suite = ElementTree.parse("g.xml").getroot()  # noqa: S314 (our own)
    assert int(suite.get("failures", "0")) >= 1
    assert "### What to do" in Path("s.md").read_text()
    table = CliRunner().invoke(app, ["check", "--table", str(TABLES / "rerun_38_methods.csv")])
    assert table.exit_code == 1
    assert CliRunner().invoke(app, ["check", "--table", str(TABLES / "rerun_26_methods.csv")]).exit_code == 0


def test_compare_says_what_is_no_row_of_its_table(filled: Fill, tmp_path: Path) -> None:
    store = filled("a", {"baseline": {}, "fgm": {}})
    gone = edited(store, tmp_path / "b", lambda r, _: None if r.spec["mitigation"] == "fgm" else r)
    from typer.testing import CliRunner

    result = CliRunner().invoke(app, ["compare", str(store.folder), str(gone.folder)])
    assert result.exit_code == 0
    assert result.stdout.count("fgm: not in the candidate") == 1


def test_the_workflow_uses_options_that_exist() -> None:
    text = (HOUSE / ".github" / "workflows" / "robustness.yml").read_text()
    source = (HOUSE / "bench" / "gate" / "commands.py").read_text()
    for option in ("--github", "--junit", "--summary", "--candidate", "--baseline"):
        assert option in text
        assert option[2:] in source
