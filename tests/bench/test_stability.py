"""The stability tier: runs without attacks, their verdicts on the board, runs that diverge, and the pictures."""

from __future__ import annotations

import csv
import io
import os
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from attacks import lexicon
from bench import campaign, cli, keys, leaderboard, progress, run, stats
from bench.metrics import Missing
from bench.plan import Request, describe, plan
from bench.report import formats, gradients, sections, terminal, wording
from bench.spec import TIERS, Sizes
from bench.store import Store
from tests.bench.conftest import make_record, make_tables
from tests.bench.test_spec import spec
from training import loop
from training.errors import UserError

TIER = TIERS["stability"]
HOUSE = Path(__file__).resolve().parent.parent.parent


@pytest.fixture(scope="module")
def ask(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path):
    """Request maker: the tier on made-up texts whose class one word decides."""
    folder, rng, rows = tmp_path_factory.mktemp("inputs"), random.Random(2), {}
    lexicon.minimal(folder / "cache" / "lexicon")
    while len(rows) < 240:
        filler = " ".join(rng.choice(["the", "film", "was", "very", "and", "plot", "of", "scene"]) for _ in range(6))
        label = rng.choice(["bad", "good"])
        rows[f"{filler} {rng.choice({'bad': ['awful', 'dull'], 'good': ['great', 'superb']}[label])} ."] = label
    data = folder / "mine.csv"
    data.write_text("text,label\n" + "".join(f'"{text}",{label}\n' for text, label in rows.items()), encoding="utf8")

    def make(results: Path, **changes) -> Request:
        values = {
            "tier": "stability", "data": data, "model": str(tiny_model), "seeds": 2, "results": results,
            "cache": folder / "cache", "settings": {"epochs": 8, "learning_rate": 5e-3},
        }  # fmt: skip
        return Request(**{**values, **changes})

    return make


