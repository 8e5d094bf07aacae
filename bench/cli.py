"""`temper`: list, fetch, run, report, replay, explain, pictures, tune, doctor; more in bench/gate/commands.py."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from bench.gate import commands
from bench.gate.settings import gate_thresholds as gate_thresholds
from training.errors import UserError

if TYPE_CHECKING:
    from bench.report.making import Made
    from bench.store import Store

app = typer.Typer(
    help="Which fine-tuning mitigation is worth its cost? Fine-tune, attack, explain, time, compare.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
out = Console()
err = Console(stderr=True)

Results = Annotated[Path, typer.Option("--results", help="Folder of records.")]
INTERRUPTED = 130
LISTS = ("tasks", "mitigations", "recipes", "explainers", "tiers", "presets", "metrics")


def main() -> None:
    """Entry point: user errors become one line and exit code 2, an interrupt exit code 130."""
    try:
        app()
    except UserError as error:
        err.print(f"temper: {error}", style="red", markup=False, highlight=False, soft_wrap=True)
        sys.exit(2)
    except SystemExit as stop:
        if stop.code == INTERRUPTED:  # typer's own answer to Ctrl-C, which says nothing
            err.print("temper: stopped; the same command continues where this one was")
        raise


def _readable(text: str | None) -> str | None:
    """An argument in another encoding than the terminal's reaches Python as half characters, which no model reads."""
    try:
        (text or "").encode()
    except UnicodeEncodeError as error:
        raise UserError(f"the sentence is not UTF-8 from character {error.start + 1} on; write it as UTF-8.") from error
    return text


@app.callback()
def _start() -> None:
    from bench.run_checks import check_not_shadowed

    check_not_shadowed()


@app.command("list")
def list_(
    what: Annotated[str, typer.Argument(help=", ".join(LISTS))] = "",
    verbose: Annotated[bool, typer.Option("--verbose", help="Recipes: also what their authors use.")] = False,
) -> None:
    """Shows what there is: tasks, mitigations, recipes, explainers, tiers, presets, metrics."""
    from bench import listing

    if what and what not in LISTS:
        raise UserError(f"cannot list '{what}'. Known: {', '.join(LISTS)}.")
    for name in [what] if what else LISTS:
        out.print(listing.table(name, verbose=verbose))


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
    regime: Annotated[
        str, typer.Option(help="Attack rules beyond the recipes' own: default, fixed (equal for all) or strict.")
    ] = "default",
    adaptive: Annotated[bool, typer.Option(help="standard, full: attack again, harder, what survived.")] = False,
    goal: Annotated[
        str | None, typer.Option(help="Tagging: untargeted (default), drop, relabel, invent or split an entity.")
    ] = None,
    results: Results = Path("results"),
    jobs: Annotated[int | None, typer.Option(min=1, help="Worker processes; one per core by default.")] = None,
    retry_failed: Annotated[bool, typer.Option(help="Run cells again that failed before.")] = False,
) -> None:
    """Runs every cell that is missing, then writes and prints the leaderboard."""
    from bench import campaign, leaderboard
    from bench.plan import Request
    from bench.report import entities, making
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
        regime=regime,
        adaptive=adaptive,
        goal=goal,
    )
    outcome = campaign.run_all(request, workers=jobs, retry_failed=retry_failed, console=err)
    made = making.make(Store(results), results)
    leaderboard.show(made.boards, out, outcome.spec_ids)
    entities.show(Store(results), outcome.spec_ids, out, words_too=preset == "founding_ner")
    out.print(f"leaderboard.md, .csv, .tex, .html and .json are in {results}", highlight=False)
    _draw(made, Store(results), results)
    if outcome.failed:
        raise typer.Exit(1)


@app.command()
def report(
    results: Results = Path("results"),
    out_dir: Annotated[Path | None, typer.Option("--out")] = None,
    figures: Annotated[bool | None, typer.Option(help="Pictures of gradients; drawn for up to 500 runs.")] = None,
) -> None:
    """Writes the leaderboard and the report page (index.html) again from the records on disk, and prints the board."""
    from bench import leaderboard
    from bench.report import making

    store = commands.existing(results)
    made = making.make(store, out_dir or results)
    leaderboard.show(made.boards, out)
    _draw(made, store, out_dir or results, figures)


