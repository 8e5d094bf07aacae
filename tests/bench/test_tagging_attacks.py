"""Attacks on taggers as stages: the whole path on made-up data, resuming, entity F1 under attack, recipes by kind."""

from __future__ import annotations

import dataclasses
import json
import random
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from attacks import lexicon
from attacks.entities import span_counts
from attacks.tagged import TaggedOutcome
from bench import campaign, keys, leaderboard, run
from bench.extraction import extract, why_missing
from bench.gate import checking
from bench.metrics import Values, summarise
from bench.plan import Request, _recipes, plan
from bench.record import Record, StageResult
from bench.report import formats, wording
from bench.robustness import tagging_attacks
from bench.spec import RECIPES, tier
from bench.store import Store
from bench.work import append_line, read_lines
from tests.bench.conftest import make_record
from training.errors import UserError

ASKED = ("ner_deepwordbug", "ner_identity")
ERROR = ("error", None, None, None)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cache")
    lexicon.minimal(folder / "lexicon")
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """200 short sentences in which what was watched or loved is a THING, and a noun elsewhere is not."""
    rng = random.Random(0)
    nouns, fillers = ["film", "movie", "plot", "story", "scene"], ["very", "really", "not", "dull", "good", "boring"]
    rows: dict[str, list[str]] = {}
    while len(rows) < 200:
        words, tags = ["it", "was", rng.choice(fillers)], ["O"] * 3
        for cue in rng.sample(["watched", "loved", "a", "bad"], rng.randint(1, 2)):
            name = rng.sample(nouns, rng.randint(1, 2)) if cue in ("watched", "loved") else [rng.choice(nouns)]
            words += [cue, *name, rng.choice(fillers)]
            tags += ["O", *(["B-THING", "I-THING"][: len(name)] if cue in ("watched", "loved") else ["O"]), "O"]
        rows[" ".join(words)] = tags
    path = tmp_path_factory.mktemp("data") / "things.jsonl"
    lines = [json.dumps({"tokens": text.split(), "ner_tags": tags}) for text, tags in rows.items()]
    path.write_text("\n".join(lines) + "\n", encoding="utf8")
    return path


@pytest.fixture(scope="module")
def ask(cache: Path, data: Path, tiny_model: Path):
    def make(results: Path, **changes) -> Request:
        settings = {"epochs": 16, "learning_rate": 5e-3}
        values = {"tier": "smoke", "data": data, "model": str(tiny_model), "mitigations": [], "recipes": ASKED}
        return Request(**{**values, "seeds": 2, "results": results, "cache": cache, "settings": settings, **changes})

    return make


@pytest.fixture(scope="module")
def finished(ask, tmp_path_factory: pytest.TempPathFactory) -> Path:
    results = tmp_path_factory.mktemp("results")
    outcome = campaign.run_all(ask(results), workers=1)
    assert outcome.failed == {}
    leaderboard.write(Store(results), results)
    return results


def values_of(store: Store, record: Record) -> dict[str, Values]:
    return extract(record, lambda name: store.tables(record, name))


def test_every_record_holds_the_attacks_and_the_control_changes_nothing(finished: Path):
    store = Store(finished)
    fallen = 0
    for record in store:
        assert record.status == "ok"
        table = store.tables(record, "attack:ner_deepwordbug:tags")
        assert len(table) == 8
        fallen += (table["status"] == "success").sum()
        assert {stage for stage in record.stages if stage.startswith("attack")} == {f"attack:{r}:tags" for r in ASKED}
        assert record.fingerprints["recipe:ner_deepwordbug"]["goal"] == "untargeted"
        clean = store.tables(record, "clean").set_index("id")[["tp", "fp", "fn"]]
        control = store.tables(record, "attack:ner_identity:tags").set_index("id")[["tp", "fp", "fn"]]
        pd.testing.assert_frame_equal(control, clean.loc[control.index], check_dtype=False)
    assert fallen >= 1


