"""The stage cache: done means whole, kills lose little, keys see every change."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from bench.work import Work, append_line, locked, read_lines, subset
from training.errors import UserError


def test_a_stage_runs_once(tmp_path):
    work, calls = Work(tmp_path), []

    def make(folder):
        calls.append(folder)
        (folder / "file").write_text("x")
        return {"value": 1}

    first, again = work.run("s", "k", make), work.run("s", "k", make)
    assert first == again
    assert first[1] == {"value": 1}
    assert len(calls) == 1
    assert work.done("s", "k") == first[0]
    assert work.done("s", "other") is None


def test_a_crashed_stage_is_not_done_and_starts_clean(tmp_path):
    work = Work(tmp_path)

    def crash(folder):
        (folder / "rubbish").write_text("half")
        raise RuntimeError("boom")

    with pytest.raises(RuntimeError):
        work.run("s", "k", crash)
    assert work.done("s", "k") is None
    folder, _ = work.run("s", "k", lambda folder: {"left": [p.name for p in folder.iterdir()]})
    assert work.run("s", "k", crash)[1] == {"left": []}
    assert not (folder / "rubbish").exists()


def test_a_resumable_stage_finds_what_it_wrote(tmp_path):
    work = Work(tmp_path)

    def crash(folder):
        append_line(folder / "rows", {"id": 1})
        raise RuntimeError("boom")

    with pytest.raises(RuntimeError):
        work.run("s", "k", crash, resumable=True)
    assert work.run("s", "k", lambda folder: {"rows": list(read_lines(folder / "rows"))}, resumable=True)[1] == {
        "rows": [{"id": 1}]
    }


def test_nan_never_reaches_a_file(tmp_path):
    with pytest.raises(ValueError, match="Out of range float"):
        Work(tmp_path).run("s", "k", lambda _: {"x": float("nan")})
    assert Work(tmp_path).done("s", "k") is None


def test_a_torn_last_line_is_dropped_and_a_damaged_one_named(tmp_path):
    path = tmp_path / "rows.jsonl"
    append_line(path, {"id": 1})
    with path.open("a") as stream:
        stream.write('{"id": 2, "te')
    assert list(read_lines(path)) == [{"id": 1}]
    append_line(path, {"id": 3})
    assert [row["id"] for row in read_lines(path)] == [1, 3]
    path.write_text('{"id": 1}\nnot json\n{"id": 3}\n')
    with pytest.raises(UserError, match="line 2 is damaged"):
        list(read_lines(path))
    assert list(read_lines(tmp_path / "absent")) == []


def test_the_subset_is_nested_and_blind_to_order():
    @dataclass
    class Item:
        id: str

    items = [Item(str(i)) for i in range(100)]
    ten = [item.id for item in subset(items, 10)]
    assert ten == [item.id for item in subset(items[::-1], 10)]
    assert [item.id for item in subset(items, 20)][:10] == ten
    assert len(subset(items, None)) == 100
    assert ten != [str(i) for i in range(10)]


def test_one_run_per_folder(tmp_path):
    with locked(tmp_path / "r"), pytest.raises(UserError, match="another run is writing"), locked(tmp_path / "r"):
        pass
    with locked(tmp_path / "r"):
        pass


def test_an_unwritable_folder_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="choose another with --results"), locked(tmp_path / "file" / "r"):
        pass
