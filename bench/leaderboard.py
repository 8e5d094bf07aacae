"""Records -> boards: which arms may be compared, what each is worth, who is ranked and why not.

A board holds the arms of one task, model and tier that share data, sizes and attack fingerprints; what does not share
them gets a board of its own and is never averaged in. The ranked number is the lower of the raw and the calibrated
worst case, so a victim that hides behind saturated probabilities gains nothing.

Masking (robustness/masking.py) gains no rank. What the lower number undoes is flagged and keeps its rank: raw accuracy
under attack above the calibrated one, and logits on another scale (sharpened or flattened). What it does not undo
leaves an arm without rank, verdict and place in the correction, its numbers shown with the reason: a sweep of
temperatures that takes more than 5 points off what survives raw and calibrated, beyond what it takes off the baseline
and on significantly more texts, so that the arm's number is no bound; and a victim that answers most texts alike at
every temperature (with labels), since score-based attacks are blind to it and their number says nothing about its
decisions. An honest arm loses nothing by either: another temperature is to it another try, as it is to the baseline,
and at one of them its answers are as many as the texts.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bench import interactions, metrics, ranks, stats
from bench.board import Arm, Board, comparability, place, tell_apart, why_apart
from bench.extraction import extract, why_missing
from bench.metrics import Missing
from bench.reading import read_all
from bench.record import Record
from bench.robustness import masking
from bench.stats import Difference, Interval
from bench.store import Store, write_atomic
from training.errors import UserError

BASELINE = "baseline"
ALPHA = 0.05
FEWEST_SEEDS = 2
TIMINGS = ("step_time_ratio", "tokens_per_second", "samples_per_second", "peak_memory_ratio", "train_seconds")
STACKED = {"better": "still helps", "worse": "hurts"}
CLEAN = ("clean_accuracy", "entity_f1")
MATRIX_ONLY = ("transfer_from",)  # a column for every arm, shown as a matrix instead


def build(records: Store | Iterable[Record], tables: Any = None) -> list[Board]:
    """The boards of a store, sorted by task, model and tier. `tables(record, name)` is needed when no Store is given.

    Raises UserError (StoreError) when a record cannot be read.
    """
    boards: list[Board] = []
    if isinstance(records, Store):
        found = read_all(records)
    else:
        found = [(r.model_copy(update={"tables": {}}), extract(r, functools.partial(tables, r))) for r in records]
    for record, values in sorted(found, key=lambda pair: (-len(comparability(pair[0])), pair[0].spec_id)):
        place(boards, record, values)
    boards.sort(key=lambda b: (b.task, b.model, b.tier, -b.labelled, json.dumps(b.fingerprint, sort_keys=True)))
    for board in boards:
        own = (board.task, board.model, board.tier, board.labelled)
        twins = [b for b in boards if (b.task, b.model, b.tier, b.labelled) == own]
        board.number = twins.index(board) + 1
        if len(twins) > 1:
            board.notes.append(why_apart(board, twins))
        _finish(board)
    return boards


def _finish(board: Board) -> None:
    tell_apart(board.arms)
    for arm in board.arms:
        arm.records.sort(key=lambda r: (int(r.spec["seed"]), r.spec_id))  # type: ignore[arg-type]
        worst = metrics.lower_worst_case(arm.values)
        if worst:
            arm.values["worst_case"] = worst
        arm.masking = metrics.masked_recipes(arm.values)
    reference = next((arm.values for arm in board.arms if arm.label == BASELINE), None)
    for arm in board.arms:
        arm.signs = masking.signs(arm.values, reference)
    for name, by_label in metrics.shared_asr({arm.label: arm.values for arm in board.arms}).items():
        for arm in board.arms:
            arm.values |= {name: by_label[arm.label]} if by_label.get(arm.label) else {}
    names = {name for arm in board.arms for name in arm.values}
    attacked = any(arm.values.get("aua_calibrated") or arm.values.get("worst_case_calibrated") for arm in board.arms)
    tagging = "entity_f1" in names and not attacked
    records = [record for arm in board.arms for record in arm.records]
    plain = "clean_accuracy" in names and not any(record.spec.get("recipes") for record in records)
    board.score = _tagging_score(records) if tagging else "clean_accuracy" if plain else "worst_case"
    judged = {"unhealthy_runs"} if any("health" in record.summary for record in records) else set()
    names = {name for name in names if name.partition(":")[0] not in MATRIX_ONLY}
    board.metrics = metrics.in_order(names | {"failed_runs", "seed_deviation", board.score} | judged)
    devices = sorted({str(r.environment.get("device")) for arm in board.arms for r in arm.records})
    for arm in board.arms:
        arm.cells = {name: _cell(arm, name, devices) for name in board.metrics}
        arm.cells["seed_deviation"] = _seed_deviation(arm, board.score)
    if len(devices) > 1:
        board.notes.append(f"times and memory are not comparable: the records come from {', '.join(devices)}")
    _judge(board)
    _rank(board)
    ranks.place(board)
    about = metrics.of(board.score)

    def judge(difference: Difference, p: float) -> str:
        return STACKED.get(word := verdict(difference, p, about.smallest_difference or 0.0, about.direction), word)

    board.interactions = interactions.find(board, judge)


def _tagging_score(records: list[Record]) -> str:
    """The worst case where taggers were attacked, also if every attack failed; records from before have none."""
    asked = any(name.startswith("attack:") and name.endswith(f":{metrics.TAGS}") for r in records for name in r.stages)
    return "entity_f1_worst" if asked else "entity_f1"


def _cell(arm: Arm, name: str, devices: list[str]) -> Interval | Missing:
    if name == "failed_runs":
        return Interval(len(arm.failures) / len(arm.records), None, None, 0, len(arm.records))
    if name == "unhealthy_runs":
        if any(record.status == "ok" and "health" not in record.summary for record in arm.records):
            return Missing("missing", "made before runs were judged")
        return stats.count_interval(sum(map(len, arm.unhealthy.values())), len(arm.records))
    if name in TIMINGS and len(devices) > 1:
        return Missing("not_comparable", "measured on several devices")
    by_seed = arm.values.get(name)
    if not by_seed:
        reasons = [why_missing(record, name) for record in arm.records]
        return next((r for r in reasons if r.status == "failed"), reasons[0])
    found = metrics.summarise(name, [by_seed[seed] for seed in sorted(by_seed)])
    return found if found.value is not None else Missing("missing", "no example with a known value")


def _seed_deviation(arm: Arm, score: str) -> Interval | Missing:
    """The sample standard deviation of the seeds' scores; runs without a score are in none of it."""
    values = [metrics.summarise(score, [one]).value for one in arm.values.get(score, {}).values()]
    known = [value for value in values if value is not None]
    if len(known) < FEWEST_SEEDS:
        return Missing("missing", "needs the scores of two seeds")
    return Interval(float(np.std(known, ddof=1)), None, None, 0, len(known))


