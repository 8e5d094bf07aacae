"""The transfer matrix: who donates to whom, what is scored, and what the board shows of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from attacks.outcome import Outcome
from bench import leaderboard
from bench.extraction import extract
from bench.keys import attack_key, train_key
from bench.record import Table
from bench.report import formats, matrix
from bench.report.sections import Section
from bench.robustness.transfer import donors, transfer
from bench.sources import model_fingerprint
from bench.spec import MitigationSpec, Sizes, Spec
from bench.stages import Cell
from bench.store import Store
from bench.work import RESULT, Work, append_line
from tests.attacks.conftest import made
from tests.bench.conftest import make_record, make_tables
from training.model import open_classifier


def spec(mitigation: str, seed: int, **changes: Any) -> Spec:
    values: dict[str, Any] = {
        "task": "toy", "task_fingerprint": "f", "model": "tiny", "model_fingerprint": "e", "mitigation": mitigation,
        "mitigations": (MitigationSpec(name=mitigation, version=1, config={}),), "seed": seed, "tier": "smoke",
        "settings": {"learning_rate": 1e-4, "max_length": 32, "labelled": 1.0}, "learning_rate_source": "test",
        "sizes": Sizes(attacked=4, explained=1, throughput_rounds=0), "recipes": ("deepwordbug",), "explainers": (),
        "budget_per_word": 50, "lexicon_fingerprint": "0",
    }  # fmt: skip
    return Spec(**{**values, **changes})


def names(specs: Sequence[Spec]) -> list[tuple[str, int]]:
    return [(one.mitigation, one.seed) for one in specs]


def test_every_arm_donates_its_next_seed_and_never_the_scored_one() -> None:
    specs = [spec(name, seed) for name in ("fgm", "baseline", "lora") for seed in (0, 1, 2)]
    found = donors(specs)
    assert names(found[spec("fgm", 0).id]) == [("baseline", 1), ("fgm", 1), ("lora", 1)]
    assert names(found[spec("baseline", 2).id]) == [("baseline", 0), ("fgm", 0), ("lora", 0)]
    assert all(donor.seed != one.seed for one in specs for donor in found[one.id])


def test_one_seed_and_other_tasks_donate_nothing() -> None:
    lonely = [spec("baseline", 0), spec("fgm", 0)]
    assert set(donors(lonely).values()) == {()}
    few = {"settings": {"learning_rate": 1e-4, "max_length": 32, "labelled": 0.1}}
    mixed = [spec("baseline", 0), spec("baseline", 1, task="other"), spec("baseline", 1, **few)]
    assert donors(mixed)[mixed[0].id] == ()


class Toy:
    """A work folder with a checkpoint for the scored cell and hand-made outcomes for its donors."""

    def __init__(self, folder: Path, model: Path, task: Any) -> None:
        self.work, self.model, self.task = Work(folder / "work"), model, task
        self.scored = spec("fgm", 0, model_fingerprint=model_fingerprint(model))
        self.done("train", train_key(self.scored), lambda where: self.open(model).save(where))

    def open(self, folder: Path) -> Any:
        return open_classifier(folder, self.task, 32, seed=0)

    def done(self, stage: str, key: str, fill: Callable[[Path], Any]) -> None:
        folder = self.work.folder / f"{stage}-{key}"
        folder.mkdir(parents=True)
        fill(folder)
        (folder / RESULT).write_text(json.dumps({"seconds": 1.0, "result": {}}))

    def donate(self, donor: Spec, outcomes: Sequence[Outcome]) -> None:
        def fill(folder: Path) -> None:
            for outcome in outcomes:
                append_line(folder / "outcomes.jsonl", outcome.to_dict())

        self.done("attack-deepwordbug-calibrated", attack_key(donor, "deepwordbug", "calibrated"), fill)

    def cell(self) -> Cell:
        def never(*_: Any) -> Any:
            raise AssertionError("transfer needs no other thing than the checkpoint")

        return Cell(self.scored, self.task, self.model, self.work, never, never, never, never, lambda *_: None)


@pytest.fixture
def toy(tmp_path: Path, tiny_model: Path, sentiment_task: Callable[..., Any]) -> Toy:
    return Toy(tmp_path, tiny_model, sentiment_task(train=8, other=4))


def successes(*texts: tuple[str, int]) -> list[Outcome]:
    kept = [made("success", id=f"t{i}", perturbed=text, label=label) for i, (text, label) in enumerate(texts)]
    return [*kept, made("failed", id="survivor"), made("error", id="broken"), made("skipped", id="wrong")]


def test_only_successes_are_scored_and_by_this_cell_s_model(toy: Toy) -> None:
    baseline, lora = spec("baseline", 1), spec("lora", 1)
    texts = ["the film was good .", "the plot was awful .", "a dull scene"]
    toy.donate(baseline, successes((texts[0], 1), (texts[1], 0)))
    toy.donate(lora, successes((texts[0], 0), (texts[2], 1)))
    predicted = dict(zip(texts, toy.open(toy.model).logits(texts).argmax(axis=1), strict=True))
    table = transfer(toy.cell(), [baseline, lora], "deepwordbug")
    assert table.to_dict("list") == {
        "donor": ["baseline", "baseline", "lora", "lora"],
        "id": ["t0", "t1", "t0", "t1"],
        "correct": [
            predicted[texts[0]] == 1,
            predicted[texts[1]] == 0,
            predicted[texts[0]] == 0,
            predicted[texts[2]] == 1,
        ],
    }
    assert set(table["correct"]) == {True, False}  # one text with both labels is in it


def test_a_missing_donor_has_no_rows_until_it_is_attacked_but_the_baseline_must_be_there(toy: Toy) -> None:
    baseline, lora = spec("baseline", 1), spec("lora", 1)
    with pytest.raises(FileNotFoundError, match="baseline of seed 1"):
        transfer(toy.cell(), [baseline, lora], "deepwordbug")
    toy.donate(baseline, successes())
    assert len(transfer(toy.cell(), [baseline, lora], "deepwordbug")) == 0
    toy.donate(lora, successes(("a dull scene", 1)))
    assert set(transfer(toy.cell(), [baseline, lora], "deepwordbug")["donor"]) == {"lora"}


def table(**right: Sequence[bool]) -> pd.DataFrame:
    rows = [(donor, f"t{i}", one) for donor, found in right.items() for i, one in enumerate(found)]
    return pd.DataFrame(rows, columns=["donor", "id", "correct"])


def test_the_old_column_is_the_baseline_as_donor_also_in_old_records() -> None:
    record = make_record(tables={"transfer:tf": Table(inline={})}, recipes=["tf"])
    new = extract(record, lambda _: table(fgm=[True, True], baseline=[True, False, False]))
    assert new["transfer_accuracy:tf"].top.tolist() == [1, 0, 0]
    assert new["transfer_from:tf:fgm"].top.tolist() == [1, 1]
    old = extract(record, lambda _: table(baseline=[True, False]).drop(columns="donor"))
    assert old["transfer_accuracy:tf"].top.tolist() == [1, 0]
    assert set(extract(record, lambda _: table())) & {"transfer_accuracy:tf", "transfer_from:tf:fgm"} == set()


@pytest.fixture
def board_of_two(tmp_path: Path) -> Store:
    store = Store(tmp_path / "r", write=True)
    for name in ("baseline", "fgm"):
        for seed in range(3):
            rows = make_tables(
                name, seed, accuracy=0.8, aua={"textfooler": 0.4}, raw_bonus=0.0, n=50, attacked=20, noise=0
            )
            rows["transfer:textfooler"] = table(
                baseline=[True] * 3 + [False], fgm=[seed == 0, False] if name == "fgm" else [True, True]
            )
            store.write(make_record(name, seed, recipes=["textfooler"]), rows)
    return store


def test_the_matrix_is_on_the_board_with_its_numbers(board_of_two: Store) -> None:
    (board,) = leaderboard.build(board_of_two)
    found = matrix.numbers(board)["textfooler"]
    assert found["fgm"]["baseline"] == {"value": 0.75, "n": 12, "seeds": 3}
    assert found["fgm"]["fgm"] == {"value": pytest.approx(1 / 6), "n": 6, "seeds": 3}
    assert found["baseline"]["fgm"]["value"] == 1.0
    text = formats.render([board])
    assert json.loads(text["json"])["boards"][0]["transfer_matrix"]["textfooler"] == found
    assert "| made against baseline |" in text["md"]
    line = next(row for row in text["md"].split("### Transfer matrix, textfooler")[1].splitlines() if "| fgm |" in row)
    assert "75.0 (12)" in line
    assert "16.7 (6)" in line
    assert "Transfer matrix, textfooler" in text["html"]
    assert "transfer_from" not in text["csv"]
    column = board.arms[0].cells["transfer_accuracy:textfooler"]
    assert column.value == 0.75  # type: ignore[union-attr]


def matrices(store: Store) -> list[Section]:
    (board,) = leaderboard.build(store)
    return matrix.matrices(board, matrix.numbers(board))


def test_what_was_not_run_together_is_a_dash_and_one_donor_is_no_matrix(board_of_two: Store, tmp_path: Path) -> None:
    rows = make_tables("lora", 0, accuracy=0.8, aua={"textfooler": 0.4}, raw_bonus=0, n=50, attacked=20, noise=0)
    rows["transfer:textfooler"] = table(baseline=[True, False])
    board_of_two.write(make_record("lora", 0, recipes=["textfooler"]), rows)
    (section,) = matrices(board_of_two)
    lora = next(row for row in section.rows if row[0].text == "lora")
    assert sorted(cell.text for cell in lora[1:]) == ["50.0 (2)", "—"]
    alone = Store(tmp_path / "alone", write=True)
    alone.write(make_record("lora", 0, recipes=["textfooler"]), rows)
    assert matrices(alone) == []


def test_many_donors_are_several_tables(tmp_path: Path) -> None:
    many = {f"arm{i:02d}": [bool(i % 2)] for i in range(25)}
    store = Store(tmp_path / "many", write=True)
    rows = make_tables("arm00", 0, accuracy=0.8, aua={"textfooler": 0.4}, raw_bonus=0, n=50, attacked=20, noise=0)
    rows["transfer:textfooler"] = table(**many)
    store.write(make_record("arm00", 0, recipes=["textfooler"]), rows)
    found = matrices(store)
    assert [len(section.header) for section in found] == [10, 10, 8]
    assert found[1].title.endswith("continued")
    assert np.isclose(sum(cell.number or 0 for section in found for cell in section.rows[0][1:]), 12)
