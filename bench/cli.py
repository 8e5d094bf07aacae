"""`temper`: list, fetch, run, report, compare, check, tune, doctor."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from training.errors import UserError

app = typer.Typer(
    help="Which fine-tuning mitigation is worth its cost? Fine-tune, attack, explain, time, compare.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
out = Console()
err = Console(stderr=True)

Results = Annotated[Path, typer.Option("--results", help="Folder of records.")]
LISTS = ("tasks", "mitigations", "recipes", "explainers", "tiers", "presets", "metrics")


def main() -> None:
    """Entry point: user errors become one line and exit code 2, an interrupt exit code 130."""
    try:
        app()
    except UserError as error:
        err.print(f"temper: {error}", style="red", markup=False, highlight=False, soft_wrap=True)
        sys.exit(2)
    except KeyboardInterrupt:
        err.print("temper: stopped; the same command continues where this one was")
        sys.exit(130)


@app.callback()
def _start() -> None:
    from bench.run_checks import check_not_shadowed

    check_not_shadowed()


@app.command("list")
def list_(what: Annotated[str, typer.Argument(help=", ".join(LISTS))] = "") -> None:
    """Shows what there is: tasks, mitigations, recipes, explainers, tiers, presets, metrics."""
    from bench import listing

    if what and what not in LISTS:
        raise UserError(f"cannot list '{what}'. Known: {', '.join(LISTS)}.")
    for name in [what] if what else LISTS:
        out.print(listing.table(name))


@app.command()
def fetch(names: Annotated[list[str] | None, typer.Argument(help="Default: all with open terms.")] = None) -> None:
    """Fetches and verifies the pinned models and data; afterwards everything runs without a network."""
    from bench import fetching

    fetching.fetch_all(names or [], err)


@app.command()
def run(
    tier: Annotated[str | None, typer.Option(help="smoke, quick (default), standard, full or stability.")] = None,
    preset: Annotated[str | None, typer.Option(help="A published protocol, with the sizes of --tier if given.")] = None,
    task: Annotated[list[str] | None, typer.Option(help="A task, or hub:ID@REVISION. Repeatable.")] = None,
    mitigation: Annotated[
        list[str] | None,
        typer.Option(help="fgm, lora+fgm, fgm:epsilon=0.5, all. Repeatable; the baseline always runs."),
    ] = None,
    recipe: Annotated[list[str] | None, typer.Option(help="An attack recipe. Repeatable.")] = None,
    explainer: Annotated[list[str] | None, typer.Option(help="An explainer. Repeatable.")] = None,
    seeds: Annotated[int | None, typer.Option(min=1, help="Training seeds per arm.")] = None,
    model: Annotated[str | None, typer.Option(help="bert-tiny, minilm-l6, a folder, or a hub ID@REVISION.")] = None,
    data: Annotated[Path | None, typer.Option(help="Your own .csv, .tsv, .jsonl or CoNLL file or folder.")] = None,
    epochs: Annotated[int | None, typer.Option(min=1)] = None,
    learning_rate: Annotated[float | None, typer.Option(help="For every arm; else each arm's recorded one.")] = None,
    batch_size: Annotated[int | None, typer.Option(min=1)] = None,
    max_length: Annotated[int | None, typer.Option(min=4, help="Sub-word pieces per text.")] = None,
    early_stopping: Annotated[int | None, typer.Option(min=1, help="Epochs without a better validation score.")] = None,
    head: Annotated[str | None, typer.Option(help="Tagging: token (default) or span.")] = None,
    labelled: Annotated[
        list[float] | None, typer.Option(help="Share of the training labels, 0 to 1; repeat it for a curve.")
    ] = None,
    results: Results = Path("results"),
    jobs: Annotated[int | None, typer.Option(min=1, help="Worker processes; one per core by default.")] = None,
    retry_failed: Annotated[bool, typer.Option(help="Run cells again that failed before.")] = False,
) -> None:
    """Runs every cell that is missing, then writes and prints the leaderboard."""
    from bench import campaign, leaderboard
    from bench.plan import Request
    from bench.report import entities
    from bench.store import Store

    asked = {
        "epochs": epochs,
        "learning_rate": learning_rate,
        "batch_size": batch_size,
        "max_length": max_length,
        "patience": early_stopping,
        "head": head,
    }
    settings: dict[str, Any] = {name: value for name, value in asked.items() if value is not None}
    request = Request(
        tier=tier,
        preset=preset,
        tasks=task or (),
        mitigations=mitigation or (),
        recipes=recipe or (),
        explainers=explainer or (),
        seeds=seeds,
        model=model,
        data=data,
        results=results,
        settings=settings,
        labelled=labelled or (1.0,),
    )
    outcome = campaign.run_all(request, workers=jobs, retry_failed=retry_failed, console=err)
    leaderboard.write(Store(results), results)
    leaderboard.show(Store(results), out)
    entities.show(Store(results), outcome.spec_ids, out, words_too=preset == "founding_ner")
    out.print(f"leaderboard.md, .csv, .tex, .html and .json are in {results}", highlight=False)
    _draw(results, results)
    if outcome.failed:
        raise typer.Exit(1)


@app.command()
def report(results: Results = Path("results"), out_dir: Annotated[Path | None, typer.Option("--out")] = None) -> None:
    """Writes the leaderboard again from the records on disk, and prints it."""
    from bench import leaderboard
    from bench.store import Store

    store = _existing(results, Store)
    leaderboard.write(store, out_dir or results)
    leaderboard.show(store, out)
    _draw(results, out_dir or results)


def _draw(results: Path, folder: Path) -> None:
    from bench.report import gradients
    from bench.store import Store

    if drawn := gradients.write(Store(results), folder):
        out.print(f"{len(drawn)} pictures of gradients are in {folder / 'figures'}", highlight=False)


@app.command()
def compare(baseline: Path, candidate: Path) -> None:
    """Table of paired differences between two results folders."""
    from bench import gate
    from bench.store import Store

    verdict = gate.check(_existing(baseline, Store), _existing(candidate, Store), thresholds=gate_thresholds())
    out.print(gate.table(verdict))


@app.command()
def check(
    baseline: Annotated[Path, typer.Option(help="Results folder to compare against.")],
    candidate: Annotated[Path, typer.Option(help="Results folder to judge.")] = Path("results"),
) -> None:
    """Exit code 0: not worse; 1: worse; 2: bad usage; 3: not comparable."""
    from bench import gate
    from bench.store import Store

    verdict = gate.check(_existing(baseline, Store), _existing(candidate, Store), thresholds=gate_thresholds())
    for reason in verdict.reasons:
        out.print(reason, highlight=False, markup=False, soft_wrap=True)
    out.print(f"verdict: {verdict.status}", highlight=False)
    raise typer.Exit(verdict.exit_code)


def _existing(folder: Path, store: Any) -> Any:
    if not (folder / "records").is_dir():
        raise UserError(f"'{folder}' holds no records; give a folder that `temper run` wrote (it has records/ inside).")
    return store(folder)


def gate_thresholds() -> dict[str, float]:
    """`[tool.temperbench.gate]` of ./pyproject.toml: metric -> smallest difference that matters."""
    import tomllib

    path = Path("pyproject.toml")
    if not path.is_file():
        return {}
    with path.open("rb") as stream:
        found = tomllib.load(stream).get("tool", {}).get("temperbench", {}).get("gate", {})
    for name, value in found.items():
        if not isinstance(value, int | float) or isinstance(value, bool) or value < 0:
            raise UserError(f"[tool.temperbench.gate] {name} = {value!r}: a threshold is a number >= 0.")
    return {name: float(value) for name, value in found.items()}


@app.command()
def tune(
    mitigation: Annotated[list[str], typer.Option(help="Repeatable.")],
    model: Annotated[str, typer.Option()] = "bert-tiny",
    task: Annotated[str, typer.Option()] = "movie_reviews",
    rate: Annotated[list[float] | None, typer.Option(help="The grid; the same for every arm. Repeatable.")] = None,
    trials: Annotated[int | None, typer.Option(min=1, help="Trainings per arm; the grid's number by default.")] = None,
    epochs: Annotated[int, typer.Option(min=1)] = 2,
    jobs: Annotated[int | None, typer.Option(min=1, help="Worker processes; one per core by default.")] = None,
) -> None:
    """Scores learning rates on validation, equally many for every arm, and records them for later runs (optuna)."""
    from bench import tuning

    tuning.tune(mitigation, model, task, rate or list(tuning.GRID), epochs, err, trials, jobs)


@app.command()
def doctor() -> None:
    """What works on this machine, what is missing, and how to get it."""
    from bench import doctoring

    out.print(doctoring.table())


if __name__ == "__main__":
    main()
