"""Atomic, never silent: torn files, conflicts, hostile names, unwritable folders."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bench.record import comparable
from bench.store import Store, StoreError, write_atomic
from tests.bench.conftest import make_record

SMALL = pd.DataFrame({"id": ["a", "b"], "value": [0.5, np.nan], "flag": [True, None], "seconds": [0.1, 0.2]})


def large(seconds: float = 1.0, shift: float = 0.0) -> pd.DataFrame:
    return pd.DataFrame({"step": np.arange(1500), "loss": np.arange(1500) / 7 + shift, "seconds": seconds})


def test_round_trip_of_small_and_large_tables(tmp_path: Path) -> None:
    store = Store(tmp_path / "new" / "results", write=True)
    record = store.write(make_record(), {"clean": SMALL, "telemetry": large()})
    assert store.ids() == [record.spec_id]
    assert store.has(record.spec_id)
    assert store.read(record.spec_id) == record
    assert list(store) == [record]
    assert record.tables["clean"].inline == {
        "id": ["a", "b"], "value": [0.5, None], "flag": [True, None], "seconds": [0.1, 0.2]
    }  # fmt: skip
    assert record.tables["telemetry"].parquet
    pd.testing.assert_frame_equal(store.tables(record, "telemetry"), large())
    assert np.isnan(store.tables(record, "clean")["value"][1])


def test_infinity_becomes_unknown(tmp_path: Path) -> None:
    record = Store(tmp_path).write(make_record(), {"t": pd.DataFrame({"x": [1.0, np.inf]})})
    assert record.tables["t"].inline == {"x": [1.0, None]}


def test_the_same_result_again_is_fine_and_another_one_is_named(tmp_path: Path) -> None:
    store = Store(tmp_path)
    first = store.write(make_record(), {"clean": SMALL, "telemetry": large(seconds=1.0)})
    again = store.write(make_record(created="2026-02-02T00:00:00+00:00"), {"clean": SMALL, "telemetry": large(2.0)})
    assert again == first
    with pytest.raises(StoreError, match=r"another result of the same spec .*telemetry"):
        store.write(make_record(), {"clean": SMALL, "telemetry": large(shift=0.1)})
    assert store.read(first.spec_id) == first


def test_replace_is_explicit_and_leaves_no_orphans(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.write(make_record(), {"telemetry": large()})
    record = store.write(make_record(), {"telemetry": large(shift=1.0)}, replace=True)
    assert [p.name for p in store.records.glob("*.parquet")] == [record.tables["telemetry"].parquet]


def test_a_failed_record_gives_way_to_its_retry_but_not_the_other_way_round(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.write(make_record(status="failed", reason="OutOfMemory"), {})
    good = store.write(make_record(), {"clean": SMALL})
    assert store.read(good.spec_id).status == "ok"
    with pytest.raises(StoreError, match="another result"):
        store.write(make_record(status="failed", reason="OutOfMemory"), {})


def test_supersede_sets_aside(tmp_path: Path) -> None:
    store = Store(tmp_path)
    record = store.write(make_record(), {"telemetry": large()})
    kept = store.supersede(record.spec_id)
    assert kept.is_file()
    assert not store.has(record.spec_id)
    assert list(store.records.iterdir()) == []
    with pytest.raises(StoreError, match="aside"):
        store.supersede(record.spec_id)


@pytest.mark.parametrize("name", ["../escape", "a/b", "", ".hidden", "a\0b", "x" * 300, "ü"])
def test_a_spec_id_never_leaves_the_folder(tmp_path: Path, name: str) -> None:
    store = Store(tmp_path)
    with pytest.raises(StoreError, match="no spec id"):
        store.has(name)
    with pytest.raises(StoreError, match="no spec id"):
        store.write(make_record().model_copy(update={"spec_id": name or "/"}), {})


def test_a_parquet_name_in_a_foreign_record_never_leaves_the_folder(tmp_path: Path) -> None:
    store = Store(tmp_path)
    record = store.write(make_record(), {"telemetry": large()})
    path = store.records / f"{record.spec_id}.json"
    data = json.loads(path.read_text())
    data["tables"]["telemetry"]["parquet"] = "../../etc/passwd"
    path.write_text(json.dumps(data))
    with pytest.raises(StoreError, match="not allowed"):
        store.tables(store.read(record.spec_id), "telemetry")


@pytest.mark.parametrize("damage", [b"", b'{"schema_version": 1, "spec', b"\xff\xfe", b'{"schema_version": 9}'])
def test_a_damaged_file_is_named_with_a_way_out(tmp_path: Path, damage: bytes) -> None:
    store = Store(tmp_path)
    record = store.write(make_record(), {})
    (store.records / f"{record.spec_id}.json").write_bytes(damage)
    with pytest.raises(StoreError, match=r"baseline--s0--quick--00000000\.json.*(delete|update)"):
        list(store)


def test_damaged_or_missing_rows_are_noticed(tmp_path: Path) -> None:
    store = Store(tmp_path)
    record = store.write(make_record(), {"telemetry": large()})
    path = store.records / str(record.tables["telemetry"].parquet)
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(StoreError, match="sha256 differs"):
        store.tables(record, "telemetry")
    path.unlink()
    with pytest.raises(StoreError, match="cannot read"):
        store.tables(record, "telemetry")


def test_a_renamed_record_is_noticed(tmp_path: Path) -> None:
    store = Store(tmp_path)
    record = store.write(make_record(), {})
    (store.records / f"{record.spec_id}.json").rename(store.records / "other.json")
    with pytest.raises(StoreError, match="holds the record of"):
        store.read("other")


def test_a_folder_that_cannot_be_written_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot write to the results folder") as caught:
        Store(tmp_path / "file", write=True)
    assert "\n" not in str(caught.value)


def test_a_missing_folder_is_an_empty_store(tmp_path: Path) -> None:
    assert Store(tmp_path / "nothing").ids() == []
    with pytest.raises(StoreError, match="no record"):
        Store(tmp_path / "nothing").read("a")


def test_equal_runs_are_comparable_without_reading_their_parquet(tmp_path: Path) -> None:
    records = [
        Store(tmp_path / str(i)).write(make_record(), {"telemetry": large(seconds=i), "clean": SMALL}) for i in (1, 2)
    ]
    assert comparable(records[0]) == comparable(records[1])


def test_kill_9_leaves_the_old_file_or_the_new_one(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_atomic(path, b"0" * 500_000)
    code = (
        "import sys, itertools, pathlib\nfrom bench.store import write_atomic\n"
        "for i in itertools.cycle(b'12345'): write_atomic(pathlib.Path(sys.argv[1]), bytes([i]) * 500_000)\n"
    )
    for wait in (0.0, 0.01, 0.02):
        child = subprocess.Popen([sys.executable, "-c", code, str(path)])
        started = path.stat().st_ino
        while path.stat().st_ino == started:
            time.sleep(0.005)
        time.sleep(wait)
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
        data = path.read_bytes()
        assert len(data) == 500_000
        assert len(set(data)) == 1
