"""From the tables of one Record to the values of every metric, per example where there are examples."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from bench.columns import Rows, Stack, ids, medians, numbers, parts, stacks
from bench.explanations import explained
from bench.metrics import BUDGETS, Missing, Values, table_of
from bench.record import Record
from bench.robustness import attacked_entities, attacked_texts
from bench.stats import Array
from bench.store import Columns, columns_of
from training.errors import UserError

Tables = Callable[[str], Columns | pd.DataFrame]
TablesOf = Callable[[Record, str], Columns | pd.DataFrame]
ECE_BINS = 15
BASELINE = "baseline"


def extract(record: Record, tables: Tables) -> dict[str, Values]:
    """Every metric the Record's tables hold, by full name; what is not there, `why_missing` explains.

    `tables(name)`: the table as columns (`Store.columns`), which is much the faster, or as a data frame.
    Raises UserError when a table lacks a column or holds what cannot be a number: better no board than a wrong one.
    """
    return extract_all([record], lambda _, name: tables(name))[0]


def extract_all(records: Sequence[Record], tables: TablesOf) -> list[dict[str, Values]]:
    """`extract` of each record, in a third of the time where many hold tables about the same examples."""
    found: list[dict[str, Values]] = [{} for _ in records]
    for name in dict.fromkeys(name for record in records for name in record.tables):
        try:
            having = [number for number, record in enumerate(records) if name in record.tables]
            _read(name, {number: columns_of(tables(records[number], name)) for number in having}, found)
        except (KeyError, ValueError, TypeError) as error:
            if len(records) > 1:  # one of them, which is named when it is read by itself
                return [extract_all([record], tables)[0] for record in records]
            raise UserError(
                f"record '{records[0].spec_id}': table '{name}' is not as this suite writes it ({error}); "
                "delete the record and run again to redo it."
            ) from error
    for record, values in zip(records, found, strict=True):
        asked = record.spec.get("budget_per_word")
        # what an attack with more queries would have done, this run cannot know
        beyond = tuple(f"aua_at_{budget}:" for budget in BUDGETS if isinstance(asked, int) and budget > asked)
        for name in [name for name in values if name.startswith(beyond)] if beyond else ():
            del values[name]
    attacked_texts.worst_cases(records, found)
    for record, values in zip(records, found, strict=True):
        adaptive = columns_of(tables(record, "adaptive")) if "adaptive" in record.tables else None
        values |= _adapted(values, adaptive) | attacked_entities.adapted(values, adaptive)
        values |= _from_summary(record.summary)
        errors = [values.pop(name).top for name in [*values] if name.startswith("_errors:")]
        if errors:
            together = np.concatenate(errors)
            values["attack_errors"] = Values(np.array([together.sum() / len(together)]))
    return found


def _read(name: str, tables: Mapping[int, Columns], found: Sequence[dict[str, Values]]) -> None:
    """Adds to what was `found` of each record the metrics of its table of this name, by the record's number."""
    prefix, _, subject = name.partition(":")
    if prefix in _TOGETHER:
        for numbered, stack in stacks(tables, "arm" if prefix == "throughput" else "id"):
            for metric, rows in _TOGETHER[prefix](subject, stack):
                for number, values in zip(numbered, rows.values(), strict=True):
                    if values is not None:
                        found[number][metric] = values
    if prefix in _READERS:
        for number, columns in tables.items():
            found[number].update(_READERS[prefix](subject, columns))


def why_missing(record: Record, name: str) -> Missing:
    """The status and reason of a metric that `extract` did not find."""
    table = table_of(name)
    prefix, _, subject = table.partition(":")
    stages = {table, prefix, {"clean": "evaluate", "ood": "evaluate", "edits": "explain"}.get(prefix)}
    # an explainer that may not judge an arm (see bench/run.py) has none of its tables
    stages |= {f"explain:{subject}"} if prefix in ("edits", "agreement") else set()
    for stage, result in record.stages.items():
        known = stage in stages or (table == "attack" and stage.startswith("attack:"))
        if known and result.status != "ok":
            return Missing(result.status, str(result.reason))
    if record.status == "failed":
        return Missing("failed", str(record.reason))
    return Missing("missing", "not asked for, or not measured here")


