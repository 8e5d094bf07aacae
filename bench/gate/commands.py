"""The commands of `temper` about releases: compare, check, release, bisect, plan."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from bench.gate.settings import ARMS, COMPARISONS
from training.errors import UserError

if TYPE_CHECKING:
    from bench.store import Store

Baseline = Annotated[Path | None, typer.Option(help="Results folder to compare against.")]
Candidate = Annotated[Path, typer.Option(help="Results folder to judge.")]


def add(app: typer.Typer, out: Console, err: Console) -> None:
    """Adds the commands to `app`; what they say goes to `out`, what is only said beside it to `err`."""
    _add_compare(app, out)
    _add_check(app, out)
    _add_release(app, out)
    _add_bisect(app, out, err)
    _add_plan(app, out)


def existing(folder: Path) -> Store:
    """The store of a folder. Raises UserError where it holds no records."""
    from bench.store import Store

    if not (folder / "records").is_dir():
        raise UserError(f"'{folder}' holds no records; give a folder that `temper run` wrote (it has records/ inside).")
    return Store(folder)


def _add_compare(app: typer.Typer, out: Console) -> None:
    @app.command()
    def compare(baseline: Path, candidate: Path) -> None:
        """Table of paired differences between two results folders."""
        from bench.gate import checking
        from bench.gate.settings import gate_thresholds

        verdict = checking.check(existing(baseline), existing(candidate), thresholds=gate_thresholds())
        out.print(checking.table(verdict))
        # what is no row of the table
        _say(out, [*(reason for reason in verdict.worse if " -> " not in reason), *verdict.apart])


def _add_check(app: typer.Typer, out: Console) -> None:
    @app.command()
    def check(
        baseline: Baseline = None,
        candidate: Candidate = Path("results"),
        non_inferiority: Annotated[
            bool, typer.Option("--non-inferiority", help="The candidate must show that it is not worse.")
        ] = False,
        junit: Annotated[Path | None, typer.Option(help="Write JUnit XML to this file.")] = None,
        github: Annotated[bool, typer.Option("--github", help="Print GitHub annotations.")] = False,
        summary: Annotated[Path | None, typer.Option(help="Add a Markdown summary to this file.")] = None,
        table: Annotated[
            Path | None, typer.Option(help="Instead of folders: a CSV with name, before, after; suite-wide drift only.")
        ] = None,
        metric: Annotated[str, typer.Option(help="What the numbers of --table are.")] = "clean_accuracy",
    ) -> None:
        """Exit code 0: not worse; 1: worse; 2: bad usage; 3: not comparable."""
        if (baseline is None) == (table is None):
            raise UserError("give either --baseline FOLDER, to compare records, or --table FILE, to test for drift.")
        if table is not None:
            if non_inferiority or junit or github or summary:
                raise UserError("--table knows suite-wide drift alone; leave the other options out.")
            raise typer.Exit(_drift(table, metric, out))
        assert baseline is not None  # noqa: S101 (said above, for the type checker)
        raise typer.Exit(_check(baseline, candidate, non_inferiority, junit, github, summary, out))


def _drift(table: Path, metric: str, out: Console) -> int:
    from bench.gate import drift
    from bench.gate.settings import gate_thresholds

    limits = gate_thresholds()
    found = drift.of_table(table, metric, limits.get(metric, limits.get(metric.partition(":")[0])))
    _say(out, [found.text, f"verdict: {'same' if found.verdict in ('quiet', 'small') else found.verdict}"])
    return 1 if found.verdict == "worse" else 0


def _check(
    baseline: Path, candidate: Path, non_inferiority: bool, junit: Path | None, github: bool, summary: Path | None,
    out: Console,
) -> int:  # fmt: skip
    from bench.gate import checking, outputs
    from bench.gate.settings import gate_thresholds

    verdict = checking.check(
        existing(baseline), existing(candidate), thresholds=gate_thresholds(), non_inferiority=non_inferiority
    )
    if junit is not None:
        outputs.write(junit, outputs.junit(verdict))
    if summary is not None:
        outputs.write(summary, outputs.summary(verdict), append=True)
    _say(out, [*verdict.reasons, *(outputs.github(verdict) if github else []), f"verdict: {verdict.status}"])
    return verdict.exit_code


def _say(out: Console, lines: list[str]) -> None:
    for line in lines:
        out.print(line, highlight=False, markup=False, soft_wrap=True)


def _add_release(app: typer.Typer, out: Console) -> None:
    @app.command()
    def release(
        name: Annotated[str, typer.Argument(help="Letters, digits and ._+-, like v1.")],
        results: Annotated[Path, typer.Option(help="Folder of records.")] = Path("results"),
    ) -> None:
        """Keeps the records of a results folder as a named release; `temper report` shows the history over them."""
        from bench.gate import releases

        place = releases.save(results, name)
        _say(out, [f"{place} holds the records; compare with: temper check --baseline {place}"])


def _add_bisect(app: typer.Typer, out: Console, err: Console) -> None:
    @app.command()
    def bisect(
        baseline: Annotated[Path, typer.Option(help="Results folder to compare against.")],
        candidate: Candidate = Path("results"),
        run: Annotated[bool, typer.Option("--run", help="Run the worst cell once more, to tell noise.")] = False,
        again: Annotated[Path | None, typer.Option(help="Where that run's records go; new for every run.")] = None,
        data: Annotated[Path | None, typer.Option(help="The file or folder of a task of your own.")] = None,
        task: Annotated[str | None, typer.Option(help="A task from the hub, hub:ID@COMMIT.")] = None,
        model: Annotated[str | None, typer.Option(help="A model that is none of the suite's.")] = None,
    ) -> None:
        """What differs between two sets of records, and which single run tells noise from a cause."""
        from bench.gate import bisection, checking
        from bench.gate.settings import gate_thresholds

        before, after = existing(baseline), existing(candidate)
        _say(out, bisection.causes(before, after).lines())
        record, metric = bisection.worst_arm(before, after, checking.check(before, after, thresholds=gate_thresholds()))
        folder = again or candidate / "bisect"
        request = bisection.asked(record, data=data, task=task, model=model)
        _say(out, [f"worst cell: {record.spec['mitigation']}, {metric}, seed {record.spec['seed']}"])
        if not run:
            line = bisection.command(request, folder)
            _say(out, [f"to tell noise, run it once more (--run does it and compares): {line}"])
            return
        _say(out, [bisection.rerun(request, record, after, folder, err)])


def _add_plan(app: typer.Typer, out: Console) -> None:
    @app.command()
    def plan(
        effect: Annotated[str, typer.Option(help="The difference to be found: 3pp, or 0.03.")],
        power: Annotated[float, typer.Option(help="With which chance it is to be found.")] = 0.8,
        metric: Annotated[str, typer.Option(help="A metric per example.")] = "clean_accuracy",
        results: Annotated[Path | None, typer.Option(help="Take the noise from the records of this folder.")] = None,
        comparisons: Annotated[int, typer.Option(min=1, help="Cells that are corrected for.")] = COMPARISONS,
        arms: Annotated[int, typer.Option(min=1, help="Arms in each of the two sets.")] = ARMS,
    ) -> None:
        """How many seeds and examples a difference of that size needs to be found."""
        from bench.gate import planner

        store = existing(results) if results else None
        for line in planner.answer(effect, power, metric, store, comparisons, arms):
            out.print(line, highlight=False, soft_wrap=isinstance(line, str))
