"""Adversarial examples as a file: written, read again, scored on any checkpoint, with messages for people."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bench import keys
from bench.record import Record
from bench.robustness import artefacts, replay
from bench.robustness.artefacts import Example
from bench.robustness.replay import Score
from bench.spec import Spec
from bench.store import Store
from bench.work import RESULT
from tests.bench.conftest import attack_table, make_record
from tests.bench.test_cli import temper  # noqa: F401 (a fixture)
from tests.bench.test_transfer import spec
from training.errors import UserError
from training.model import open_classifier

TEXTS = ("the film was good .", "the plot was awful .", "a dull scene", "great actors and a superb story")


def record_of(asked: Spec) -> Record:
    made = make_record(asked.mitigation, asked.seed, task="toy", recipes=["deepwordbug"])
    return made.model_copy(update={"spec": asked.model_dump(mode="json"), "spec_id": asked.id})


@pytest.fixture
def results(tmp_path: Path, tiny_model: Path, sentiment_task: Any) -> tuple[Store, Record]:
    """A results folder of one arm: a checkpoint in work/ and texts that this very checkpoint gets wrong."""
    store, asked = Store(tmp_path / "r", write=True), spec("fgm", 0)
    folder = store.folder / "work" / f"train-{keys.train_key(asked)}"
    classifier = open_classifier(tiny_model, sentiment_task(train=8, other=4), 32, seed=0)
    folder.mkdir(parents=True)
    classifier.save(folder)
    (folder / RESULT).write_text(json.dumps({"seconds": 1.0, "result": {}}))
    wrong = [int(1 - label) for label in classifier.logits(TEXTS).argmax(axis=1)]
    table = attack_table([False] * 4)  # type: ignore[arg-type]
    table["perturbed"], table["label"] = TEXTS, wrong
    table.loc[3, ["status", "perturbed"]] = ["failed", None]
    return store, store.write(record_of(asked), {"attack:deepwordbug:calibrated": table})


def test_what_is_written_is_read_again(results: tuple[Store, Record], tmp_path: Path) -> None:
    store, record = results
    source = artefacts.open_source(store.folder, None)
    assert source.file == store.folder / "adversarial.jsonl"
    assert [example.perturbed for example in source.examples] == list(TEXTS[:3])
    assert artefacts.read(source.file) == source.examples
    first = json.loads(source.file.read_text().splitlines()[0])
    assert next(iter(first)) == "schema_version"
    assert (first["schema_version"], first["task"], first["victim"], first["max_length"]) == (
        1,
        "toy",
        record.spec_id,
        32,
    )
    assert first["recipe"] == record.fingerprints["recipe:deepwordbug"]
    one = artefacts.open_source(store.records / f"{record.spec_id}.json", tmp_path / "one.jsonl")
    assert artefacts.read(tmp_path / "one.jsonl") == one.examples == source.examples


def test_strange_texts_survive_the_file(tmp_path: Path) -> None:
    known: dict[str, Any] = {"task": "t", "recipe": {"name": "r"}, "mode": "raw", "victim": "v", "max_length": 64}
    texts = ['a "quoted"\u2028line', "tab\tand\nnew line", "\x85 ünï \U0001f600"]
    rows = [Example(**known, id=str(i), text=text, perturbed=text[::-1], label=i) for i, text in enumerate(texts)]
    artefacts.write(tmp_path / "a.jsonl", rows)
    assert artefacts.read(tmp_path / "a.jsonl") == rows


def test_scores_are_by_victim_and_recipe(tiny_model: Path, sentiment_task: Any) -> None:
    classifier = open_classifier(tiny_model, sentiment_task(train=8, other=4), 32, seed=0)
    predicted = [int(label) for label in classifier.logits(TEXTS).argmax(axis=1)]

    def example(victim: str, number: int, right: bool, mode: str = "raw") -> Example:
        label = predicted[number] if right else 1 - predicted[number]
        return Example(
            task="t", recipe={"name": "r"}, mode=mode, victim=victim, max_length=32, id=str(number), text=TEXTS[0],
            perturbed=TEXTS[number], label=label,
        )  # fmt: skip

    rows = [example("a", 0, True), example("a", 0, True, "calibrated"), example("a", 1, False), example("b", 2, True)]
    found = replay.score("m", classifier, rows)
    assert [(s.made_against, s.recipe, s.right, s.n) for s in found] == [("a", "r", 2, 3), ("b", "r", 1, 1)]
    assert found[0].originals == len({(row.text, row.label) for row in rows[:3]})
    with pytest.raises(UserError, match="has 2 classes, and an example has the label 5"):
        replay.score("m", classifier, [rows[0].model_copy(update={"label": 5})])


def test_every_arm_of_a_folder_is_scored_and_its_own_texts_still_fool_it(temper, results) -> None:  # noqa: F811
    store, _ = results
    code, out, err = temper("replay", str(store.folder))
    assert (code, err) == (0, "")
    assert "itself" in out
    assert "0.0 % of 3" in out
    assert "3 adversarial texts are in" in out


def test_a_stored_attack_that_no_longer_fools_its_victim_is_exit_1(temper, results) -> None:  # noqa: F811
    store, record = results
    table = store.tables(record, "attack:deepwordbug:calibrated")
    table["label"] = 1 - table["label"]
    store.write(record, {"attack:deepwordbug:calibrated": table}, replace=True)
    code, _, err = temper("replay", str(store.folder))
    assert code == 1
    assert "gets 3 of 3 texts right that deepwordbug made against it" in err


def test_a_file_is_scored_on_another_checkpoint(temper, results, tmp_path: Path) -> None:  # noqa: F811
    store, _ = results
    file = artefacts.open_source(store.folder, tmp_path / "a.jsonl").file
    (checkpoint,) = (store.folder / "work").glob("train-*")
    code, out, _ = temper("replay", str(file), "--model", str(checkpoint))
    assert code == 0
    assert "0.0 % of 3" in out


def test_a_missing_checkpoint_is_named(temper, results) -> None:  # noqa: F811
    store, record = results
    other = record_of(spec("fgm", 1))
    store.write(other, {"attack:deepwordbug:calibrated": store.tables(record, "attack:deepwordbug:calibrated")})
    code, _, err = temper("replay", str(store.folder))
    assert code == 0
    assert f"{other.spec_id}: its checkpoint is not in work/" in err


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "is empty"),
        ("nonsense\n", "line 1 is no JSON object"),
        ("[1]\n", "line 1 is no JSON object"),
        ('{"schema_version": 3}\n', "has schema 3, this suite reads 2"),
        ('{"schema_version": 2}\n', "line 1 is no adversarial example"),
        ('{"task": "t"}\n', "line 1 is no adversarial example"),
    ],
)
def test_a_bad_file_is_one_clear_line(temper, tmp_path: Path, text: str, expected: str) -> None:  # noqa: F811
    file = tmp_path / "a.jsonl"
    file.write_text(text, encoding="utf8")
    code, _, err = temper("replay", str(file), "--model", str(tmp_path))
    assert code == 2
    assert expected in err
    assert "Traceback" not in err


def test_what_cannot_be_replayed_is_exit_2(temper, results, tmp_path: Path) -> None:  # noqa: F811
    store, _ = results
    file = str(artefacts.open_source(store.folder, tmp_path / "a.jsonl").file)
    (tmp_path / "empty" / "records").mkdir(parents=True)
    for words, expected in (
        ((file,), "say what to score with --model"),
        ((file, "--model", str(tmp_path)), "is no fine-tuned checkpoint"),
        ((str(tmp_path / "nowhere"),), "is nothing to replay"),
        ((str(tmp_path / "empty"),), "no adversarial examples to replay"),
    ):
        code, _, err = temper("replay", *words)
        assert code == 2
        assert expected in err


def test_many_victims_are_pooled() -> None:
    scores = [Score(f"m{i}", f"m{j}", "r", 0 if i == j else 1, 2, 1, 2) for i in range(7) for j in range(7)]
    rows = replay._pooled(scores)
    assert len(rows) == 14
    assert {(row.made_against, row.right, row.n) for row in rows if row.model == "m0"} == {
        ("m0", 0, 2),
        ("6 other models", 6, 12),
    }


def test_runs_go_by_their_arm_and_seed_where_that_is_one_of_them() -> None:
    runs = [f"my--bert-tiny--{arm}--smoke--0000000{n}" for n, arm in enumerate(("fgm--s0", "fgm--s1", "eda--s0"))]
    twin = "my--bert-tiny--eda--s0--smoke--00000009"
    rows = [Score(run, "a-checkpoint", "deepwordbug", 1, 2, 2, 2) for run in (*runs, twin)]
    made = replay.table([*rows, Score(runs[0], runs[0], "pwws", 0, 2, 2, 2)])
    models, against = ([str(cell) for cell in made.columns[k].cells] for k in (0, 1))
    assert models == ["fgm s0", "fgm s1", runs[2], twin, "fgm s0"]
    assert against == ["a-checkpoint"] * 4 + ["itself"]