def _judge(board: Board) -> None:
    """Paired differences to the baseline on the score and on clean accuracy, each family Holm-corrected."""
    baseline = next((arm for arm in board.arms if arm.label == BASELINE), None)
    if baseline is None:
        board.notes.append("no baseline on this board: no differences, and clean accuracy gates nothing")
        return
    baseline.verdict = "baseline"
    others = [arm for arm in board.arms if arm is not baseline]
    judged = [arm for arm in others if not arm.hides]
    for arm in others:
        arm.verdict = "masking: not judged" if arm.hides else ""
    for arm, difference, p in _family(board.score, baseline, judged):
        arm.difference, arm.p_adjusted = difference, p
        smallest = metrics.of(board.score).smallest_difference or 0.0
        arm.verdict = verdict(difference, p, smallest, metrics.of(board.score).direction)
    for name in CLEAN:
        smallest = metrics.of(name).smallest_difference or 0.0
        for arm, difference, p in _family(name, baseline, others):
            if name != board.score and verdict(difference, p, smallest, metrics.of(name).direction) == "worse":
                arm.below = (
                    f"{metrics.title(name)} is {-100 * difference.value:.1f} points below the baseline's "
                    f"(p = {p:.2g} after Holm)"
                )


def _family(name: str, baseline: Arm, others: list[Arm]) -> list[tuple[Arm, Difference, float]]:
    first = baseline.values.get(name, {})
    lent = metrics.lend(name, [arm.values.get(name, {}) for arm in (baseline, *others)])
    found = [(arm, metrics.compare(name, first, arm.values.get(name, {}), lent=lent)) for arm in others]
    known = [(arm, difference) for arm, difference in found if difference is not None]
    # a difference of one seed is no evidence about the arm, so it neither joins nor enlarges the family
    several = [(arm, difference) for arm, difference in known if difference.seeds >= FEWEST_SEEDS]
    adjusted = stats.holm([difference.p for _, difference in several])
    single = [(arm, difference, 1.0) for arm, difference in known if difference.seeds < FEWEST_SEEDS]
    return [(arm, difference, p) for (arm, difference), p in zip(several, adjusted, strict=True)] + single