def _draw(made: Made, store: Store, folder: Path, figures: bool | None = None) -> None:
    from bench.report import gradients, history

    out.print(f"the report page is {made.page}; it opens from disk", highlight=False, soft_wrap=True)
    runs = sum(len(arm.records) for board in made.boards for arm in board.arms)
    if figures is None and runs > gradients.MOST_RUNS:
        out.print(f"no pictures of {runs} runs' gradients: see the page, or use --figures", highlight=False)
    elif figures is not False and (drawn := gradients.write(store, folder, made.boards)):
        out.print(f"{len(drawn)} pictures of gradients are in {folder / 'figures'}", highlight=False)
    if pictures := history.write(made.lines, folder):
        out.print(f"the history over releases is in {pictures[0].parent}", highlight=False, soft_wrap=True)


commands.add(app, out, err)


@app.command()
def replay(
    source: Annotated[Path, typer.Argument(help="A results folder, one of its records, or a .jsonl file.")],
    model: Annotated[Path | None, typer.Option(help="A checkpoint folder; else every arm of the folder.")] = None,
    out_file: Annotated[Path | None, typer.Option("--out", help="Where the texts go; a .jsonl file.")] = None,
) -> None:
    """Scores adversarial texts again, on any checkpoint. Exit code 1: a model is no longer fooled by its own."""
    from bench.robustness import artefacts
    from bench.robustness import replay as replaying

    found = artefacts.open_source(source, out_file)
    scores, notes = replaying.replay(found, model)
    out.print(replaying.table(scores))
    for line in (*notes, *replaying.broken(scores)):
        err.print(line, highlight=False, markup=False, soft_wrap=True)
    out.print(f"{len(found.examples)} adversarial texts are in {found.file}", highlight=False, markup=False)
    if replaying.broken(scores):
        raise typer.Exit(1)


@app.command()
def explain(
    text: Annotated[str, typer.Option(help="A sentence of your own.", callback=_readable)],
    run_id: Annotated[str | None, typer.Option("--run", help="The id of a run, or the beginning of it.")] = None,
    model: Annotated[Path | None, typer.Option(help="The folder of a fine-tuned checkpoint, instead of --run.")] = None,
    explainer: Annotated[list[str] | None, typer.Option(help="Repeatable; integrated_gradients by default.")] = None,
    results: Results = Path("results"),
    out_file: Annotated[Path | None, typer.Option("--out", help="The page; in the results folder by default.")] = None,
) -> None:
    """Shows which words of your own sentence a model's answer rests on, here and as an HTML page."""
    from bench.explanations import explain_command

    page = out_file or results / "explanation.html"
    explain_command.run(run_id, model, text, explainer or ["integrated_gradients"], results, page, out)


@app.command()
def pictures(
    results: Results = Path("results"),
    out_dir: Annotated[Path | None, typer.Option("--out", help="Default: pictures/ in the results folder.")] = None,
    text: Annotated[str | None, typer.Option(help="Of the texts explained, by number from 1 or by id.")] = None,
    sentence: Annotated[
        str | None, typer.Option(help="Of your own, explained by every run's checkpoint.", callback=_readable)
    ] = None,
    explainer: Annotated[str | None, typer.Option(help="integrated_gradients by default.")] = None,
    mitigation: Annotated[list[str] | None, typer.Option(help="Repeatable; all in the grid by default.")] = None,
    board: Annotated[str | None, typer.Option(help="A part of its name, such as the task.")] = None,
    seed: Annotated[int | None, typer.Option(help="Default: the lowest with attributions.")] = None,
    stored: Annotated[bool, typer.Option("--stored", help="Draw the records alone, open no checkpoint.")] = False,
    over: Annotated[int | None, typer.Option(min=1, help="Also mean curves over this many texts.")] = None,
) -> None:
    """Draws what the models rest on for one text: a row per mitigation, attacked pairs, curves, layers, entities."""
    from bench.report.gallery import command

    asked = command.Asked(text, sentence, explainer, mitigation or (), board, seed, not stored, over)
    command.run(asked, commands.existing(results), out_dir or results / "pictures", out)


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
