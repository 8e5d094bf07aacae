"""What a long run shows: a bar with an ETA on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from bench.keys import attack_mode
from bench.metrics import TAGS
from bench.spec import Spec

# rough relative cost of one unit of each stage, in steps of plain training; only the ETA depends on them
STEP = 1.0
UNIT = {
    "deepwordbug": 0.4,
    "textfooler": 2.0,
    "ner_deepwordbug": 0.4,
    "ner_textfooler": 2.0,
    "entity_swap": 0.4,
    "embedding_pgd": 0.5,
}
OTHER_RECIPE = 2.0
RAW = 0.3  # the raw attack finds most of its queries answered by the calibrated one
EXPLAINED = 3.5
EVALUATED = 60.0
MEASURED = 60.0
LINE_EVERY = 20.0


class Work:
    """The weight of every stage of the planned cells, and how much of it is done."""

    def __init__(
        self, specs: Sequence[Spec], training_steps: Callable[[Spec], int], attacked: Callable[[Spec], bool]
    ) -> None:
        self.weights: dict[tuple[str, str], float] = {}
        self.done: dict[tuple[str, str], float] = {}
        for spec in specs:
            measured = MEASURED if spec.sizes.throughput_rounds else 0.0
            parts = {"train": training_steps(spec) * STEP, "evaluate": EVALUATED, "throughput": measured}
            if attacked(spec):
                for recipe in spec.recipes:
                    cost = spec.sizes.attacked * UNIT.get(recipe, OTHER_RECIPE)
                    parts |= {f"{recipe}:calibrated": cost, f"{recipe}:raw": RAW * cost}
                parts["explain"] = spec.sizes.explained * EXPLAINED if spec.explainers else 0.0
            else:
                tagging = [recipe for recipe in spec.recipes if attack_mode(recipe) == TAGS]
                parts |= {f"{r}:{TAGS}": spec.sizes.attacked * UNIT.get(r, OTHER_RECIPE) for r in tagging}
            self.weights |= {(spec.id, stage): weight for stage, weight in parts.items()}

    def advance(self, spec_id: str, stage: str, done: int, total: int) -> None:
        self.done[spec_id, stage] = done / max(1, total)

    def finish(self, spec_id: str, stages: Sequence[str] | None = None) -> None:
        """Counts a cell's stages (all of them by default) as done: they were cached, or will not come."""
        for key in self.weights:
            if key[0] == spec_id and (stages is None or key[1] in stages):
                self.done[key] = 1.0

    @property
    def share(self) -> float:
        total = sum(self.weights.values())
        return sum(self.weights[key] * share for key, share in self.done.items() if key in self.weights) / max(
            total, 1e-9
        )


class Display:
    """Context manager around a run; `update` may be called from any thread."""

    def __init__(self, work: Work, labels: dict[str, str], console: Console | None = None) -> None:
        self.work, self.labels = work, labels
        self.console = console or Console(stderr=True)
        self.bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            TimeElapsedColumn(),
            TextColumn("ETA"),
            TimeRemainingColumn(compact=True, elapsed_when_finished=True),
            console=self.console,
            transient=True,
            speed_estimate_period=600,
        )
        self.started = self.last_line = time.monotonic()
        self.start_share = 0.0

    def __enter__(self) -> Display:
        self.start_share = self.work.share
        self.task = self.bar.add_task("starting", total=1.0)
        if self.console.is_terminal:
            self.bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.console.is_terminal:
            self.bar.stop()

    def update(self, spec_id: str, stage: str, done: int, total: int) -> None:
        """One event of a worker."""
        if stage in ("start", "end"):
            return
        self.work.advance(spec_id, stage, done, total)
        text = f"{self.labels.get(spec_id, spec_id)}: {stage} {done}/{total}"
        self.bar.update(self.task, completed=self.work.share, description=text[:60].ljust(60))
        now = time.monotonic()
        if not self.console.is_terminal and now - self.last_line >= LINE_EVERY:
            self.last_line = now
            self.console.print(f"{self.work.share:4.0%}  {text}  {self._eta()}", highlight=False, soft_wrap=True)

    def note(self, text: str) -> None:
        """A line that stays."""
        self.console.print(text, highlight=False, soft_wrap=True)

    def _eta(self) -> str:
        gained = self.work.share - self.start_share
        if gained <= 0.005:
            return "ETA: measuring"
        left = max(0.0, (time.monotonic() - self.started) * (1 - self.work.share) / gained)
        return f"ETA {left / 60:.0f} min" if left >= 90 else f"ETA {left:.0f} s"


@contextmanager
def bar(text: str, total: int) -> Iterator[Callable[[], None]]:
    """A bar with an ETA for work of `total` equal parts; call what it yields after each."""
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TextColumn("ETA"),
        TimeRemainingColumn(compact=True),
        console=Console(stderr=True),
        transient=True,
    ) as progress:
        task = progress.add_task(text, total=total)
        yield lambda: progress.advance(task)