def ece(confidence: Array, correct: Array, bins: int = ECE_BINS) -> float:
    """Expected calibration error over equal-mass bins: mean of |accuracy - confidence| weighted by bin size."""
    return float(_eces(confidence[None], correct[None], bins)[0])


def _eces(confidence: Array, correct: Array, bins: int = ECE_BINS) -> Array:
    """`ece` of each row of (records, examples)."""
    sure, right, sizes = equal_masses(confidence, correct, bins)
    off: Array = (sizes * np.abs(right - sure)).cumsum(axis=1)[:, -1] / confidence.shape[1]
    return off


def equal_mass(confidence: Array, correct: Array, bins: int = ECE_BINS) -> tuple[Array, Array, Array]:
    """(mean confidence, accuracy, size) of at most `bins` bins of equal size, from the least sure to the surest.

    At least one example is needed. Where they cannot be equal, the first bins are larger by one.
    """
    sure, right, sizes = equal_masses(confidence[None], correct[None], bins)
    return sure[0], right[0], sizes


def equal_masses(confidence: Array, correct: Array, bins: int) -> tuple[Array, Array, Array]:
    """`equal_mass` of each row of (records, examples); the sizes are the same for all."""
    n = confidence.shape[1]
    order = confidence.argsort(axis=1, kind="stable")
    sizes, starts, places = _bins(n, min(bins, n))
    # from a 0 on, as numpy's mean adds; all bins at once, as a mean of a few values takes longer than the bins
    ordered = np.zeros((2, len(order), n + len(sizes)))
    ordered[..., places] = [np.take_along_axis(each, order, axis=1) for each in (confidence, correct)]
    sure, right = np.add.reduceat(ordered, starts, axis=2) / sizes
    return sure, right, sizes


