"""The whole path on a tiny random encoder and made-up data: run, resume, report, gate. No network, no resources."""

from __future__ import annotations

import dataclasses
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from rich.console import Console

from attacks import lexicon
from bench import campaign, keys, leaderboard, run, sources
from bench.gate import bisection, checking
from bench.plan import Request, plan
from bench.record import comparable
from bench.robustness import attacking, sweep
from bench.store import Store
from bench.work import Work
from tests.bench.conftest import make_record
from training.errors import UserError

HOSTILE = ['<script>alert("x")</script> was good', "=cmd|' /C calc'!A1 was awful", '"quoted", comma film was great']


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cache")
    lexicon.minimal(folder / "lexicon")
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """240 short texts whose class one word decides, some of them hostile."""
    rng = random.Random(1)
    words = {"bad": ["bad", "awful", "dull", "boring"], "good": ["good", "great", "fine", "superb"]}
    rows = {}
    while len(rows) < 237:
        label = rng.choice(["bad", "good"])
        filler = " ".join(rng.choice(["the", "film", "was", "very", "and", "plot", "of", "scene"]) for _ in range(6))
        rows[f"{filler} {rng.choice(words[label])} ."] = label
    rows |= dict(zip(HOSTILE, ["good", "bad", "good"], strict=True))
    path = tmp_path_factory.mktemp("data") / "mine.csv"
    lines = ['"' + text.replace('"', '""') + f'",{label}' for text, label in rows.items()]
    path.write_text("text,label\n" + "\n".join(lines) + "\n", encoding="utf8")
    return path


@pytest.fixture(scope="module")
def ask(cache: Path, data: Path, tiny_model: Path):
    def make(results: Path, **changes) -> Request:
        values = {
            "tier": "smoke",
            "data": data,
            "model": str(tiny_model),
            "mitigations": ["fgm"],
            "recipes": ["deepwordbug"],
            "seeds": 2,
            "results": results,
            "cache": cache,
            "settings": {"epochs": 12, "learning_rate": 5e-3},
        }
        return Request(**{**values, **changes})

    return make


@pytest.fixture(scope="module")
def finished(ask, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A results folder of 2 arms x 2 seeds, computed by two worker processes."""
    results = tmp_path_factory.mktemp("results")
    outcome = campaign.run_all(ask(results), workers=2)
    assert outcome.failed == {}
    assert len(outcome.computed) == 4
    leaderboard.write(Store(results), results)
    return results


def test_every_stage_of_every_record_is_there(finished):
    store = Store(finished)
    for record in store:
        assert record.status == "ok"
        assert {stage.status for stage in record.stages.values()} == {"ok"}
        assert set(record.tables) == {
            "telemetry", "clean", "attack:deepwordbug:calibrated", "attack:deepwordbug:raw", "transfer:deepwordbug",
            "sweep:deepwordbug",
            "explain:integrated_gradients", "explain:random", "edits:integrated_gradients", "edits:random",
            "attributions:integrated_gradients", "attributions:random", "agreement:integrated_gradients",
            "agreement:random", "invariance", "throughput",
        }  # fmt: skip
        assert store.tables(record, "clean")["correct"].mean() > 0.9


def test_all_arms_see_the_same_texts(finished):
    store = Store(finished)
    seen = {tuple(store.tables(record, "attack:deepwordbug:raw")["id"]) for record in store}
    assert len(seen) == 1


def test_a_second_run_computes_nothing(finished, ask):
    assert campaign.run_all(ask(finished), workers=1).computed == []


def test_the_report_gives_the_same_bytes(finished):
    names = ("leaderboard.md", "leaderboard.csv", "leaderboard.html", "leaderboard.json", "leaderboard.tex")
    before = {name: (finished / name).read_bytes() for name in names}
    for name in names:
        (finished / name).unlink()
    leaderboard.write(Store(finished), finished)
    assert {name: (finished / name).read_bytes() for name in names} == before


def test_the_same_spec_gives_the_same_samples_in_any_parallelism(finished, ask, tmp_path):
    campaign.run_all(ask(tmp_path, mitigations=[]), workers=1)
    other = Store(tmp_path)
    ids = [spec_id for spec_id in other.ids() if "--baseline--" in spec_id]
    assert len(ids) == 2
    for spec_id in ids:
        assert comparable(other.read(spec_id)) == comparable(Store(finished).read(spec_id))


def test_a_vs_a_passes_and_a_planted_drop_fails(finished, tmp_path):
    assert checking.check(Store(finished), Store(finished)).exit_code == 0
    worse = Store(tmp_path / "worse", write=True)
    for record in Store(finished):
        tables = {name: Store(finished).tables(record, name) for name in record.tables}
        clean = tables["clean"]
        clean.loc[: int(0.8 * len(clean)), "correct"] = False
        worse.write(record, tables)
    verdict = checking.check(Store(finished), worse)
    assert verdict.exit_code == 1
    assert any("clean accuracy" in reason for reason in verdict.reasons)


def test_hostile_texts_stay_text(finished, ask):
    for name in ("leaderboard.html", "leaderboard.md", "leaderboard.csv"):
        assert "<script>alert" not in (finished / name).read_text()
    loaded = plan(ask(finished))[0]
    task = run.task_of(loaded.task_locator, loaded.cache)
    assert set(HOSTILE) <= {example.text for rows in task.splits.values() for example in rows}


def test_a_failing_cell_is_a_row_with_its_reason(ask, tmp_path, capfd):
    """A model folder that vanished between plan and run is a status, not the run's end."""
    request = ask(tmp_path, mitigations=[], seeds=1, settings={"epochs": 1, "learning_rate": 5e-3, "max_length": 4})
    job = plan(request)[0]
    broken = run.Job(job.spec, job.task_locator, tmp_path / "no-such-model", job.results, job.cache)
    assert run.finish(broken, lambda *_: None, {}) == "failed"
    record = Store(tmp_path).read(job.spec.id)
    assert record.status == "failed"
    assert "safetensors" in (record.reason or "")
    leaderboard.write(Store(tmp_path), tmp_path)
    assert "safetensors" in (tmp_path / "leaderboard.md").read_text()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"regime": "hard"}, "unknown regime 'hard'. Known: default, fixed, strict"),
        ({"regime": "fixed"}, "needs encoder of the attack lexicon; get it with: temper fetch"),
        ({"adaptive": True}, "belongs to the tiers standard and full; this is 'smoke'"),
    ],
)
def test_attack_rules_that_cannot_be_are_refused_before_anything_runs(ask, tmp_path, changes, message):
    with pytest.raises(UserError, match=message):
        plan(ask(tmp_path, **changes))


