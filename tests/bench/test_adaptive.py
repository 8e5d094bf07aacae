"""The adaptive pass: survivors only, harder, and a published number can only fall."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from bench.extraction import extract
from bench.record import Table
from bench.robustness.adaptive import RESTARTS, adapt
from bench.robustness.attacking import outcome_table
from bench.stages import Cell
from tests.bench.conftest import attack_table, make_record
from tests.bench.test_masking import VICTIMS, calibrated, known_cell

LOW = 2  # queries a word: too few for most texts, twice as many are enough for some


@pytest.fixture
def cell(tmp_path: Path) -> Cell:
    made = known_cell("baseline", tmp_path, budget_per_word=LOW)
    made.__dict__["open_checkpoint"] = lambda: SimpleNamespace(logits=VICTIMS["baseline"])
    return made


def test_only_survivors_are_attacked_and_none_after_it_fell(cell: Cell) -> None:
    first = calibrated(cell, LOW)
    survivors = {outcome.id for outcome in first if outcome.status == "failed"}
    table = adapt(cell, {"deepwordbug": first})
    assert survivors
    assert set(table["id"]) == survivors
    for _, rows in table.groupby("id"):
        assert rows["restart"].tolist() == list(range(1, len(rows) + 1))
        assert "success" not in rows["status"].tolist()[:-1]
        assert len(rows) == RESTARTS or rows["status"].iloc[-1] == "success"
    assert "success" in set(table["status"])
    assert table["queries"].max() > LOW * 6  # more than the first attack had for six words
    assert adapt(cell, {"deepwordbug": first}).equals(table)


def test_a_text_that_one_recipe_fooled_or_could_not_judge_is_left_alone(cell: Cell) -> None:
    first = calibrated(cell, LOW)
    stronger = calibrated(cell)
    table = adapt(cell, {"deepwordbug": first, "identity": stronger})
    both = {o.id for o in first if o.status == "failed"} & {o.id for o in stronger if o.status == "failed"}
    assert set(table["id"]) <= both


def test_the_number_only_falls(cell: Cell) -> None:
    first = calibrated(cell, LOW)
    tables = {"attack:deepwordbug:calibrated": outcome_table(first), "adaptive": adapt(cell, {"deepwordbug": first})}
    record = make_record(tables={name: Table(inline={}) for name in tables}, recipes=["deepwordbug"])
    found = extract(record, lambda name: tables[name])
    before, after = found["worst_case_calibrated"], found["worst_case_adaptive"]
    assert before.ids == after.ids
    assert (after.top <= before.top).all()
    fallen = (tables["adaptive"]["status"] == "success").sum()
    assert before.top.sum() - after.top.sum() == fallen > 0
    assert "worst_case_adaptive" not in extract(record.model_copy(update={"tables": {}}), lambda name: tables[name])


def test_a_text_without_a_verdict_stays_unknown() -> None:
    tables = {
        "attack:d:calibrated": attack_table(np.zeros(3), ["failed", "error", "failed"]),
        "adaptive": pd.DataFrame(
            {"id": ["text-0"], "recipe": ["d"], "restart": [1], "status": ["success"], "queries": [3]}
        ),
    }
    record = make_record(tables={name: Table(inline={}) for name in tables}, recipes=["d"])
    np.testing.assert_array_equal(extract(record, lambda name: tables[name])["worst_case_adaptive"].top, [0, np.nan, 1])