@functools.lru_cache(64)
def _bins(n: int, count: int) -> tuple[Array, Array, Array]:
    """(sizes, where each begins, where each value stands) of bins that begin with a 0."""
    sizes = np.full(count, n // count) + (np.arange(count) < n % count)
    return sizes, np.cumsum(sizes) - sizes + np.arange(count), np.arange(n) + np.repeat(np.arange(count), sizes) + 1


Found = Iterator[tuple[str, Values]]
Stacked = Iterator[tuple[str, Rows]]


def _scored(accuracy: str, f1: str, stack: Stack) -> Stacked:
    if "tp" in stack.cells:
        twice = 2 * stack.numbers("tp")
        yield f1, Rows(twice, twice + stack.numbers("fp") + stack.numbers("fn"), stack.ids)
    else:
        yield accuracy, Rows(stack.numbers("correct"), None, stack.ids)


def _read_clean(_: str, stack: Stack) -> Stacked:
    yield from _scored("clean_accuracy", "entity_f1", stack)
    for mode, column in (("calibrated", "confidence_calibrated"), ("raw", "confidence")):
        if column in stack.cells and stack.ids:
            yield f"ece_{mode}", _calibration(stack.numbers(column), stack.numbers("correct"))
    for mode, column in (("calibrated", "brier_calibrated"), ("raw", "brier")):
        if column in stack.cells:
            yield f"brier_{mode}", Rows(stack.numbers(column), None, stack.ids)


def _calibration(confidence: Array, correct: Array) -> Rows:
    """The calibration errors of (records, examples), over the examples of which both are known."""
    known = ~np.isnan(confidence + correct)
    whole, there = known.all(axis=1), known.any(axis=1)
    off = np.full((len(known), 1), np.nan)
    if whole.any():
        off[whole, 0] = _eces(confidence[whole], correct[whole])
    for row in np.flatnonzero(there & ~whole):
        off[row] = ece(confidence[row, known[row]], correct[row, known[row]])
    return Rows(off, there=there)


def _read_groups(_: str, columns: Columns) -> Found:
    """Accuracy of each group, and of the worst one; groups that occur in no example are unknown."""
    groups = parts(columns, "group") if "group" in columns else {}
    for name, part in groups.items():
        yield f"group_accuracy:{name}", Values(numbers(part, "correct"), None, ids(part))
    if groups:
        worst = min(float(numbers(part, "correct").mean()) for part in groups.values())
        yield "worst_group_accuracy", Values(np.array([worst]))


def _read_domain(domain: str, stack: Stack) -> Stacked:
    yield from _scored(f"ood_accuracy:{domain}", f"ood_f1:{domain}", stack)


def _read_transfer(recipe: str, columns: Columns) -> Found:
    for donor, part in (parts(columns, "donor") if "donor" in columns else {BASELINE: columns}).items():
        if "tp" in part:
            yield from attacked_entities.transferred(recipe, donor, part, ids(part))
        elif len(correct := numbers(part, "correct")):
            found = Values(correct, np.ones(len(correct)), ids(part))
            yield f"transfer_from:{recipe}:{donor}", found
            if donor == BASELINE:
                yield f"transfer_accuracy:{recipe}", found


def _read_invariance(_: str, columns: Columns) -> Found:
    """Per invariance the share of changed answers over the texts it applies to and that were answered rightly."""
    for name, part in parts(columns, "invariance").items():
        applies = zip(part["applies"], part["correct_before"], strict=True)
        counted = np.array([bool(a) and bool(right) for a, right in applies], dtype=np.float64)
        if counted.any():
            failed = np.where(counted > 0, 1.0 - numbers(part, "same_after"), 0.0)
            yield f"invariance_failure:{name}", Values(failed, counted, ids(part))


def _read_throughput(_: str, stack: Stack) -> Stacked:
    arms = {name: stack.about(name) for name in ("this", "baseline") if name in stack.ids}
    seconds = {name: arm.numbers("seconds") for name, arm in arms.items()}
    if len(seconds) == 2:
        base = medians(seconds["baseline"])
        some = base != 0  # a step of no time is none that was measured
        yield "step_time_ratio", Rows((medians(seconds["this"]) / np.where(some, base, 1.0))[:, None], there=some)
    for unit in ("tokens", "samples") if "this" in seconds else ():
        yield f"{unit}_per_second", Rows(medians(arms["this"].numbers(unit) / seconds["this"])[:, None])
    peaks = [np.fmax.reduce(arm.numbers("peak_memory_bytes"), axis=1) for arm in arms.values()]
    if len(peaks) == 2:
        there = np.minimum(*peaks) > 0  # not so where one is unknown
        yield "peak_memory_ratio", Rows((peaks[0] / np.where(there, peaks[1], 1.0))[:, None], there=there)


_TOGETHER: dict[str, Callable[[str, Stack], Stacked]] = {
    "clean": _read_clean,
    "ood": _read_domain,
    "attack": attacked_texts.read,
    "explain": explained.explain,
    "agreement": explained.agreement,
    "throughput": _read_throughput,
}
_READERS: dict[str, Callable[[str, Columns], Found]] = {
    "clean": _read_groups,
    "transfer": _read_transfer,
    "sweep": attacked_texts.swept,
    "edits": explained.edits,
    "invariance": _read_invariance,
}


def _adapted(found: Mapping[str, Values], columns: Columns | None) -> dict[str, Values]:
    """The calibrated worst case less what the adaptive pass fooled: never above it, on no text."""
    worst = found.get("worst_case_calibrated")
    if columns is None or worst is None:
        return {}
    rows = zip(columns["id"], columns["status"], strict=True)
    fallen = {str(one) for one, status in rows if status == "success"}
    lost = np.array([one in fallen for one in worst.ids or ()], dtype=bool)
    return {"worst_case_adaptive": Values(np.where(lost, 0.0, worst.top), None, worst.ids)}


def _from_summary(summary: Mapping[str, Any]) -> dict[str, Values]:
    found = {}
    total, trainable = summary.get("parameters"), summary.get("trainable_parameters")
    if total and trainable is not None:
        found["trainable_share"] = Values(np.array([trainable / total], dtype=float))
    for name in ("train_seconds", "counted_cost", "temperature"):
        if summary.get(name) is not None:
            found[name] = Values(np.array([summary[name]], dtype=float))
    # a run that diverged was measured in nothing else, and its few steps say little
    for name in ("clipped_share", "loss_spikes") if summary.get("health") != "diverged" else ():
        if summary.get(name) is not None:
            found[name] = Values(np.array([summary[name]], dtype=float))
    train, validation = summary.get("train_score"), summary.get("validation_score")
    if train is not None and validation is not None:
        found["generalisation_gap"] = Values(np.array([train - validation], dtype=float))
    return found
