"""Is a new set of records worse than a baseline set? Paired differences on the same examples and seeds.

A cell is one metric of one (task, model, tier, mitigation). It is worse when the difference is significant after Holm's
correction over all compared cells AND larger than the metric's smallest difference that matters. A definite
regression exits 1 even when other cells cannot be compared; those are listed all the same.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import pandas as pd
from rich.table import Table
from rich.text import Text

from bench import metrics, stats
from bench.board import comparability
from bench.extraction import extract
from bench.metrics import Values
from bench.record import Record
from bench.report.sections import number, signed
from bench.stats import Difference
from bench.store import Store
from training.errors import UserError

Status = Literal["same", "better", "worse", "not_comparable"]
EXIT_CODES: dict[str, int] = {"same": 0, "better": 0, "worse": 1, "not_comparable": 3}
GATED = ("clean_accuracy", "entity_f1", "aua_calibrated", "aua_raw")
ALPHA = 0.05
# p has a resolution of 2 / (rounds + 1); Holm multiplies it by up to the number of cells
ROUNDS_PER_CELL = 400
# a release may change these of an arm, and that is what the gate is there to judge; fingerprints have their own check
NOT_SETTINGS = ("seed", "mitigations", "learning_rate_source", "task_fingerprint", "model_fingerprint",
    "lexicon_fingerprint")  # fmt: skip

Key = tuple[str, str, str, str]


@dataclass(frozen=True)
class Verdict:
    """`status` with its exit code (0 not worse, 1 worse, 3 not comparable), the reasons as sentences, one row per cell.

    Columns of `rows`: cell, metric, before, after, difference, low, high, p, p_holm, smallest_difference, n, seeds,
    verdict.
    """

    status: Status
    exit_code: int
    reasons: list[str]
    rows: pd.DataFrame


@dataclass
class Side:
    """The records of one arm in one of the two sets."""

    records: dict[int, Record] = field(default_factory=dict)
    values: dict[str, dict[int, Values]] = field(default_factory=dict)


@dataclass(frozen=True)
class Cell:
    """One comparison that could be made."""

    name: str
    metric: str
    before: float
    after: float
    difference: Difference
    smallest: float


def check(baseline: Store, candidate: Store, *, thresholds: Mapping[str, float] | None = None) -> Verdict:
    """Compares every cell of `baseline` with `candidate`'s; what only the candidate has is new and judged by nobody.

    `thresholds` overrides the smallest difference that matters, by metric name (`clean_accuracy`) or full name
    (`aua_raw:textfooler`), in the metric's unit (shares: 0.05 is 5 points). Raises UserError for an empty baseline, an
    unknown metric or an unreadable record.
    """
    limits = _limits(thresholds or {})
    before, after = _sides(baseline), _sides(candidate)
    if not before:
        raise UserError(f"'{baseline.folder}' holds no records to compare with; give a folder that `temper run` wrote.")
    lost: list[str] = []
    apart: list[str] = []
    comparable: list[tuple[str, str, Side, Side]] = []
    for key, old, new in _pairs(before, after):
        name = " / ".join(part for position, part in enumerate(key) if position != 2)
        if new is None:
            lost.append(f"{name}: not in the candidate ({key[2]}): a vanished cell counts as worse")
            continue
        lost += _failures(name, old, new)
        differing = _differing(old, new)
        if differing:
            apart.append(f"{name}: not comparable: {differing}")
            continue
        for metric in metrics.in_order(old.values):
            if metric.partition(":")[0] in GATED:
                comparable.append((name, metric, old, new))
    cells = _cells(comparable, limits, lost, apart)
    return _verdict(cells, lost, apart)


def table(verdict: Verdict) -> Table:
    """The compared cells as a rich table."""
    made = Table(title=f"verdict: {verdict.status.replace('_', ' ')}", title_justify="left", header_style="bold")
    for column in ("cell", "metric", "before", "after", "difference, points", "p (Holm)", "verdict"):
        made.add_column(column, justify="left" if column in ("cell", "metric", "verdict") else "right")
    for row in verdict.rows.to_dict(orient="records"):
        before, after = (number(row[key], "share") for key in ("before", "after"))
        difference, p = _points(row["difference"], row["low"], row["high"]), f"{row['p_holm']:.4f}"
        texts = (row["cell"], metrics.title(row["metric"]), before, after, difference, p, row["verdict"])
        made.add_row(*(Text(str(text)) for text in texts))
    return made


def _limits(thresholds: Mapping[str, float]) -> dict[str, float]:
    for name in thresholds:
        if name.partition(":")[0] not in GATED:
            raise UserError(f"'{name}' is no metric of the gate; known: {', '.join(GATED)}.")
    return {name: float(metrics.of(name).smallest_difference or 0.0) for name in GATED} | dict(thresholds)


def _sides(store: Store) -> dict[Key, dict[str, Side]]:
    """The arms of a store by name and, below, by settings: one folder may hold an arm with two learning rates."""
    sides: dict[Key, dict[str, Side]] = {}
    for record in store:
        task, model, tier, mitigation = (str(record.spec.get(k)) for k in ("task", "model", "tier", "mitigation"))
        settings = json.dumps({k: v for k, v in record.spec.items() if k not in NOT_SETTINGS}, sort_keys=True)
        side = sides.setdefault((task, model, tier, mitigation), {}).setdefault(settings, Side())
        seed = int(record.spec["seed"])  # type: ignore[arg-type]
        if seed in side.records:
            raise UserError(
                f"'{store.folder}' holds two versions of {task} / {mitigation}, seed {seed}: "
                f"'{side.records[seed].spec_id}' and '{record.spec_id}'; keep one of them to compare."
            )
        for name, values in extract(record, functools.partial(store.tables, record)).items():
            side.values.setdefault(name, {})[seed] = values
        side.records[seed] = record.model_copy(update={"tables": {}})
    return sides


def _pairs(
    before: dict[Key, dict[str, Side]], after: dict[Key, dict[str, Side]]
) -> Iterator[tuple[Key, Side, Side | None]]:
    """Every arm of the baseline set with its partner: by name, and where a name has several settings by these too."""
    for key, variants in before.items():
        partners = after.get(key, {})
        for settings, old in variants.items():
            alone = len(variants) == len(partners) == 1
            yield key, old, next(iter(partners.values())) if alone else partners.get(settings)


def _failures(name: str, old: Side, new: Side) -> list[str]:
    return [
        f"{name}, seed {seed}: failed in the candidate ({record.reason}), was ok in the baseline: worse"
        for seed, record in sorted(new.records.items())
        if record.status == "failed" and seed in old.records and old.records[seed].status == "ok"
    ]


def _differing(old: Side, new: Side) -> str:
    """What keeps two arms from being compared, in words; empty when nothing does."""
    found: list[str] = []
    if old.records.keys() != new.records.keys():
        found.append(f"seeds {_listed(old.records)} against {_listed(new.records)}")
    for seed in sorted(old.records.keys() & new.records.keys()):
        first, second = _prints(old.records[seed]), _prints(new.records[seed])
        found += [
            f"{key} differs ({_brief(first[key])} against {_brief(second[key])})"
            for key in sorted(first.keys() & second.keys())
            if first[key] != second[key]
        ]
    return "; ".join(dict.fromkeys(found))


def _prints(record: Record) -> dict[str, Any]:
    """Everything of a record that must be equal for its numbers to mean the same, flattened one level."""
    flat: dict[str, Any] = {}
    for key, value in comparability(record).items():
        flat |= {f"{key} {k}": v for k, v in value.items()} if isinstance(value, dict) else {key: value}
    packages = record.environment.get("packages")
    if isinstance(packages, dict) and packages.get("textattack") is not None:
        flat["textattack version"] = packages["textattack"]
    return flat


def _brief(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True)
    return text if len(text) <= 40 else f"{text[:12]}…"


def _listed(items: Iterable[int]) -> str:
    return ", ".join(str(item) for item in sorted(items)) or "none"


def _cells(
    pairs: list[tuple[str, str, Side, Side]], limits: Mapping[str, float], lost: list[str], apart: list[str]
) -> list[Cell]:
    cells = []
    rounds = max(stats.ROUNDS, ROUNDS_PER_CELL * len(pairs))
    for name, metric, old, new in pairs:
        first, second = old.values[metric], new.values.get(metric, {})
        failed = {seed for seed, record in new.records.items() if record.status == "failed"}
        gone = first.keys() - second.keys() - failed
        if gone:
            lost.append(
                f"{name} / {metrics.title(metric)}: seeds {_listed(gone)} have no value in the candidate: worse"
            )
        common = sorted(first.keys() & second.keys())
        if any(set(first[seed].ids or ()) != set(second[seed].ids or ()) for seed in common):
            apart.append(f"{name} / {metrics.title(metric)}: not comparable: the example ids differ")
            continue
        found = metrics.compare(metric, first, second, rounds=rounds)
        before, after = (metrics.summarise(metric, [side[seed] for seed in common]).value for side in (first, second))
        if found is None or before is None or after is None:
            apart.append(f"{name} / {metrics.title(metric)}: not comparable: no example is known on both sides")
            continue
        smallest = limits.get(metric, limits[metric.partition(":")[0]])
        cells.append(Cell(name, metric, before, after, found, smallest))
    return cells


def _verdict(cells: list[Cell], lost: list[str], apart: list[str]) -> Verdict:
    rows, sentences = [], {"worse": list(lost), "better": [], "same": []}
    for cell, p in zip(cells, _corrected(cells), strict=True):
        word = _word(cell, p)
        sentences[word].append(_sentence(cell, p, word))
        difference = vars(cell.difference)
        rows.append(
            {"cell": cell.name, "metric": cell.metric, "before": cell.before, "after": cell.after}
            | {"difference": difference["value"], **{k: difference[k] for k in ("low", "high", "p", "n", "seeds")}}
            | {"p_holm": p, "smallest_difference": cell.smallest, "verdict": word}
        )
    status: Status = "same"
    if sentences["worse"]:
        status = "worse"
    elif apart or not cells:
        status = "not_comparable"
        apart = apart or ["nothing could be compared: the baseline has no metric that the gate judges"]
    elif sentences["better"]:
        status = "better"
    one_seed = sum(cell.difference.seeds < 2 for cell in cells)
    notes = [f"{len(sentences['same'])} of {len(cells)} compared cells are not distinguishable"] if cells else []
    if one_seed:
        notes.append(f"{one_seed} cells have 1 seed: they compare these models, not their mitigations")
    reasons = [*sentences["worse"], *apart, *sentences["better"], *notes]
    return Verdict(status, EXIT_CODES[status], reasons, pd.DataFrame(rows, columns=ROW_COLUMNS))


def _corrected(cells: list[Cell]) -> list[float]:
    """Holm's p of every cell, over the family of cells in which anything changed.

    The same code on the same machine gives the same outcomes, so after a small change most cells are equal to the last
    example. They are no evidence for or against anything, and counting them would hide a loss in the one that changed.
    """
    changed = [cell for cell in cells if cell.difference.low is not None]
    corrected = iter(stats.holm([cell.difference.p for cell in changed]))
    return [1.0 if cell.difference.low is None else next(corrected) for cell in cells]


ROW_COLUMNS = [
    "cell", "metric", "before", "after", "difference", "low", "high", "p", "p_holm", "smallest_difference", "n",
    "seeds", "verdict",
]  # fmt: skip


def _word(cell: Cell, p: float) -> Literal["worse", "better", "same"]:
    if p >= ALPHA or abs(cell.difference.value) <= cell.smallest:
        return "same"
    return "better" if (cell.difference.value > 0) == (metrics.of(cell.metric).direction == "higher") else "worse"


def _sentence(cell: Cell, p: float, word: str) -> str:
    difference = cell.difference
    points = _points(difference.value, difference.low, difference.high)
    return (
        f"{cell.name} / {metrics.title(cell.metric)}: {cell.before:.3f} -> {cell.after:.3f}, {points} points, "
        f"p = {p:.2g} after Holm (n = {difference.n}, {difference.seeds} seeds): {word}"
    )


def _points(value: float, low: float | None, high: float | None) -> str:
    if low is None or high is None or low != low or high != high:
        return signed(value, "share")
    return f"{signed(value, 'share')} [{signed(low, 'share')}, {signed(high, 'share')}]"
