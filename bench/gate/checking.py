"""Is a new set of records worse than a baseline set? Paired differences on the same examples and seeds.

A cell is one metric of one (task, model, tier, mitigation). It is worse when the difference is significant after Holm's
correction over all compared cells (`ALPHA`) AND larger than the metric's smallest difference that matters. A definite
regression exits 1 even when other cells cannot be compared; those are listed all the same. Beside the cells, a sign
test over all arms finds what moved the whole suite a little (bench/gate/drift.py).

A few seeds say little about their own spread, so a cell borrows that of all arms of both sets (`metrics.lend`).
Simulated releases in which nothing but the draws changed (3 or 5 seeds, 200 or 1,000 texts, seeds that differ by 0.15
to 0.5 logits) give an alarm in 3 to 5 % of cases, where arms differ much in their spread or there is only one of them;
with several alike arms in 1 to 3 % (tests/bench/test_gate_power.py).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import pandas as pd
from rich.table import Table

from bench import metrics, stats
from bench.gate import drift, words
from bench.gate.drift import Drift
from bench.gate.sides import Key, Side, changes, differing, failures, numbered, pairs, sides, unjudged
from bench.gate.words import Cell, Word, advise, sentence
from bench.store import Store
from training.errors import UserError

Status = Literal["same", "better", "worse", "not_comparable"]
EXIT_CODES: dict[str, int] = {"same": 0, "better": 0, "worse": 1, "not_comparable": 3}
GATED = ("clean_accuracy", "entity_f1", "aua_calibrated", "aua_raw", "entity_f1_attacked")
# Not 0.05: with 3 seeds the correction is a little too bold where arms differ in their spread, or a single one has no
# other to borrow from. At 0.05 such releases gave an alarm in up to 7 %, at 0.03 in 3 to 5 % (other seeds).
ALPHA = 0.03
# p has a resolution of 2 / (rounds + 1); Holm multiplies it by up to the number of cells
ROUNDS_PER_CELL = 400


@dataclass(frozen=True)
class Verdict:
    """`status` with its exit code (0 not worse, 1 worse, 3 not comparable), the reasons as sentences, one row per cell.

    Columns of `rows`: cell, metric, before, after, difference, low, high, p, p_holm, effect (Cohen's h for shares),
    smallest_difference, n, seeds, verdict. `worse` are the reasons to fail, `advice` what to do about them, `apart`
    what could not be compared, `drifts` the sign tests; all of them stand in `reasons` too.
    """

    status: Status
    exit_code: int
    reasons: list[str]
    rows: pd.DataFrame
    worse: list[str] = field(default_factory=list)
    apart: list[str] = field(default_factory=list)
    advice: list[str] = field(default_factory=list)
    drifts: list[Drift] = field(default_factory=list)


@dataclass
class Found:
    """What the comparison of two sets has come to so far, as sentences."""

    lost: list[str] = field(default_factory=list)
    apart: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Pair:
    """Two sides of an arm that may be compared, and what of its own settings changed between them."""

    key: Key
    name: str
    old: Side
    new: Side
    changed: tuple[str, ...]

    @property
    def group(self) -> tuple[str, ...]:
        """Task, model and tier: whose arms lend each other their spread."""
        return self.key[:3]


def check(
    baseline: Store,
    candidate: Store,
    *,
    thresholds: Mapping[str, float] | None = None,
    non_inferiority: bool = False,
    run: Collection[str] = (),
) -> Verdict:
    """Compares every cell of `baseline` with `candidate`'s; what only the candidate has is new and judged by nobody.

    `thresholds` overrides the smallest difference that matters, by metric name (`clean_accuracy`) or full name
    (`aua_raw:textfooler`), in the metric's unit (shares: 0.05 is 5 points); a metric beyond `GATED` that is named there
    is judged too. With `non_inferiority` the burden of proof is the candidate's: a cell passes when its 95 % interval
    ends within the smallest difference, which is the margin then. `run`: the spec ids to judge, where the candidate's
    folder holds earlier ones of the same arms too. Raises UserError for an empty baseline, a metric that cannot be
    judged or an unreadable record.
    """
    limits = _limits(thresholds or {})
    before, after = sides(baseline), sides(candidate, run)
    if not before:
        raise UserError(f"'{baseline.folder}' holds no records to compare with; give a folder that `temper run` wrote.")
    found, comparable = Found(notes=unjudged(before, after)), []
    for key, name, old, new in pairs(before, after):
        if new is None:
            found.lost.append(f"{name}: not in the candidate ({key[2]}): a vanished cell counts as worse")
            continue
        found.lost += failures(name, old, new)
        if why := differing(old, new):
            found.apart.append(f"{name}: not comparable: {why}")
            continue
        comparable.append(Pair(key, name, old, new, tuple(changes(old, new))))
    cells = _cells(comparable, limits, found)
    return _verdict(cells, found, non_inferiority)


def _limits(thresholds: Mapping[str, float]) -> dict[str, float]:
    for name in thresholds:
        known = next((m for m in metrics.METRICS if m.name == name.partition(":")[0]), None)
        if known is None or known.direction is None or known.kind not in ("binary", "mean", "ratio"):
            more = [m.name for m in metrics.METRICS if m.direction and m.kind in ("binary", "mean", "ratio")]
            raise UserError(f"'{name}' is no metric of the gate; known: {', '.join(more)}.")
    return {name: float(metrics.of(name).smallest_difference or 0.0) for name in GATED} | dict(thresholds)


def _judged(metric: str, limits: Mapping[str, float]) -> bool:
    return metric in limits or metric.partition(":")[0] in limits


def _cells(comparable: list[Pair], limits: Mapping[str, float], found: Found) -> list[Cell]:
    wanted = [(pair, m) for pair in comparable for m in metrics.in_order(pair.old.values) if _judged(m, limits)]
    rounds = max(stats.ROUNDS, ROUNDS_PER_CELL * len(wanted))
    lent: dict[tuple[tuple[str, ...], str], stats.Pool | None] = {}
    cells: dict[tuple[Any, ...], Cell] = {}
    for pair, metric in wanted:
        first, second = pair.old.values[metric], pair.new.values.get(metric, {})
        name = f"{pair.name} / {metrics.title(metric)}"
        failed = {seed for seed, record in pair.new.records.items() if record.status == "failed"}
        if gone := first.keys() - second.keys() - failed:
            found.lost.append(f"{name}: seeds {numbered(gone)} have no value in the candidate: worse")
        common = sorted(first.keys() & second.keys())
        if any(set(first[seed].ids or ()) != set(second[seed].ids or ()) for seed in common):
            found.apart.append(f"{name}: not comparable: the example ids differ")
            continue
        if (pair.group, metric) not in lent:
            lent[pair.group, metric] = _lend(metric, [one for one in comparable if one.group == pair.group])
        difference = metrics.compare(metric, first, second, rounds=rounds, lent=lent[pair.group, metric])
        before, after = (metrics.summarise(metric, [side[seed] for seed in common]).value for side in (first, second))
        if difference is None or before is None or after is None:
            found.apart.append(f"{name}: not comparable: no example is known on both sides")
            continue
        smallest = limits.get(metric, limits.get(metric.partition(":")[0], 0.0))
        # two runs that were asked other things have the same models, so what both were asked stands there twice
        same = (pair.key, metric, before, after, difference)
        cells.setdefault(same, Cell(pair.name, metric, before, after, difference, smallest, pair.changed))
    return list(cells.values())


def _lend(metric: str, comparable: list[Pair]) -> stats.Pool | None:
    """The spread over seeds of all arms of both sets; an arm that did not change counts once."""
    arms = {}
    for side in (side for pair in comparable for side in (pair.old, pair.new)):
        values = side.values.get(metric, {})
        arms[tuple((seed, *_content(values[seed])) for seed in sorted(values))] = values
    return metrics.lend(metric, list(arms.values()))


def _content(values: metrics.Values) -> tuple[Any, ...]:
    return values.ids, values.top.tobytes(), None if values.bottom is None else values.bottom.tobytes()


def _verdict(cells: list[Cell], found: Found, non_inferiority: bool) -> Verdict:
    rows, advice = [], []
    sentences: dict[str, list[str]] = {"worse": list(found.lost), "not shown": [], "better": [], "same": []}
    for cell, p in zip(cells, _corrected(cells), strict=True):
        word = _margin_word(cell) if non_inferiority else _word(cell, p)
        sentences[word].append(sentence(cell, p, word))
        if word == "worse":
            advice += [f"{cell.name}: {advise(cell)}"]
        rows.append(_row(cell, p, word))
    drifts = _drifts(cells)
    failing = [*sentences["worse"], *(one.text for one in drifts if one.verdict == "worse"), *sentences["not shown"]]
    apart = list(found.apart)
    status: Status = "same"
    if failing:
        status = "worse"
    elif apart or not cells:
        status = "not_comparable"
        apart = apart or ["nothing could be compared: the baseline has no metric that the gate judges"]
    elif sentences["better"]:
        status = "better"
    notes = [*found.notes, *(one.text for one in drifts if one.verdict in ("better", "small"))]
    equal = len(sentences["same"])
    if cells and non_inferiority:
        notes.append(f"{equal + len(sentences['better'])} of {len(cells)} compared cells are shown to be not worse")
    elif cells:
        notes.append(f"{equal} of {len(cells)} compared cells are not distinguishable")
    if one_seed := sum(cell.difference.seeds < 2 for cell in cells):
        notes.append(f"{one_seed} cells have 1 seed: they compare these models, not their mitigations")
    advice = list(dict.fromkeys(advice))
    reasons = [*failing, *advice, *apart, *sentences["better"], *notes]
    made = pd.DataFrame(rows, columns=ROW_COLUMNS)
    return Verdict(status, EXIT_CODES[status], reasons, made, failing, apart, advice, drifts)


def _row(cell: Cell, p: float, word: str) -> dict[str, object]:
    difference = vars(cell.difference)
    share = metrics.of(cell.metric).unit == "share"
    return (
        {"cell": cell.name, "metric": cell.metric, "before": cell.before, "after": cell.after}
        | {"difference": difference["value"], **{k: difference[k] for k in ("low", "high", "p", "n", "seeds")}}
        | {"effect": stats.cohen_h(cell.before, cell.after) if share else None}
        | {"p_holm": p, "smallest_difference": cell.smallest, "verdict": word}
    )


def _drifts(cells: list[Cell]) -> list[Drift]:
    differences: dict[str, list[float]] = {}
    for cell in cells:
        differences.setdefault(cell.metric, []).append(cell.difference.value)
    return drift.find(differences, {cell.metric: cell.smallest for cell in cells})


def _corrected(cells: list[Cell]) -> list[float]:
    """Holm's p of every cell, over the family of cells in which anything changed.

    The same code on the same machine gives the same outcomes, so after a small change most cells are equal to the last
    example. They are no evidence for or against anything, and counting them would hide a loss in the one that changed.
    """
    changed = [cell for cell in cells if cell.difference.low is not None]
    corrected = iter(stats.holm([cell.difference.p for cell in changed]))
    return [1.0 if cell.difference.low is None else next(corrected) for cell in cells]


ROW_COLUMNS = [
    "cell", "metric", "before", "after", "difference", "low", "high", "p", "p_holm", "effect", "smallest_difference",
    "n", "seeds", "verdict",
]  # fmt: skip


def _word(cell: Cell, p: float) -> Word:
    if p >= ALPHA or abs(cell.difference.value) <= cell.smallest:
        return "same"
    return "better" if (cell.difference.value > 0) == (metrics.of(cell.metric).direction == "higher") else "worse"


def _margin_word(cell: Cell) -> Word:
    direction = metrics.of(cell.metric).direction or "higher"
    found = stats.non_inferiority(cell.difference, cell.smallest, direction)
    return {"shown": "same", "refuted": "worse", "open": "not shown"}[found]  # type: ignore[return-value]


def table(verdict: Verdict) -> Table:
    """The compared cells as a rich table."""
    return words.table(verdict.rows, verdict.status)
