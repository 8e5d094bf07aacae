"""Strict, immutable, schema first; what two equal runs must share."""

from __future__ import annotations

import json

import pytest
from pydantic import ValidationError

from bench.record import Record, StageResult, Table, comparable, from_json, is_timing, to_json
from tests.bench.conftest import make_record
from training.errors import UserError


def test_json_round_trip_is_exact_and_starts_with_the_schema_number() -> None:
    record = make_record()
    assert from_json(to_json(record)) == record
    assert next(iter(json.loads(to_json(record)))) == "schema_version"


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), [1.0, float("nan")], {"deep": [float("-inf")]}])
def test_numbers_that_json_does_not_know_are_refused(bad: object) -> None:
    with pytest.raises(ValidationError):
        make_record(summary={"loss": bad})


def test_a_record_cannot_be_changed_and_knows_no_other_fields() -> None:
    record = make_record()
    with pytest.raises(ValidationError):
        record.status = "failed"  # type: ignore[misc]
    with pytest.raises(ValidationError):
        make_record(surprise=1)


@pytest.mark.parametrize("changes", [{"status": "failed"}, {"status": "crashed"}, {"created": "2026-01-01T00:00:00"}])
def test_incomplete_statements_are_refused(changes: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        make_record(**changes)


def test_a_stage_that_did_not_end_well_needs_a_reason() -> None:
    with pytest.raises(ValidationError):
        StageResult(status="not_applicable")


@pytest.mark.parametrize(
    "table", [{}, {"inline": {"a": [1], "b": []}}, {"parquet": "x"}, {"inline": {}, "parquet": "x"}]
)
def test_a_table_is_in_one_place(table: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Table(**table)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ('{"schema_version": 1, "spec_id": "a', "torn"),
        ('{"schema_version": 2}', "update TemperBench"),
        ('{"schema_version": 1}', "no TemperBench record"),
        ("[]", "no TemperBench record"),
        ('{"schema_version": NaN}', "NaN"),
        ("", "torn"),
    ],
)
def test_foreign_text_is_a_user_error_that_names_the_source(text: str, word: str) -> None:
    with pytest.raises(UserError, match=word) as caught:
        from_json(text, "'x.json'")
    assert "'x.json'" in str(caught.value)


@pytest.mark.parametrize(
    "cells",
    ["[0.5, [1]]", "[[], 0.5]", "[null, {}]", '["a", ["b"]]', "[1e999]", "[0.5, -1e999, 1e999]", "[null, 1e999]", "0.5",
     '"text"', "{}", '["a", 1e999]'],
)  # fmt: skip
def test_cells_of_a_table_are_single_finite_values(cells: str) -> None:
    whole = to_json(make_record(tables={"clean": Table(inline={"a": [1], "b": [2]})}))
    text = json.dumps(json.loads(whole)).replace('"b": [2]', f'"b": {cells}')
    with pytest.raises(UserError, match=r"no TemperBench record \(tables\.clean\.inline\.b"):
        from_json(text)


@pytest.mark.parametrize(
    "cells",
    [[0.5, 1, None], ["a", None, "ä"], [None, None], [True, False, None], [1.5e308, 1.5e308, -1.0], [10**400, 0.5],
     ["NaN", "Infinity", 3, 0.5, True], []],
)  # fmt: skip
def test_cells_are_read_as_they_were_written(cells: list[object]) -> None:
    record = make_record(tables={"clean": Table(inline={"b": cells})})
    read = from_json(to_json(record)).tables["clean"].inline
    assert read is not None
    assert read == {"b": cells}
    assert [type(cell) for cell in read["b"]] == [type(cell) for cell in cells]


def test_comparable_leaves_out_times_and_environment_only() -> None:
    def made(seconds: float, loss: float) -> Record:
        table = Table(inline={"loss": [loss], "seconds": [seconds], "peak_memory_bytes": [int(seconds)]})
        return make_record(
            summary={"train_seconds": seconds, "loss": loss},
            environment={"device": str(seconds)},
            stages={"train": StageResult(status="ok", seconds=seconds)},
            tables={"telemetry": table},
        )

    assert comparable(made(1.0, 0.5)) == comparable(made(2.0, 0.5))
    assert comparable(made(1.0, 0.5)) != comparable(made(1.0, 0.6))


def test_timing_names() -> None:
    assert is_timing("seconds")
    assert is_timing("train_seconds")
    assert not is_timing("steps")
