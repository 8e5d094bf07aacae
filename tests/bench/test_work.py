"""The stage cache: done means whole, kills lose little, keys see every change."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from attacks.outcome import Outcome
from bench.work import Journal, Work, append_line, locked, read_lines, subset
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


@dataclass(frozen=True)
class Found:
    """An example as a stage finishes it."""

    id: str
    text: str

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, row: dict[str, Any]) -> Found:
        return cls(**row)


def test_a_journal_takes_over_what_is_there_and_counts_on(tmp_path):
    told: list[int] = []
    first = Journal(tmp_path / "j", Found.from_dict, told.append)
    assert first.finished == {}
    first.append(Found("b", "\u2028 \n é"))
    first.append(Found("a", "x"))
    again = Journal(tmp_path / "j", Found.from_dict, told.append)
    assert list(again.finished.values()) == [Found("b", "\u2028 \n é"), Found("a", "x")]
    again.append(Found("c", "y"))
    assert told == [1, 2, 3]
    assert list(Journal(tmp_path / "j", Found.from_dict).finished) == ["b", "a", "c"]


@pytest.mark.parametrize("torn", ['{"id": "c", "te', '{"id": "c", "text": "\u00e9"}', "{"])
def test_a_journal_cuts_a_torn_last_line_and_goes_on_behind_the_whole_ones(tmp_path, torn):
    path = tmp_path / "j"
    whole = '{"id": "a", "text": "x"}\n{"id": "b", "text": "é"}\n'
    path.write_bytes((whole + torn).encode()[:-1] if torn.endswith("}") else (whole + torn).encode())
    journal = Journal(path, Found.from_dict)
    assert list(journal.finished) == ["a", "b"]
    assert path.read_text(encoding="utf8") == whole
    journal.append(Found("c", "z"))
    assert list(Journal(path, Found.from_dict).finished.values())[-1] == Found("c", "z")


def test_a_torn_line_is_cut_without_writing_the_others_again(tmp_path, monkeypatch):
    path = tmp_path / "j"
    path.write_text('{"id": "a", "text": "x"}\n{"id"')
    monkeypatch.setattr(Path, "write_bytes", lambda *_: pytest.fail("a kill in here would lose every line"))
    assert list(Journal(path, Found.from_dict).finished) == ["a"]


def test_kill_9_loses_no_finished_example(tmp_path):
    code = (
        "from pathlib import Path; from tests.bench.test_work import Found; from bench.work import Journal\n"
        f"journal = Journal(Path({str(tmp_path / 'j')!r}), Found.from_dict)\n"
        "for i in range(10**9):\n"
        "    journal.append(Found(str(len(journal.finished)), 'x' * 30_000)); print(i, flush=True)\n"
    )
    done = 0
    for _ in range(2):
        with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as child:
            for _ in range(5):
                assert child.stdout is not None
                child.stdout.readline()
            os.kill(child.pid, signal.SIGKILL)
        known = Journal(tmp_path / "j", Found.from_dict).finished
        assert len(known) >= done + 5
        assert list(known) == [str(i) for i in range(len(known))]
        assert all(found.text == "x" * 30_000 for found in known.values())
        done = len(known)


def test_a_file_from_before_journals_is_taken_over(tmp_path):
    """The lines as the attack stages wrote them, one after the other."""
    (tmp_path / "outcomes.jsonl").write_text(
        '{"id": "16-digits", "status": "success", "text": "a fine film", "perturbed": "a fien film", "label": 1, '
        '"probabilities_before": [0.1, 0.9], "probabilities_after": [0.6, 0.4], "queries": 12, "words": 3, '
        '"words_changed": 1, "seconds": 0.02, "error": null}\n'
    )
    known = Journal(tmp_path / "outcomes.jsonl", Outcome.from_dict).finished
    assert known["16-digits"].perturbed == "a fien film"
    before = (tmp_path / "outcomes.jsonl").read_text()
    (tmp_path / "outcomes.jsonl").unlink()
    Journal(tmp_path / "outcomes.jsonl", Outcome.from_dict).append(known["16-digits"])
    assert (tmp_path / "outcomes.jsonl").read_text() == before


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
