"""`temper fetch` with bars: download, verify, then derive the attack lexicon.

`masked-lm` is not downloaded but trained here from what is: minutes of work, so it is made only when named.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from bench import sources
from training import resources
from training.catalogue import KNOWN
from training.resources import Resources

LEXICON_NEEDS = ("wordnet", "glove", "minilm-l6")
MASKED_LM = "masked-lm"
MASKED_LM_NEEDS = ("bert-tiny", "vader")
TENTHS = 10  # plain lines of a training where the output is no terminal


def fetch_all(names: Sequence[str], console: Console) -> None:
    """Fetches `names` (by default all with open terms), then builds the attack lexicon. Raises UserError.

    The name `masked-lm` fetches what the masked language model is made of, and trains it.
    """
    train = MASKED_LM in names
    if train:
        names = list(dict.fromkeys([*(name for name in names if name != MASKED_LM), *MASKED_LM_NEEDS]))
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
    if train:
        _train_masked_lm(held, console)
    console.print(f"everything is verified and in {held.cache}", highlight=False, soft_wrap=True)


def _train_masked_lm(held: Resources, console: Console) -> None:
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("steps"),
        TimeRemainingColumn(compact=True),
        console=console,
        transient=True,
    )
    task, started = bar.add_task("masked language model", total=None), time.monotonic()

    def show(done: int, total: int) -> None:
        bar.update(task, completed=done, total=total)
        if not console.is_terminal and done % max(1, total // TENTHS) == 0:
            left = (time.monotonic() - started) * (total - done) / done / 60
            console.print(f"masked language model: {done} of {total} steps, about {left:.1f} min left", highlight=False)

    with bar if console.is_terminal else _Silent():
        made = sources.build_masked_lm(held, show)
    said = ", ".join(f"{name} {value:g}" for name, value in made["held_out"].items())
    console.print(f"masked language model: on held-out texts {said}", highlight=False)


class _Silent:
    """Stands in for the bar where the output is no terminal."""

    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None: ...
