"""`temper fetch` with bars: download, verify, then derive the attack lexicon."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from bench import sources
from training import resources
from training.catalogue import KNOWN
from training.resources import Resources

LEXICON_NEEDS = ("wordnet", "glove", "minilm-l6")


def fetch_all(names: Sequence[str], console: Console) -> None:
    """Fetches `names` (by default all with open terms), then builds the attack lexicon. Raises UserError."""
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TimeRemainingColumn(compact=True),
        console=console,
        transient=True,
    )
    for name in names:
        if name in KNOWN and KNOWN[name].by_name:
            console.print(f"{name}: {KNOWN[name].licence}", highlight=False, soft_wrap=True)
    tasks: dict[str, int] = {}
    seen: set[tuple[str, str]] = set()

    def show(name: str, done: int, total: int | None, phase: str) -> None:
        if not console.is_terminal and (name, phase) not in seen:
            seen.add((name, phase))
            console.print(f"{name}: {phase}", highlight=False)
        if name not in tasks:
            tasks[name] = bar.add_task(name, total=total)
        bar.update(bar.task_ids[list(tasks).index(name)], description=f"{name}: {phase}", completed=done, total=total)

    def show_build(step: str) -> None:
        show("attack lexicon", 0, None, step)

    with bar if console.is_terminal else _Silent():
        resources.fetch(names, progress=show)
        held = Resources()
        if all(held.has(name) for name in LEXICON_NEEDS):
            sources.build_lexicon(held, show_build)
    console.print(f"everything is verified and in {held.cache}", highlight=False, soft_wrap=True)


class _Silent:
    """Stands in for the bar where the output is no terminal."""

    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None: ...
