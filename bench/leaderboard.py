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
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bench import interactions, judging, metrics, ranks, stats, summaries
from bench.board import Arm, Board, comparability, place, tell_apart, why_apart
from bench.extraction import extract, why_missing
from bench.judging import BASELINE, FEWEST_SEEDS
from bench.metrics import Missing
from bench.reading import Held, Read, each, partitions, read
from bench.record import Record
from bench.robustness import masking
from bench.stats import Difference, Interval
from bench.store import Store, write_parts
from training.errors import UserError

TIMINGS = ("step_time_ratio", "tokens_per_second", "samples_per_second", "peak_memory_ratio", "train_seconds")
STACKED = {"better": "still helps", "worse": "hurts"}
COLUMNS = (
    "board", "task", "model", "tier", "rank", "rank_best", "rank_worst", "group", "pareto", "mitigation", "metric",
    "title", "value", "low", "high", "n", "seeds", "unit", "direction", "status", "reason",
)  # fmt: skip
UNKNOWN, OK = (None,) * 5, ("ok", None)
MATRIX_ONLY = ("transfer_from", "transfer_f1_from")  # a column for every arm, shown as a matrix instead


def build(
    records: Store | Iterable[Record], tables: Any = None, workers: int | None = None, keep: Sequence[str] = ()
) -> list[Board]:
    """The boards of a store, sorted by task, model and tier. `tables(record, name)` is needed when no Store is given.

    `workers`: processes, the same boards with any number; by default as many as pay. `keep`: full names of metrics
    whose values the arms are to keep (`Arm.values`). Raises UserError (StoreError) when a record cannot be read.
    """
    if isinstance(records, Store):
        boards = _of_store(records, workers, keep)
    else:
        found = [(r.model_copy(update={"tables": {}}), extract(r, functools.partial(tables, r))) for r in records]
        boards = _boards(found)
    return sorted(boards, key=order)


def order(board: Board) -> tuple[Any, ...]:
    """What boards are sorted by: of one name the largest first."""
    told = json.dumps([board.fingerprint, board.asked], sort_keys=True)
    return (*_family_of(board), -len(board.arms), told)


def _family_of(board: Board) -> tuple[str, str, str, float]:
    """What the boards share that are told apart by number."""
    return board.task, board.model, board.tier, -board.labelled


def _of_store(store: Store, workers: int | None, keep: Sequence[str]) -> list[Board]:
    ids = store.ids()
    parts = partitions(ids)
    of = functools.partial(of_part, store.folder, keep=keep)
    made = list(each(of, parts, len(ids), workers))
    if torn(made):
        return of(ids)
    return [board for boards in made for board in boards]


def torn(parts: Iterable[Sequence[Board]]) -> bool:
    """Whether boards that belong together were made of different parts of a store, so that all must be read as one.

    A file whose name says another task than its record is then among the wrong ones.
    """
    where: dict[tuple[Any, ...], set[int]] = {}
    for number, boards in enumerate(parts):
        for board in boards:
            where.setdefault(_family_of(board), set()).add(number)
    return any(len(numbers) > 1 for numbers in where.values())


def of_part(folder: Path, ids: Sequence[str], held: Held | None = None, keep: Sequence[str] = ()) -> list[Board]:
    """The finished boards of some records of a store, sorted; `held` keeps whole records that are wanted again.

    `keep`: see `build`. Raises UserError (StoreError) when a record cannot be read.
    """
    boards = _boards(read(folder, ids, held))
    for board in boards:
        kept = (*MATRIX_ONLY, board.score)
        for arm in board.arms:
            arm.values = {n: seeds for n, seeds in arm.values.items() if n in keep or n.partition(":")[0] in kept}
    return boards


def _boards(found: Iterable[Read]) -> list[Board]:
    boards: list[Board] = []
    for record, values in sorted(found, key=lambda pair: (-len(comparability(pair[0])), pair[0].spec_id)):
        place(boards, record, values)
    boards.sort(key=order)
    for board in boards:
        twins = [other for other in boards if _family_of(other) == _family_of(board)]
        board.number = twins.index(board) + 1
        if len(twins) > 1:
            board.notes.append(why_apart(board, twins))
        _finish(board)
    return boards


def _finish(board: Board) -> None:
    tell_apart(board.arms)
    for arm in board.arms:
        arm.seeds = len({seed for by_seed in arm.values.values() for seed in by_seed})
        arm.records.sort(key=lambda r: (int(r.spec["seed"]), r.spec_id))  # type: ignore[arg-type]
        worst = metrics.lower_worst_case(arm.values)
        if worst:
            arm.values["worst_case"] = worst
        arm.masking = masking.masked_recipes(arm.values)
    reference = next((arm.values for arm in board.arms if arm.label == BASELINE), None)
    found = masking.signs_of([(arm.values, arm.masking) for arm in board.arms], reference)
    for arm, signs in zip(board.arms, found, strict=True):
        arm.signs = signs
    for name, by_label in summaries.shared_asr({arm.label: arm.values for arm in board.arms}).items():
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
    for name in board.metrics:
        made = summaries.summarise(name, [arm.values.get(name, {}) for arm in board.arms])
        for arm, summary in zip(board.arms, made, strict=True):
            arm.cells[name] = _cell(arm, name, devices, summary)
    for arm in board.arms:
        arm.cells["seed_deviation"] = _seed_deviation(arm, board.score)
    if len(devices) > 1:
        board.notes.append(f"times and memory are not comparable: the records come from {', '.join(devices)}")
    judging.judge(board)
    judging.rank(board)
    ranks.place(board)
    about = metrics.of(board.score)

    def judge(difference: Difference, p: float) -> str:
        word = judging.verdict(difference, p, about.smallest_difference or 0.0, about.direction)
        return STACKED.get(word, word)

    board.interactions = interactions.find(board, judge)