@pytest.fixture(scope="module")
def finished(ask, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Baseline and one arm that fails on purpose, 2 seeds each."""
    results = tmp_path_factory.mktemp("results")
    outcome = campaign.run_all(ask(results, mitigations=["unstable:factor=100"]), workers=2, console=quiet())
    assert outcome.failed == {}
    return results


def quiet() -> Console:
    return Console(file=io.StringIO(), width=120)


def judged(store: Store, mitigation: str, verdicts: list[str], accuracy: float = 0.8) -> None:
    """Records of an attack-free tier, one a verdict; `diverged` and `failed` ones are failed and have no tables."""
    for seed, verdict in enumerate(verdicts):
        summary = {} if verdict == "failed" else {"health": verdict, "clipped_share": 0.5, "loss_spikes": seed}
        record = {"summary": summary, "recipes": [], "tier": "stability"}
        if verdict in ("diverged", "failed"):
            record |= {"status": "failed", "reason": "train: DivergedError: the loss became nan at step 3 of 9"}
        tables = make_tables(mitigation, seed, accuracy=accuracy, aua={}, raw_bonus=0, n=200, attacked=50, noise=0)
        kept = {} if "status" in record else {name: tables[name] for name in ("clean", "telemetry")}
        store.write(make_record(mitigation, seed, **record), kept)


# the tier


def test_the_tier_trains_many_short_runs_and_attacks_nothing():
    assert TIER.seeds >= 10
    assert (TIER.recipes, TIER.explainers, TIER.sizes.throughput_rounds) == ((), (), 0)
    assert TIER.mitigations[0] == "baseline"
    assert sum("+" in name for name in TIER.mitigations) >= 5
    assert "0 attacked and 0 explained" in describe(TIER)
    assert "50 attacked and 20 explained" in describe(TIERS["quick"])


def test_every_arm_can_be_planned_and_is_a_row_of_its_own(ask, tmp_path):
    jobs = plan(ask(tmp_path, seeds=1))
    assert len({job.spec.mitigation for job in jobs}) == len(TIER.mitigations)
    assert all(job.spec.recipes == () for job in jobs)
    assert len({keys.cell_key(job.spec) for job in jobs}) == len(jobs)


def test_progress_expects_nothing_that_does_not_come():
    quiet_sizes = Sizes(attacked=50, explained=20, throughput_rounds=0)
    work = progress.Work([spec(recipes=(), explainers=(), sizes=quiet_sizes)], lambda _: 100, lambda _: True)
    assert {stage for (_, stage), weight in work.weights.items() if weight} == {"train", "evaluate"}


def test_end_to_end_without_attacks(finished):
    store = Store(finished)
    assert len(store.ids()) == 4
    for record in store:
        assert record.status == "ok"
        assert set(record.tables) == {"telemetry", "clean"}
        assert {name: stage.status for name, stage in record.stages.items()} == {
            "train": "ok", "evaluate": "ok", "throughput": "not_applicable",
        }  # fmt: skip
        telemetry = store.tables(record, "telemetry")
        assert telemetry["update:layer.00"].notna().sum() >= 3
        assert record.summary["nonfinite_steps"] == 0
        failing = "unstable" in record.spec["mitigation"]
        assert (record.summary["health"] == "healthy") == (not failing)
        assert (store.tables(record, "clean")["correct"].mean() > 0.9) == (not failing)
    (board,) = leaderboard.build(store)
    assert board.score == "clean_accuracy"
    cells = {arm.label.partition(" ")[0]: arm.cells["unhealthy_runs"].value for arm in board.arms}
    assert cells == {"baseline": 0.0, "unstable": 1.0}


def test_a_second_run_computes_nothing(finished, ask):
    again = campaign.run_all(ask(finished, mitigations=["unstable:factor=100"]), workers=1, console=quiet())
    assert again.computed == []


# a run that diverges


BREAKING = """
'''Breaks the weights after the fifth step.'''
import torch
FAMILY, SOURCE, VERSION, TASKS = "control", "our own", 1, ("classification", "tagging")
def after_step(state, config):
    if state.step == 4:
        with torch.no_grad():
            state.module.classifier.weight.fill_(torch.nan)
"""


def test_a_run_that_diverges_keeps_its_steps_and_its_verdict(ask, tmp_path, monkeypatch):
    import training.mitigations

    (tmp_path / "breaking.py").write_text(BREAKING, encoding="utf8")
    monkeypatch.setattr(training.mitigations, "__path__", [*training.mitigations.__path__, str(tmp_path)])
    job = plan(ask(tmp_path, mitigations=["breaking"], seeds=1))[1]
    before = run.core(job, lambda *_: None)
    sys.modules.pop("training.mitigations.breaking")
    reason = "DivergedError: the loss became nan at step 6 of"
    assert (before["train"].status, str(before["train"].reason)[: len(reason)]) == ("failed", reason)

    def trained_again(*_: object, **__: object) -> None:
        raise AssertionError("what diverged once diverges twice")

    monkeypatch.setattr(loop, "fine_tune", trained_again)
    for earlier in (before, {}):  # as a run goes on, and as `--retry-failed` begins anew
        assert run.finish(job, lambda *_: None, earlier) == "failed"
        record = Store(tmp_path).read(job.spec.id)
        assert (record.status, record.summary["health"]) == ("failed", "diverged")
        assert record.summary["health_reason"] == "the loss of step 6 is not finite"
        assert reason in str(record.reason)
        losses = Store(tmp_path).tables(record, "telemetry")["loss"]
        assert (len(losses), losses.notna().sum()) == (6, 5)
    (board,) = leaderboard.build(Store(tmp_path))
    (arm,) = board.arms
    assert (arm.seeds, wording.flags(arm)) == (0, ["1 of 1 diverged"])
    assert arm.cells["unhealthy_runs"].value == 1.0
    assert "clipped_share" not in board.metrics
    assert len(gradients.write(Store(tmp_path), tmp_path)) == 4


# the board


def test_unhealthy_runs_are_counted_named_and_explained(tmp_path):
    store = Store(tmp_path, write=True)
    judged(store, "baseline", ["healthy"] * 10)
    judged(store, "fgm", ["degenerate"] * 3 + ["healthy"] * 7)
    judged(store, "eda", ["vanishing", "exploding", "diverged", "failed"] + ["healthy"] * 6)
    (board,) = leaderboard.build(store)
    arms = {arm.label: arm for arm in board.arms}
    assert {name: wording.flags(arm) for name, arm in arms.items()} == {
        "baseline": [],
        "fgm": ["3 of 10 degenerate"],
        "eda": ["1 of 10 vanishing", "1 of 10 exploding", "1 of 10 diverged", "1 of 10 failed"],
    }
    rate = arms["fgm"].cells["unhealthy_runs"]
    # Wilson 1927: (p + z^2/2n -+ z sqrt(p(1-p)/n + z^2/4n^2)) / (1 + z^2/n), p = 0.3, n = 10, z = 1.96
    assert (rate.value, rate.low, rate.high) == pytest.approx((0.3, 0.10779, 0.60322), abs=1e-5)
    assert (arms["eda"].cells["unhealthy_runs"].value, arms["eda"].cells["failed_runs"].value) == (0.4, 0.2)
    low, high = (getattr(arms["baseline"].cells["unhealthy_runs"], end) for end in ("low", "high"))
    assert (low, high) == pytest.approx((0.0, 0.27753), abs=1e-5)
    remarks = wording.remarks(board)
    assert "degenerate, no better than one answer for every text: fgm: 3 of 10 runs" in remarks
    assert any(line.startswith("diverged, the loss became NaN or infinite: eda: 1 of 10") for line in remarks)
    assert arms["eda"].cells["loss_spikes"].value == pytest.approx(np.mean([0, 1, 4, 5, 6, 7, 8, 9]))


def test_the_score_of_an_attack_free_board_is_clean_accuracy_with_its_deviation(tmp_path):
    store = Store(tmp_path, write=True)
    judged(store, "baseline", ["healthy"] * 4)
    judged(store, "fgm", ["diverged"] + ["healthy"] * 3, accuracy=0.6)
    judged(store, "eda", ["diverged"] * 3 + ["healthy"])
    (board,) = leaderboard.build(store)
    assert board.score == "clean_accuracy"
    arms = {arm.label: arm for arm in board.arms}
    means = [
        store.tables(r, "clean")["correct"].mean() for r in store if r.spec["mitigation"] == "fgm" and r.status == "ok"
    ]
    assert arms["fgm"].cells["clean_accuracy"].value == pytest.approx(np.mean(means))
    deviation = arms["fgm"].cells["seed_deviation"]
    assert (deviation.value, deviation.seeds) == (pytest.approx(np.std(means, ddof=1)), 3)
    assert isinstance(arms["eda"].cells["seed_deviation"], Missing)
    assert arms["fgm"].verdict == "worse"
    section = next(part for part in sections.details(board) if part.title == "Stability")
    assert section.header[:3] == ("mitigation", "unhealthy runs, % ↓", "SD over seeds, % ↓")
    row = next(row for row in section.rows if row[0].text == "fgm")
    assert row[1].text == "25.0 [4.6, 69.9]"
    text = formats.render([board])
    assert all("25.0 [4.6, 69.9]" in text[suffix] for suffix in ("md", "tex"))
    printed = {r["metric"]: r for r in csv.DictReader(io.StringIO(text["csv"])) if r["mitigation"] == "fgm"}
    assert float(printed["unhealthy_runs"]["low"]) == pytest.approx(0.0456, abs=1e-4)
    for width in (80, 200):
        console = Console(file=io.StringIO(), width=width)
        terminal.show([board], console)
        lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
        assert max(map(len, lines)) <= width
        assert any(line.startswith("unhealthy runs") for line in lines)


def test_records_that_were_never_judged_have_no_rate_and_keep_their_score(filled):
    (board,) = leaderboard.build(filled("r", {"baseline": {}, "fgm": {}}))
    assert board.score == "worst_case"
    assert "unhealthy_runs" not in board.metrics
    store = filled("mixed", {"baseline": {"record": {"summary": {"health": "healthy"}}}, "fgm": {}})
    (board,) = leaderboard.build(store)
    cells = {arm.label: arm.cells["unhealthy_runs"] for arm in board.arms}
    assert cells["baseline"].value == 0.0
    assert cells["fgm"] == Missing("missing", "made before runs were judged")


def test_a_share_of_runs_keeps_inside_its_bounds():
    for hits, total in ((0, 1), (1, 1), (0, 3), (3, 3), (5, 10)):
        found = stats.count_interval(hits, total)
        assert 0 <= found.low <= found.value <= found.high <= 1
        assert found.high - found.low > 0.4
        assert found.seeds == total


# pictures


def test_pictures_of_every_run_and_of_the_arms(finished, tmp_path):
    store = Store(finished)
    drawn = gradients.write(store, tmp_path)
    names = sorted(path.name for path in drawn)
    overview = [name for name in names if "--" not in name]
    assert len(overview) == 2
    assert sorted(set(names) - set(overview)) == sorted(
        f"{spec_id}-gradients.{suffix}" for spec_id in store.ids() for suffix in ("png", "svg")
    )
    assert {path.read_bytes()[:4] for path in drawn if path.suffix == ".png"} == {b"\x89PNG"}
    assert all(b"<svg" in path.read_bytes() for path in drawn if path.suffix == ".svg")
    assert gradients.write(store, tmp_path) == []
    before = {path: path.read_bytes() for path in drawn}
    os.utime(drawn[0], ns=(0, 0))  # older than its record: drawn again, the same
    assert [path.name for path in gradients.write(store, tmp_path)] == [path.name for path in drawn[:2]]
    assert {path: path.read_bytes() for path in drawn} == before


def test_a_picture_says_which_run_it_is_and_what_became_of_it(finished):
    store = Store(finished)
    record = next(r for r in store if "unstable" in str(r.spec["mitigation"]))
    figure = gradients.run(record, store.tables(record, "telemetry"))
    (axes,) = figure.axes
    assert figure.texts[0].get_text() == f"unstable (factor=100), seed 0: {record.summary['health']}"
    assert str(record.summary["health_reason"]) in figure.texts[1].get_text()
    assert axes.get_yscale() == "log"
    assert [line.get_label() for line in axes.lines] == ["embeddings", "layer.00", "layer.01", "head"]
    norms = store.tables(record, "telemetry")["norm:layer.00"]
    np.testing.assert_array_equal(axes.lines[1].get_ydata(), norms.where(norms > 0))


def table_of(norms: dict[str, object], steps: int) -> pd.DataFrame:
    return pd.DataFrame({"step": np.arange(1, steps + 1), "loss": 0.7, **{f"norm:{k}": v for k, v in norms.items()}})


def test_long_runs_are_thinned_by_medians_and_deep_ones_name_some_layers():
    deep = {f"layer.{i:02d}": 10.0**-i for i in range(24)}
    table = table_of({"embeddings": np.arange(1, 901), "head": 1.0, **deep}, 900)
    (axes,) = gradients.run(make_record(), table).axes
    assert len(axes.lines) == 26
    named = [line.get_label() for line in axes.lines if not line.get_label().startswith("_")]
    assert (len(named), named[0], named[-1]) == (8, "embeddings", "head")
    assert axes.lines[0].get_ydata().tolist() == [3 * i + 2 for i in range(300)]


def test_what_a_log_axis_cannot_show_leaves_a_gap(tmp_path):
    store = Store(tmp_path, write=True)
    broken = table_of({"head": [1.0, 0.0, np.nan, np.inf]}, 4)
    broken["loss"] = [0.7, 0.7, 0.7, np.nan]
    store.write(make_record("fgm", 0, summary={"health": "diverged"}), {"telemetry": broken})
    store.write(make_record("lora", 0), {"telemetry": table_of({"head": [0.0] * 4}, 4)})
    store.write(make_record("eda", 0), {"telemetry": pd.DataFrame({"step": [1], "loss": [0.7]})})
    store.write(make_record("vat", 0), {})
    drawn = {path.stem for path in gradients.write(store, tmp_path)}
    assert {name.split("--")[2] for name in drawn if "--" in name} == {"fgm", "lora"}
    assert len(drawn) == 3
    (axes,) = gradients.run(make_record(), store.tables(store.read(store.ids()[1]), "telemetry").astype(float)).axes
    assert np.isnan(axes.lines[0].get_ydata()).tolist() == [False, True, True, True]
    assert axes.lines[1].get_label() == "loss not finite"


def test_the_overview_shows_medians_over_the_seeds(tmp_path):
    store = Store(tmp_path, write=True)
    for seed, level in enumerate((1.0, 3.0, 100.0)):
        norms = {"embeddings": level, "layer.00": 7.0, "layer.01": 2 * level, "head": 9.0}
        store.write(make_record("baseline", seed), {"telemetry": table_of(norms, 5)})
        odd = make_record("odd", seed, spec={"mitigation": "$x$ & y"})
        store.write(odd, {"telemetry": table_of({"head": level}, 5)})
    (board,) = leaderboard.build(store)
    arms = [(arm, [store.read(r.spec_id) for r in arm.records]) for arm in board.arms]
    figure = gradients.overview(board, gradients._medians(store, arms))
    assert figure is not None
    lower, upper = figure.axes
    seen = {line.get_label(): index for index, line in enumerate(lower.lines)}
    assert seen.keys() == {"baseline", "$x$ & y"}
    assert set(lower.lines[seen["baseline"]].get_ydata()) == {3.0}
    assert set(upper.lines[seen["baseline"]].get_ydata()) == {6.0}
    assert np.isnan(lower.lines[seen["$x$ & y"]].get_ydata()).all()
    assert set(upper.lines[seen["$x$ & y"]].get_ydata()) == {3.0}
    assert (lower.get_yscale(), upper.get_title()) == ("log", "top layer")


def test_report_draws_and_a_folder_that_cannot_be_written_is_a_user_error(finished, tmp_path, capsys):
    cli.report(results=finished, out_dir=tmp_path)
    assert "10 pictures of gradients are in" in capsys.readouterr().out.replace("\n", " ")
    assert len(list((tmp_path / "figures").iterdir())) == 10
    (tmp_path / "blocked").write_text("")
    with pytest.raises(UserError, match="cannot write to"):
        gradients.write(Store(finished), tmp_path / "blocked")


def test_the_board_needs_no_pictures_and_pictures_need_no_torch():
    code = (
        "import sys, bench.leaderboard, bench.report.formats; assert 'matplotlib' not in sys.modules\n"
        "import bench.report.gradients; assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], cwd=HOUSE, check=True)
