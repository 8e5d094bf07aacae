"""The pool: values come back, exceptions are values, a dying worker takes only its own job down."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bench import pool


@dataclass(frozen=True)
class FakeSpec:
    id: str


@dataclass(frozen=True)
class FakeJob:
    spec: FakeSpec
    folder: Path


def work(job: FakeJob, tick: Any) -> str:
    tick("half", 1, 2)
    if job.spec.id == "raises":
        raise ValueError("no luck")
    if job.spec.id == "dies":
        os.kill(os.getpid(), signal.SIGKILL)
    if job.spec.id == "dies once" and not (job.folder / "mark").exists():
        (job.folder / "mark").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return f"done {job.spec.id}"


def jobs(folder: Path, *ids: str) -> list[Any]:
    return [FakeJob(FakeSpec(name), folder) for name in ids]


def test_values_and_exceptions_come_back(tmp_path):
    heard: list[tuple] = []
    found = pool.run_phase(jobs(tmp_path, "a", "b", "raises"), work, 2, lambda *event: heard.append(event))
    assert found["a"] == "done a"
    assert found["b"] == "done b"
    assert isinstance(found["raises"], ValueError)
    assert ("a", "half", 1, 2) in heard


@pytest.mark.slow
def test_a_killed_worker_costs_its_job_and_no_other(tmp_path):
    found = pool.run_phase(jobs(tmp_path, "a", "dies", "dies once", "b"), work, 2, lambda *_: None)
    assert (found["a"], found["b"], found["dies once"]) == ("done a", "done b", "done dies once")
    assert isinstance(found["dies"], ChildProcessError)
    assert "died" in str(found["dies"])


def test_run_here_does_the_same_in_this_process(tmp_path):
    heard: list[tuple] = []
    found = pool.run_here(jobs(tmp_path, "a", "raises"), work, lambda *event: heard.append(event))
    assert found["a"] == "done a"
    assert isinstance(found["raises"], ValueError)
    assert heard[0] == ("a", "half", 1, 2)