def test_the_attack_rules_are_part_of_what_is_asked(ask, tmp_path):
    plain, harder = (plan(ask(tmp_path, tier="standard", adaptive=a))[0].spec for a in (False, True))
    assert plain.id != harder.id
    assert keys.cell_key(plain) != keys.cell_key(harder)
    strict = plain.model_copy(update={"regime": "strict"})
    assert keys.attack_key(plain, "deepwordbug", "raw") != keys.attack_key(strict, "deepwordbug", "raw")


@pytest.mark.slow
def test_kill_9_and_the_same_command_again(finished, ask, cache, data, tiny_model, tmp_path):
    """Killed in the middle, run again: the records equal an undisturbed run's."""
    command = [
        sys.executable, "-m", "bench.cli", "run", "--tier", "smoke", "--data", str(data), "--model", str(tiny_model),
        "--mitigation", "fgm", "--recipe", "deepwordbug", "--seeds", "2", "--results", str(tmp_path / "r"),
        "--epochs", "12", "--learning-rate", "5e-3", "--jobs", "2",
    ]  # fmt: skip
    environment = {**os.environ, "TEMPERBENCH_CACHE": str(cache)}
    work = tmp_path / "r" / "work"
    process = subprocess.Popen(
        command, env=environment, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and not list(work.glob("attack-*")) and process.poll() is None:
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    again = Store(tmp_path / "r")
    assert again.ids() == Store(finished).ids()
    for spec_id in again.ids():
        assert comparable(again.read(spec_id)) == comparable(Store(finished).read(spec_id))


@pytest.mark.parametrize("stage", ["attack", "sweep"])
def test_a_killed_attack_or_sweep_goes_on_where_it_was(stage, finished, ask, tmp_path):
    job = plan(ask(finished))[0]
    opened = job.open(lambda *_: None)
    calibrated, raw = (attacking.attack(opened, "deepwordbug", mode)[0] for mode in ("calibrated", "raw"))

    def attacked(cell):
        if stage == "sweep":
            return sweep.sweep(cell, "deepwordbug", calibrated, raw).to_dict(orient="list")
        return [dataclasses.replace(o, seconds=0.0) for o in attacking.attack(cell, "deepwordbug", "raw")[0]]

    def kill(_: str, done: int, __: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    work = Work(tmp_path / "work")
    work.folder.mkdir()
    for made in (finished / "work").iterdir():
        if made.name.startswith(("train-", "evaluate-")):
            (work.folder / made.name).symlink_to(made)
    with pytest.raises(KeyboardInterrupt):
        attacked(dataclasses.replace(opened, work=work, tick=kill))
    (written,) = work.folder.glob(f"{stage}-*.partial/*.jsonl")
    assert written.read_text().count("\n") == 3
    with written.open("a") as stream:
        stream.write('{"id": "torn')
    told: list[int] = []
    again = attacked(dataclasses.replace(opened, work=work, tick=lambda _, done, __: told.append(done)))
    assert again == attacked(opened)
    assert told[:2] == [4, 5]


def test_plan_checks_everything_first(ask, tmp_path):
    for change, message in [
        ({"mitigations": ["fmg"]}, "Did you mean 'fgm'"),
        ({"mitigations": ["fgm:epsilon=-1"]}, "epsilon is -1"),
        ({"mitigations": ["clip_none+baseline"]}, "leave it out of the stack"),
        ({"recipes": ["textfoolr"]}, "Did you mean 'textfooler'"),
        ({"recipes": ["textfooler"]}, "temper fetch"),
        ({"explainers": ["gradcam"]}, "unknown explainer"),
        ({"tier": "big"}, "unknown tier"),
        ({"model": "bert-huge"}, "unknown model"),
        ({"data": tmp_path / "absent.csv"}, "absent.csv"),
        ({"settings": {"epochs": 0, "learning_rate": 1e-3}}, "epochs"),
    ]:
        with pytest.raises(UserError, match=message):
            plan(ask(tmp_path, **change))


def test_what_is_asked_for_twice_is_one_cell(ask, tmp_path):
    once = plan(ask(tmp_path, explainers=["random"]))
    twice = plan(
        ask(tmp_path, mitigations=["fgm", "fgm:epsilon=0.1"], explainers=["random", "random"], labelled=[1.0, 1.0])
    )
    assert [job.spec.id for job in twice] == [job.spec.id for job in once]


def test_no_more_pieces_than_the_encoder_has_positions(ask, tiny_model, tmp_path):
    """The tiny encoder has 128 positions: a longer text would end its training with an index error."""
    assert sources.most_pieces(tiny_model) == 128
    asked = {"epochs": 1, "learning_rate": 5e-3}
    with pytest.raises(UserError, match="max_length is 129, and the model reads 128 pieces at most"):
        plan(ask(tmp_path, settings=asked | {"max_length": 129}))
    assert plan(ask(tmp_path, settings=asked | {"max_length": 128}))[0].spec.settings["max_length"] == 128
    lines = [f"{'long text ' * 300} {i},{i % 2}" for i in range(60)]
    (tmp_path / "long.csv").write_text("text,label\n" + "\n".join(lines))
    assert plan(ask(tmp_path, data=tmp_path / "long.csv"))[0].spec.settings["max_length"] == 128
    (tmp_path / "roberta").mkdir()
    config = {"model_type": "roberta", "max_position_embeddings": 514, "pad_token_id": 1}
    (tmp_path / "roberta" / "config.json").write_text(json.dumps(config))
    assert sources.most_pieces(tmp_path / "roberta") == 512


def test_record_files_are_strict_json(finished):
    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    for path in (finished / "records").glob("*.json"):
        data = json.loads(path.read_text(), parse_constant=refuse)
        assert next(iter(data)) == "schema_version"


@pytest.mark.parametrize(
    "changes",
    [
        {},  # a learning rate of the user's
        {"settings": {"epochs": 3}},  # a searched or a default one
        {"settings": {"epochs": 3, "batch_size": 8}, "labelled": (0.5,), "mitigations": ["lora:rank=2+fgm"]},
        {"recipes": [], "tier": "stability", "seeds": 1, "mitigations": ["ema"]},
    ],
)
def test_bisect_runs_the_very_cell_again(changes, ask, data, tiny_model, cache, tmp_path):
    job = plan(ask(tmp_path, **changes))[-1]
    record = make_record(spec=job.spec.model_dump(mode="json"), spec_id=job.spec.id)
    wanted = bisection.asked(record, data=data, model=str(tiny_model))
    assert job.spec.id in [one.spec.id for one in plan(Request(**wanted, results=tmp_path, cache=cache))]
    # a record does not say where the file is
    assert "--data FILE" in bisection.command(bisection.asked(record), tmp_path)
    with pytest.raises(UserError, match="'mine' is a task of your own; say where it is with --data"):
        bisection.rerun(bisection.asked(record), record, Store(tmp_path), tmp_path / "again", Console())


def test_bisect_says_whether_the_same_cell_gives_the_same_again(finished, data, tiny_model, cache, tmp_path):
    store = Store(finished)
    record, _ = bisection.worst_arm(store, store, checking.check(store, store))
    wanted = bisection.asked(record, data=data, model=str(tiny_model)) | {"cache": cache}
    said = bisection.rerun(wanted, record, store, tmp_path / "again", Console(quiet=True))
    assert said.startswith("noise: none")