def test_every_record_is_swept_and_scored_on_the_sentences_of_the_others(finished: Path):
    store = Store(finished)
    donors: set[str] = set()
    for record in store:
        assert {record.stages[f"transfer:{recipe}"].status for recipe in ASKED} == {"ok"}
        assert record.stages["sweep:ner_deepwordbug"].status == "ok"
        assert set(store.tables(record, "sweep:ner_deepwordbug")["factor"]) == {0.05, 0.25, 1.0, 4.0, 20.0}
        donors |= set(store.tables(record, "transfer:ner_deepwordbug")["donor"])
    assert donors
    assert donors <= {"baseline", "fgm"}
    (board,) = leaderboard.build(store)
    assert "entity_f1_sweep:ner_deepwordbug" in board.metrics
    assert ("transfer_f1:ner_deepwordbug" in board.metrics) == ("baseline" in donors)
    assert not [name for name in board.metrics if name.startswith(("transfer_accuracy", "transfer_f1_from"))]


def test_tables_can_be_scored_again(finished: Path):
    store = Store(finished)
    for record in store:
        for row in store.tables(record, "attack:ner_deepwordbug:tags").to_dict("records"):
            won = row["status"] == "success"
            gold, said = (str(row[f"perturbed_{name}" if won else name]).split() for name in ("gold", "predicted"))
            assert span_counts(gold, said) == (row["tp"], row["fp"], row["fn"])
            assert len(gold) == len(str(row["perturbed"] if won else row["text"]).split())


def test_the_board_is_ranked_by_the_worst_case(finished: Path):
    store = Store(finished)
    (board,) = leaderboard.build(store)
    assert board.score == "entity_f1_worst"
    assert {"entity_f1", "entity_f1_attacked:ner_deepwordbug", "entity_f1_worst"} <= set(board.metrics)
    for arm in board.arms:
        worst, typos, control, clean = (
            arm.cells[name].value
            for name in ("entity_f1_worst", *(f"entity_f1_attacked:{recipe}" for recipe in ASKED), "entity_f1")
        )
        assert worst <= min(typos, control) + 1e-12
        assert arm.cells["entity_f1_worst"].low is not None
        assert clean > 0.6
    assert "as the recipe left it that hurt it most" in wording.caption(board)
    page = formats.render([board])
    assert "Robustness: entities" in page["html"]
    assert "entity F1 attacked by ner_deepwordbug" in page["md"]


def test_a_second_run_computes_nothing_and_the_gate_judges_the_attacks(finished: Path, ask):
    assert campaign.run_all(ask(finished), workers=1).computed == []
    verdict = checking.check(Store(finished), Store(finished))
    assert verdict.exit_code == 0
    assert "entity_f1_attacked:ner_deepwordbug" in set(verdict.rows["metric"])


