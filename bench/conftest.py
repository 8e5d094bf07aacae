"""Options, cells and the leaderboard of `pytest bench/ --benchmark-only`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from bench import campaign, environment, leaderboard
from bench.campaign import Outcome
from bench.gate.commands import existing
from bench.gate.settings import gate_thresholds
from bench.plan import Request, plan
from bench.report import making
from bench.run import Job
from bench.store import Store
from training.errors import UserError


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("temperbench")
    group.addoption("--tier", default="quick", help="smoke, quick (default), standard or full")
    group.addoption("--task", action="append", default=[], help="a task; repeatable; the tier's by default")
    group.addoption("--mitigation", action="append", default=[], help="a mitigation; repeatable")
    group.addoption("--recipe", action="append", default=[], help="an attack recipe; repeatable")
    group.addoption("--explainer", action="append", default=[], help="an explainer; repeatable")
    group.addoption("--seeds", type=int, default=None, help="training seeds per arm")
    group.addoption("--model", default=None, help="an embedded model, a folder or a hub ID@REVISION")
    group.addoption("--results", type=Path, default=Path("results"), help="folder of records")
    group.addoption("--baseline", type=Path, default=None, help="fail when worse than the records of this folder")
    group.addoption("--workers", type=int, default=None, help="processes; one per core by default")


def request_of(config: pytest.Config) -> Request:
    option = config.getoption
    return Request(
        tier=option("--tier"),
        tasks=option("--task"),
        mitigations=option("--mitigation"),
        recipes=option("--recipe"),
        explainers=option("--explainer"),
        seeds=option("--seeds"),
        model=option("--model"),
        results=option("--results"),
    )


def pytest_configure(config: pytest.Config) -> None:
    # third parties' deprecations must not end a run of hours; the suite's own tests keep them as errors
    config.addinivalue_line("filterwarnings", "default")
    config.addinivalue_line("markers", "first_seed_only: one benchmark per mitigation, not per seed")
    folder = config.getoption("--baseline")
    if folder is not None:  # before the run, not at its end
        try:
            existing(folder)
            gate_thresholds()
        except UserError as error:
            raise pytest.UsageError(str(error)) from error


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "job" not in metafunc.fixturenames:
        return
    try:
        jobs = plan(request_of(metafunc.config))
    except UserError as error:
        raise pytest.UsageError(str(error)) from error
    one_seed = "first_seed_only" in {mark.name for mark in metafunc.definition.iter_markers()}
    chosen = [job for job in jobs if job.spec.seed == 0] if one_seed else jobs
    metafunc.parametrize("job", chosen, ids=[_short(job) for job in chosen])


def _short(job: Job) -> str:
    return f"{job.spec.task}-{job.spec.mitigation}-s{job.spec.seed}"


@pytest.fixture(scope="session")
def outcome(request: pytest.FixtureRequest) -> Outcome:
    """All cells of the request, computed by worker processes before the first benchmark is timed."""
    config = request.config
    capture = config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled() if capture else _nothing():
        console = Console(stderr=True)
        console.print()
        return campaign.run_all(request_of(config), workers=config.getoption("--workers"), console=console)


class _nothing:  # noqa: N801
    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None: ...


@pytest.fixture(scope="session")
def store(outcome: Outcome, request: pytest.FixtureRequest) -> Store:
    """The results folder, with the leaderboard written."""
    folder = request.config.getoption("--results")
    filled = Store(folder)
    making.make(filled, folder)
    request.config.stash[_SHOWN] = filled, outcome.spec_ids
    return filled


_SHOWN = pytest.StashKey[tuple[Store, list[str]]]()


def pytest_benchmark_update_machine_info(config: pytest.Config, machine_info: dict[str, Any]) -> None:
    """Replaces the host name, which makes two containers of one machine look different, by what matters."""
    machine_info.pop("node", None)
    machine_info["temperbench"] = environment.collect(device="see records")


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """The leaderboard, after pytest-benchmark's table of times."""
    shown = config.stash.get(_SHOWN, None)
    if shown is None:
        return
    terminalreporter.section("TemperBench leaderboard")
    leaderboard.show(shown[0], Console(), shown[1])
    folder = config.getoption("--results")
    terminalreporter.write_line(f"index.html (the report page) and leaderboard.md, .csv, .tex, .html, .json: {folder}")