def _tagging_score(records: list[Record]) -> str:
    """The worst case where taggers were attacked, also if every attack failed; records from before have none."""
    asked = any(name.startswith("attack:") and name.endswith(f":{metrics.TAGS}") for r in records for name in r.stages)
    return "entity_f1_worst" if asked else "entity_f1"


def _cell(arm: Arm, name: str, devices: list[str], found: Interval) -> Interval | Missing:
    if name == "failed_runs":
        return Interval(len(arm.failures) / len(arm.records), None, None, 0, len(arm.records))
    if name == "unhealthy_runs":
        if any(record.status == "ok" and "health" not in record.summary for record in arm.records):
            return Missing("missing", "made before runs were judged")
        return stats.count_interval(sum(map(len, arm.unhealthy.values())), len(arm.records))
    if name in TIMINGS and len(devices) > 1:
        return Missing("not_comparable", "measured on several devices")
    if not arm.values.get(name):
        reasons = [why_missing(record, name) for record in arm.records]
        return next((r for r in reasons if r.status == "failed"), reasons[0])
    return found if found.value is not None else Missing("missing", "no example with a known value")


def _seed_deviation(arm: Arm, score: str) -> Interval | Missing:
    """The sample standard deviation of the seeds' scores; runs without a score are in none of it."""
    values = [metrics.value(score, [one]) for one in arm.values.get(score, {}).values()]
    known = [value for value in values if value is not None]
    if len(known) < FEWEST_SEEDS:
        return Missing("missing", "needs the scores of two seeds")
    return Interval(float(np.std(known, ddof=1)), None, None, 0, len(known))


def tidy(boards: Iterable[Board]) -> pd.DataFrame:
    """One row per board, arm and metric: the numbers behind every format, unknown ones as None."""
    return pd.DataFrame([row for board in boards for row in cells(board)], columns=list(COLUMNS), dtype=object)


def cells(board: Board) -> Iterator[tuple[Any, ...]]:
    """The rows of one board as they stand in `tidy`, each by `COLUMNS`."""
    return (sum(row, ()) for row in groups(board))


def groups(board: Board) -> Iterator[tuple[tuple[Any, ...], ...]]:
    """The rows of `cells` in five groups: whose number, the metric's name, the numbers, what they count, the status.

    All but the numbers are the same in many rows.
    """
    named = {name: (name, metrics.title(name)) for name in board.metrics}
    units = {name: (metrics.of(name).unit, metrics.of(name).direction) for name in board.metrics}
    where = (board.name, board.task, board.model, board.tier)
    for arm in board.arms:
        about = (*where, arm.rank, *(arm.ranks or (None, None)), arm.group or None, arm.front, arm.label)
        for name in board.metrics:
            cell = arm.cells[name]
            if isinstance(cell, Missing):
                yield about, named[name], UNKNOWN, units[name], (cell.status, cell.reason)
            else:
                yield about, named[name], (cell.value, cell.low, cell.high, cell.n, cell.seeds), units[name], OK


def write(records: Store | list[Board], out_dir: Path | str) -> list[Path]:
    """Writes leaderboard.md, .csv, .tex, .html and .json; the same records give the same bytes.

    Raises UserError when a record cannot be read or the folder not be written to.
    """
    from bench.report import formats

    boards = build(records) if isinstance(records, Store) else records
    return save(((suffix, [text.encode()]) for suffix, text in formats.render(boards).items()), out_dir)


def save(texts: Iterable[tuple[str, Iterable[bytes]]], out_dir: Path | str) -> list[Path]:
    """Writes `leaderboard.<suffix>` for each (suffix, parts of its text in UTF-8).

    Raises UserError when the folder cannot be written to.
    """
    folder = Path(out_dir)
    paths = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for suffix, parts in texts:
            paths.append(folder / f"leaderboard.{suffix}")
            write_parts(paths[-1], parts)
    except OSError as error:
        raise UserError(f"cannot write to '{folder}' ({error.strerror}); choose another folder with --out.") from error
    return paths


def show(records: Store | list[Board], console: Any, run: Collection[str] = ()) -> None:
    """Prints the boards on a rich console, with the columns that fit; with `run`, spec ids, those that hold one."""
    from bench.report import terminal

    terminal.show(build(records) if isinstance(records, Store) else records, console, run)
