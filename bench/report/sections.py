"""A board as tables of printed cells, the same for every format."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bench import metrics
from bench.board import Arm, Board
from bench.metrics import Missing
from bench.stats import Difference, Interval

UNKNOWN = "—"
FORMATS = {"share": "{:.1f}", "x": "{:.2f}", "gap": "{:.3f}", "tau": "{:.3f}", "s": "{:.1f}"}
UNITS = {"share": "%", "x": "x"}
ARROWS = {"higher": "↑", "lower": "↓", None: ""}
SECTIONS = {"clean": "Accuracy and calibration", "ood": "Accuracy and calibration", "attack": "Robustness"}
SECTIONS |= {"transfer": "Robustness", "explain": "Explanations"}
TITLES = ("Accuracy and calibration", "Robustness", "Explanations", "Cost")
# what a newcomer looks at first; the terminal shows these beside the verdict
HEADLINES = (
    "ood_accuracy", "ood_f1", "aua_calibrated", "transfer_accuracy", "ece_calibrated", "dnaopc", "drift_tau",
    "step_time_ratio", "peak_memory_ratio", "trainable_share",
)  # fmt: skip


@dataclass(frozen=True)
class Cell:
    """Printed text, the number to sort by (None sorts last) and why there is none."""

    text: str
    number: float | None = None
    hint: str = ""


@dataclass(frozen=True)
class Section:
    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]


def number(value: float, unit: str) -> str:
    """A value as printed: shares in percent, everything else in its own unit."""
    return FORMATS.get(unit, "{:.1f}").format(100 * value if unit == "share" else value)


def measured(cell: Interval | Missing, unit: str, *, interval: bool = True) -> Cell:
    """`83.1 [80.2, 85.7]`; the value alone where the interval is infinite; a dash and the status where unknown."""
    if isinstance(cell, Missing):
        return Cell(f"{UNKNOWN} {cell.status.replace('_', ' ')}", None, cell.reason)
    if cell.value is None:
        return Cell(UNKNOWN)
    text = number(cell.value, unit)
    if interval and cell.low is not None and cell.high is not None:
        text += f" [{number(cell.low, unit)}, {number(cell.high, unit)}]"
    return Cell(text, cell.value, f"{cell.n} examples, {cell.seeds} seeds" if cell.n else f"{cell.seeds} seeds")


def points(difference: Difference | None, unit: str, direction: str | None = None) -> Cell:
    """A difference to the baseline, signed, in percentage points for shares."""
    if difference is None:
        return Cell(UNKNOWN)
    text = signed(difference.value, unit)
    if difference.seeds > 1 and difference.low is not None and difference.high is not None:
        text += f" [{signed(difference.low, unit)}, {signed(difference.high, unit)}]"
    return Cell(text, difference.value, f"{difference.n} examples, {difference.seeds} seeds, paired")


def signed(value: float, unit: str) -> str:
    text = number(value, unit)
    return text if text.startswith("-") else f"+{text}"


def heading(name: str) -> str:
    """`clean accuracy, % ↑`: title, unit, and which way is better."""
    metric = metrics.of(name)
    unit = UNITS.get(metric.unit, metric.unit)
    return f"{metrics.title(name)}, {unit} {ARROWS[metric.direction]}".strip()


def verdict(board: Board) -> Section:
    """The first table: rank, ranked number, paired difference to the baseline, clean metric, flags."""
    clean = [name for name in ("clean_accuracy", "entity_f1") if name in board.metrics and name != board.score]
    header = ["rank", "mitigation", heading(board.score), "difference to baseline, points", "p (Holm)", "verdict"]
    header += [*(heading(name) for name in clean), "flags", "failed runs", "seeds", "n"]
    rows = []
    for arm in board.arms:
        score = arm.cells[board.score]
        several = arm.difference is not None and arm.difference.seeds > 1 and arm.p_adjusted is not None
        p = (
            Cell(probability(arm.p_adjusted), arm.p_adjusted)
            if several and arm.p_adjusted is not None
            else Cell(UNKNOWN)
        )
        rows.append(
            (
                Cell(str(arm.rank), arm.rank) if arm.rank else Cell(UNKNOWN, None, arm.no_rank),
                Cell(arm.label),
                measured(score, metrics.of(board.score).unit),
                points(arm.difference, metrics.of(board.score).unit),
                p,
                Cell(arm.verdict or UNKNOWN),
                *(measured(arm.cells[name], metrics.of(name).unit) for name in clean),
                Cell(", ".join(flags(arm)) or UNKNOWN),
                Cell(f"{len(arm.failures)} of {len(arm.records)}", len(arm.failures) / len(arm.records)),
                Cell(str(arm.seeds), arm.seeds),
                Cell(str(score.n), score.n) if isinstance(score, Interval) else Cell(UNKNOWN),
            )
        )
    return Section("Verdict", tuple(header), tuple(rows))


def details(board: Board) -> list[Section]:
    """The remaining metrics by subject; the last table also says where each learning rate comes from."""
    sections = []
    for title in TITLES:
        names = [name for name in board.metrics if name != board.score and section_of(name) == title]
        header = ["mitigation", *(heading(name) for name in names)]
        rows: list[tuple[Cell, ...]] = [
            (Cell(arm.label), *(measured(arm.cells[name], metrics.of(name).unit) for name in names))
            for arm in board.arms
        ]
        if title == "Cost":
            header += ["learning rate", "its source"]
            rows = [row + learning_rate(arm) for row, arm in zip(rows, board.arms, strict=True)]
        if names:
            sections.append(Section(title, tuple(header), tuple(rows)))
    return sections


def headlines(board: Board) -> Section:
    """One narrow table of values without intervals, for the terminal."""
    names = [name for name in board.metrics if name.partition(":")[0] in HEADLINES]
    names = [name for name in names if not name.endswith(":random")]
    rows = [
        (Cell(arm.label), *(measured(arm.cells[n], metrics.of(n).unit, interval=False) for n in names))
        for arm in board.arms
    ]
    return Section("More (intervals are in the files)", ("mitigation", *(heading(n) for n in names)), tuple(rows))


def section_of(name: str) -> str:
    return SECTIONS.get(metrics.table_of(name).partition(":")[0], "Cost")


def learning_rate(arm: Arm) -> tuple[Cell, Cell]:
    rate, source = arm.fact("learning_rate"), arm.fact("learning_rate_source")
    shown = Cell(f"{rate:g}", rate) if isinstance(rate, (int, float)) else Cell(str(rate or UNKNOWN))
    return shown, Cell(str(source or UNKNOWN))


def flags(arm: Arm) -> list[str]:
    found = [f"masking ({', '.join(arm.masking)})"] if arm.masking else []
    if 1 < arm.seeds < 3:
        found.append("fewer than 3 seeds")
    return found


def remarks(board: Board) -> list[str]:
    """What must be said below the tables: why an arm has no rank, what failed, what masks, what is not comparable."""
    found = list(board.notes)
    for arm in board.arms:
        if arm.no_rank:
            found.append(f"{arm.label}: no rank: {arm.no_rank}")
        found += [f"{arm.label}: failed: {failure}" for failure in arm.failures]
        if arm.masking:
            found.append(
                f"{arm.label}: masking: its raw AUA exceeds the calibrated one by more than 2 points under "
                f"{', '.join(arm.masking)}; the lower number is ranked"
            )
    return found


def probability(p: float) -> str:
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def caption(board: Board) -> str:
    seeds: Sequence[int] = sorted({arm.seeds for arm in board.arms})
    return (
        f"{board.name}: ranked by {metrics.title(board.score)}; 95 % intervals over seeds "
        f"({', '.join(map(str, seeds))}) and examples. A difference counts when it is significant after Holm's "
        "correction and larger than the smallest difference that matters."
    )
