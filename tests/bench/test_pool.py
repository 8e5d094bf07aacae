"""The pool: values come back, exceptions are values, a dying worker takes only its own job down."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
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
        # the pool ends with its first dead worker: the other one is to have begun
        deadline = time.monotonic() + 20
        while not (job.folder / "mark").exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGKILL)
    if job.spec.id == "dies once" and not (job.folder / "mark").exists():
        (job.folder / "mark").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return f"done {job.spec.id}"


def lasting(job: FakeJob, tick: Any) -> None:
    """Leaves its process id in the folder and goes on for a minute."""
    (job.folder / f"{job.spec.id}.pid").write_text(str(os.getpid()))
    time.sleep(60)


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


def running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_stopped_run_takes_its_workers_along_and_begins_nothing_more(tmp_path, how):
    """The signal goes to the run alone, as from `kill`: no worker may write on into a folder that is free again."""
    code = (
        "import signal, sys; from pathlib import Path; from tests.bench.test_pool import jobs, lasting\n"
        "from bench import pool\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "if __name__ == '__main__':\n"
        "    pool.run_phase(jobs(Path(sys.argv[1]), 'a', 'b', 'c', 'd'), lasting, 1, lambda *_: None)\n"
    )
    (tmp_path / "script.py").write_text(code)
    house = str(Path(pool.__file__).parent.parent)
    process = subprocess.Popen(
        [sys.executable, str(tmp_path / "script.py"), str(tmp_path)],
        cwd=house, env={**os.environ, "PYTHONPATH": house}, stderr=subprocess.PIPE,
    )  # fmt: skip
    with process:
        deadline = time.monotonic() + 40
        while not (tmp_path / "a.pid").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(0.2)
        worker = int((tmp_path / "a.pid").read_text())
        process.send_signal(how)
        process.wait(timeout=20)
    deadline = time.monotonic() + 10
    while running(worker) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not running(worker)
    assert sorted(path.name for path in tmp_path.glob("*.pid")) == ["a.pid"]


def test_run_here_does_the_same_in_this_process(tmp_path):
    heard: list[tuple] = []
    found = pool.run_here(jobs(tmp_path, "a", "raises"), work, lambda *event: heard.append(event))
    assert found["a"] == "done a"
    assert isinstance(found["raises"], ValueError)
    assert heard[0] == ("a", "half", 1, 2)