def test_an_attack_that_was_killed_goes_on_where_it_was(finished: Path, ask, tmp_path: Path):
    job = plan(ask(finished))[0]
    opened = job.open(lambda *_: None)
    whole, _ = tagging_attacks.attack(opened, "ner_deepwordbug")

    def kill(stage: str, done: int, total: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    work = type(opened.work)(tmp_path / "work")
    train = opened.work.done("train", keys.train_key(job.spec))
    work.folder.mkdir()
    (work.folder / train.name).symlink_to(train)
    with pytest.raises(KeyboardInterrupt):
        tagging_attacks.attack(dataclasses.replace(opened, work=work, tick=kill), "ner_deepwordbug")
    (partial,) = work.folder.glob("attack-*.partial")
    assert len(list(read_lines(partial / "outcomes.jsonl"))) == 3
    with (partial / "outcomes.jsonl").open("a") as stream:
        stream.write('{"id": "torn')
    told: list[tuple[int, int]] = []
    again, _ = tagging_attacks.attack(
        dataclasses.replace(opened, work=work, tick=lambda _, done, total: told.append((done, total))),
        "ner_deepwordbug",
    )
    assert told == [(done, 8) for done in range(4, 9)]
    assert [dataclasses.replace(o, seconds=0.0) for o in again] == [dataclasses.replace(o, seconds=0.0) for o in whole]


def test_a_stored_success_must_fool_the_reloaded_checkpoint(finished: Path, ask):
    opened = plan(ask(finished))[0].open(lambda *_: None)
    outcomes, _ = tagging_attacks.attack(opened, "ner_identity")
    right = next(outcome for outcome in outcomes if outcome.status == "failed")
    claimed = dataclasses.replace(
        right, status="success", perturbed=right.words, perturbed_gold=right.gold, words_changed=0,
        perturbed_predicted=("O",) * len(right.words),
    )  # fmt: skip
    with pytest.raises(RuntimeError, match="1 of 1 stored adversarial sentences do not fool"):
        tagging_attacks.still_fool(opened, [claimed])


def attack_rows(*rows: tuple[str, int | None, int | None, int | None], changed: int = 2) -> pd.DataFrame:
    """One row per (status, tp, fp, fn), of ten words each."""
    table = pd.DataFrame(rows, columns=["status", "tp", "fp", "fn"])
    success = table["status"] == "success"
    table["words_changed"] = success.map({True: changed, False: None})
    return table.assign(id=[f"s{i}" for i in range(len(table))], queries=20, words=10)


def entity_record(recipes: tuple[str, ...], **changes) -> Record:
    return make_record(task="ner_finance", recipes=list(recipes), **changes)


def read(recipes: tuple[str, ...], **tables: pd.DataFrame) -> dict[str, Values]:
    named = {f"attack:{name}:tags": table for name, table in tables.items()}
    record = entity_record(recipes).model_copy(update={"tables": dict.fromkeys(named, "")})
    return extract(record, lambda name: named[name])


def test_entity_f1_under_attack_by_hand():
    table = attack_rows(
        ("success", 1, 1, 1), ("failed", 2, 0, 0), ("skipped", 0, 0, 2), ERROR, ("failed", 0, 0, 0)
    )  # fmt: skip
    found = read(("swap",), swap=table)
    # over all sentences: 3 hits, 1 invented, 3 missed; the error weighs nothing
    interval = summarise("entity_f1_attacked:swap", [found["entity_f1_attacked:swap"]] * 2)
    assert interval.value == pytest.approx(2 * 3 / (2 * 3 + 1 + 3))
    assert found["attack_errors"].top == pytest.approx([0.2])
    assert summarise("asr:swap", [found["asr:swap"]] * 2).value == pytest.approx(1 / 3)
    assert summarise("queries:swap", [found["queries:swap"]] * 2).value == 20
    assert summarise("words_changed:swap", [found["words_changed:swap"]] * 2).value == pytest.approx(0.2)
    assert not [name for name in found if name.startswith(("aua", "worst_case"))]


def test_the_worst_case_takes_each_sentence_at_its_worst():
    typos = attack_rows(
        ("failed", 2, 0, 0), ("success", 0, 0, 1), ("failed", 0, 0, 0), ERROR, ("success", 0, 1, 1), ERROR
    )  # fmt: skip
    swap = attack_rows(
        ("success", 1, 0, 1), ("failed", 1, 0, 0), ("success", 0, 1, 0), ("success", 1, 0, 1), ("success", 0, 0, 1),
        ("failed", 3, 0, 0),
    )  # fmt: skip
    worst = read(("typos", "swap"), typos=typos, swap=swap)["entity_f1_worst"]
    made = {one: (top, bottom) for one, top, bottom in zip(worst.ids, worst.top, worst.bottom, strict=True)}
    assert made == {
        "s0": (2, 3),  # 1 of 2 found
        "s1": (0, 1),
        "s2": (0, 1),  # invented where there is nothing
        "s3": (2, 3),  # one has no verdict, the other says enough
        "s4": (0, 2),  # both lose all; more errors are worse
    }  # s5: one survived, the other is unknown
    assert "entity_f1_worst" not in read(("typos", "swap"), typos=typos)


def test_a_verdict_without_counts_is_no_board():
    with pytest.raises(UserError, match="lacks its entity counts"):
        read(("swap",), swap=attack_rows(("failed", None, 0, 0)))


@pytest.mark.parametrize("crashed", [False, True])
def test_a_crashed_attack_is_no_rank_and_boards_without_attacks_keep_entity_f1(tmp_path: Path, crashed: bool):
    store = Store(tmp_path, write=True)
    clean = pd.DataFrame([(f"s{i}", 1, 0, i % 2) for i in range(9)], columns=["id", "tp", "fp", "fn"])
    stage = StageResult(status="failed", reason="OSError: gone") if crashed else StageResult(status="ok", seconds=1.0)
    for seed in range(2):
        for mitigation, rows in (("baseline", [("failed", 1, 0, 0)] * 4), ("fgm", [("success", 0, 0, 1)] * 4)):
            tables = {"clean": clean, "attack:swap:tags": attack_rows(*rows)}
            if crashed:
                del tables["attack:swap:tags"]
            stages = {"attack:swap:tags": stage}
            store.write(entity_record(("swap",), stages=stages, mitigation=mitigation, seed=seed), tables)
    (board,) = leaderboard.build(store)
    assert board.score == "entity_f1_worst"
    assert [arm.rank for arm in board.arms] == ([None, None] if crashed else [1, 2])
    if crashed:
        assert board.arms[0].no_rank == "failed: OSError: gone"
        assert why_missing(board.arms[0].records[0], "entity_f1_attacked:swap").reason == "OSError: gone"


def test_recipes_go_with_the_kind_of_the_task(ask, tmp_path: Path):
    texts, tags = (dataclasses.make_dataclass("T", ["name", "kind"])(*pair) for pair in (
        ("reviews", "classification"), ("names", "tagging")))  # fmt: skip
    chosen = tier("smoke")
    both = {"classification": chosen.recipes, "tagging": RECIPES["tagging"]}
    assert _recipes(Request(), chosen, [texts, tags]) == both
    mixed = _recipes(Request(recipes=["pwws", "entity_swap"]), chosen, [texts, tags])
    assert mixed == {"classification": ("pwws",), "tagging": ("entity_swap",)}
    # a tier without attacks stays without
    assert _recipes(Request(), tier("stability"), [tags]) == {"tagging": ()}
    for asked, tasks, message in (
        (
            ["pwws"],
            [texts, tags],
            "none of the recipes pwws is for the tagging task 'names'. Those that are: entity_swap,",
        ),
        (["pwws", "entity_swap"], [texts], "the recipe 'entity_swap' is not for the classification task 'reviews'"),
    ):
        with pytest.raises(UserError, match=message):
            _recipes(Request(recipes=asked), chosen, tasks)
    with pytest.raises(UserError, match=r"'entity_swap' needs .*wordnet.*temper fetch"):
        plan(ask(tmp_path, recipes=["entity_swap"]))


def test_every_source_of_an_attack_is_in_its_key():
    assert (keys.attack_mode("ner_textfooler"), keys.attack_mode("textfooler")) == ("tags", "calibrated")
    assert keys.attack_code("ner_textfooler", "tags") == (
        "bench/robustness/tagging_attacks.py", "attacks/recipes/ner_textfooler.py", "attacks/recipes/textfooler.py",
    )  # fmt: skip
    assert keys.attack_code("pwws", "raw") == ("bench/robustness/attacking.py", "attacks/recipes/pwws.py")


def test_tagging_attacks_are_part_of_the_estimated_time(finished: Path, ask):
    from bench.progress import Work

    spec = plan(ask(finished))[0].spec
    work = Work([spec], lambda _: 100, lambda _: False)
    assert {stage for _, stage in work.weights if ":" in stage} == {f"{recipe}:tags" for recipe in ASKED}


def test_names_and_sentences_are_the_same_for_every_arm(finished: Path, ask):
    first, second = (job.open(lambda *_: None) for job in plan(ask(finished, labelled=(1.0, 0.25), seeds=1))[:2])
    assert first.spec.settings["labelled"] != second.spec.settings["labelled"]
    assert tagging_attacks.known_names(first).fingerprint == tagging_attacks.known_names(second).fingerprint
    assert tagging_attacks.attacked_samples(first) == tagging_attacks.attacked_samples(second)
    assert run.task_of(plan(ask(finished))[0].task_locator, None).kind == "tagging"


def test_outcomes_survive_the_disk(tmp_path: Path):
    made = TaggedOutcome("a", "skipped", ("x",), ("O",), ("B-A",), None, None, None, 1, None, 0.5, None)
    append_line(tmp_path / "o.jsonl", made.to_dict())
    assert [TaggedOutcome.from_dict(row) for row in read_lines(tmp_path / "o.jsonl")] == [made]
    table = tagging_attacks.outcome_table([made])
    assert table.loc[0, ["tp", "fp", "fn"]].tolist() == [0, 1, 0]
    assert np.isnan(tagging_attacks.outcome_table([_error(), made]).loc[0, "tp"])


def _error() -> TaggedOutcome:
    return TaggedOutcome("b", "error", ("x",), ("O",), None, None, None, None, 0, None, 0.5, "OSError: gone")