def verdict(difference: Difference, p: float, smallest: float, direction: str | None) -> str:
    """`better`, `worse` or `not distinguishable`: significant after correction AND larger than what matters."""
    if difference.seeds < FEWEST_SEEDS:
        return "1 seed: not judged"
    if p >= ALPHA or abs(difference.value) <= smallest or direction is None:
        return "not distinguishable"
    return "better" if (difference.value > 0) == (direction == "higher") else "worse"


def _rank(board: Board) -> None:
    """Ranked arms by the score, then arms below the line, then those without a rank; ties share one."""

    def score(arm: Arm) -> float:
        cell = arm.cells.get(board.score)
        return cell.value if isinstance(cell, Interval) and cell.value is not None else -1.0

    for arm in board.arms:
        cell = arm.cells[board.score]
        if isinstance(cell, Missing):
            arm.no_rank = f"{cell.status}: {cell.reason}"
        elif cell.seeds < FEWEST_SEEDS:
            arm.no_rank = "1 seed: no interval, no rank"
        elif arm.below:
            arm.no_rank = arm.below
        elif arm.hides:
            arm.no_rank = "masking: " + "; ".join(arm.hides)
    ranked = [arm for arm in board.arms if not arm.no_rank]
    for arm in ranked:
        arm.rank = 1 + sum(score(other) > score(arm) for other in ranked)
    board.arms.sort(key=lambda arm: (bool(arm.no_rank), not arm.below, -score(arm), arm.label))


def tidy(boards: Iterable[Board]) -> pd.DataFrame:
    """One row per board, arm and metric: the numbers behind every format, unknown ones as None."""
    rows = [
        {
            "board": board.name,
            "task": board.task,
            "model": board.model,
            "tier": board.tier,
            "rank": arm.rank,
            "rank_best": arm.ranks[0] if arm.ranks else None,
            "rank_worst": arm.ranks[1] if arm.ranks else None,
            "group": arm.group or None,
            "pareto": arm.front,
            "mitigation": arm.label,
            "metric": name,
            "title": metrics.title(name),
            **_numbers(arm.cells[name]),
            "unit": metrics.of(name).unit,
            "direction": metrics.of(name).direction,
        }
        for board in boards
        for arm in board.arms
        for name in board.metrics
    ]
    columns = (
        "board", "task", "model", "tier", "rank", "rank_best", "rank_worst", "group", "pareto", "mitigation", "metric",
        "title", "value", "low", "high", "n", "seeds", "unit", "direction", "status", "reason",
    )  # fmt: skip
    return pd.DataFrame(rows, columns=list(columns), dtype=object)


def _numbers(cell: Interval | Missing) -> dict[str, Any]:
    if isinstance(cell, Missing):
        unknown = dict.fromkeys(("value", "low", "high", "n", "seeds"))
        return unknown | {"status": cell.status, "reason": cell.reason}
    known = {key: getattr(cell, key) for key in ("value", "low", "high", "n", "seeds")}
    return known | {"status": "ok", "reason": None}


def write(records: Store | list[Board], out_dir: Path | str) -> list[Path]:
    """Writes leaderboard.md, .csv, .tex, .html and .json; the same records give the same bytes.

    Raises UserError when a record cannot be read or the folder not be written to.
    """
    from bench.report import formats

    boards = build(records) if isinstance(records, Store) else records
    folder = Path(out_dir)
    paths = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for suffix, text in formats.render(boards).items():
            paths.append(folder / f"leaderboard.{suffix}")
            write_atomic(paths[-1], text.encode("utf8"))
    except OSError as error:
        raise UserError(f"cannot write to '{folder}' ({error.strerror}); choose another folder with --out.") from error
    return paths


def show(records: Store | list[Board], console: Any) -> None:
    """Prints the boards on a rich console, with the columns that fit."""
    from bench.report import terminal

    terminal.show(build(records) if isinstance(records, Store) else records, console)
