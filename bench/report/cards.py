"""A card per mitigation, written by the results: when to use it, what it costs, what to beware of, where it is from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bench import metrics
from bench.board import Arm, Board
from bench.gate.sides import configs
from bench.report import wording
from bench.report.sections import Cell, Section, measured, number, points, probability
from bench.stats import Interval

COSTS = (
    ("step_time_ratio", "{} times the baseline's step time"),
    ("counted_cost", "{} times its passes"),
    ("peak_memory_ratio", "{} times its memory"),
    ("trainable_share", "{} % of the parameters trained"),
)
HEADER = ("mitigation", "use when", "costs", "caveats", "source")


@dataclass(frozen=True)
class Card:
    """Four sentences about one row of a board."""

    use_when: str
    costs: str
    caveats: str
    source: str


def tables(board: Board, written: Sequence[Card]) -> list[Section]:
    """One table with the card that was written for each arm."""
    rows = [
        (Cell(arm.label), Cell(one.use_when), Cell(one.costs), Cell(one.caveats), Cell(one.source))
        for arm, one in zip(board.arms, written, strict=True)
    ]
    note = "Written by the numbers above and the mitigations' own files; where these prove nothing, so does the card."
    return [Section("Mitigation cards", HEADER, tuple(rows), note)] if rows else []


def card(board: Board, arm: Arm) -> Card:
    """The card of an arm: its verdict with the numbers, never a recommendation that they do not bear."""
    return Card(_use_when(board, arm), _costs(arm), _caveats(board, arm), _source(arm))


def _use_when(board: Board, arm: Arm) -> str:
    title = wording.SHORT.get(board.score.partition(":")[0], metrics.title(board.score))
    if arm.verdict == "baseline":
        return "as the reference: take it unless another row is better"
    if arm.hides:
        return "not for robustness: what it shows is masking"
    if arm.below:
        return "only where clean accuracy may fall: " + arm.below
    if arm.difference is None or arm.p_adjusted is None or arm.difference.seeds < 2:
        return "unknown: nothing here compares it with the baseline over seeds"
    size = f"{points(arm.difference, metrics.of(board.score).unit).text} points, p {_p(arm.p_adjusted)}"
    if arm.verdict == "better":
        return f"{title} matters: {size} against the baseline"
    if arm.verdict == "worse":
        return f"not for {title}: {size} against the baseline"
    return f"no use is proven here: {title} {size} against the baseline"


def _p(p: float) -> str:
    text = probability(p)
    return text if text.startswith("<") else f"= {text}"


def _costs(arm: Arm) -> str:
    found = []
    for name, text in COSTS:
        cell = arm.cells.get(name)
        if isinstance(cell, Interval) and cell.value is not None:
            found.append(text.format(number(cell.value, metrics.of(name).unit)))
    return ", ".join(found) or "not measured here"


def _caveats(board: Board, arm: Arm) -> str:
    found = list(wording.flags(arm))
    if arm.no_rank and arm.no_rank not in found:
        found.append(arm.no_rank)
    for name in ("clean_accuracy", "entity_f1"):
        if name in board.metrics and name != board.score and not arm.below and arm.verdict != "baseline":
            found.append(f"{metrics.title(name)} {measured(arm.cells[name], metrics.of(name).unit).text} %")
    rate = arm.fact("learning_rate_source")
    found += [f"learning rate: {rate}"] if rate else []
    return "; ".join(dict.fromkeys(found)) or "none that the records name"


def _source(arm: Arm) -> str:
    named = [name for name, _ in configs(arm.records[0])]
    known = {name: wording.constant(name, "SOURCE") for name in named}
    if len(named) == 1:
        return known[named[0]] or "no source given"
    return "; ".join(f"{name}: {text or 'no source given'}" for name, text in known.items()) or "no source given"
