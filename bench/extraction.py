"""From the tables of one Record to the values of every metric, per example where there are examples."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from bench.columns import ids, median, numbers, parts
from bench.explanations import explained
from bench.metrics import BUDGETS, Missing, Values, table_of
from bench.record import Record
from bench.robustness import attacked_entities, attacked_texts
from bench.stats import Array
from bench.store import Columns, columns_of
from training.errors import UserError

Tables = Callable[[str], Columns | pd.DataFrame]
ECE_BINS = 15
BASELINE = "baseline"


def extract(record: Record, tables: Tables) -> dict[str, Values]:
    """Every metric the Record's tables hold, by full name; what is not there, `why_missing` explains.

    `tables(name)`: the table as columns (`Store.columns`), which is much the faster, or as a data frame.
    Raises UserError when a table lacks a column or holds what cannot be a number: better no board than a wrong one.
    """
    found: dict[str, Values] = {}
    for name in record.tables:
        prefix, _, subject = name.partition(":")
        if prefix not in _READERS:
            continue
        try:
            found |= dict(_READERS[prefix](subject, columns_of(tables(name))))
        except (KeyError, ValueError, TypeError) as error:
            raise UserError(
                f"record '{record.spec_id}': table '{name}' is not as this suite writes it ({error}); "
                "delete the record and run again to redo it."
            ) from error
    asked = record.spec.get("budget_per_word")
    # what an attack with more queries would have done, this run cannot know
    beyond = tuple(f"aua_at_{budget}:" for budget in BUDGETS if isinstance(asked, int) and budget > asked)
    found = {name: value for name, value in found.items() if not name.startswith(beyond)}
    found |= attacked_texts.worst_cases(record, found)
    adaptive = columns_of(tables("adaptive")) if "adaptive" in record.tables else None
    found |= _adapted(found, adaptive) | attacked_entities.adapted(found, adaptive)
    found |= _from_summary(record.summary)
    errors = [found.pop(name).top for name in list(found) if name.startswith("_errors:")]
    if errors:
        found["attack_errors"] = Values(np.array([np.concatenate(errors).mean()]))
    return found


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
    sure, right, sizes = equal_mass(confidence, correct, bins)
    return float(np.cumsum(sizes * np.abs(right - sure))[-1] / len(confidence))


def equal_mass(confidence: Array, correct: Array, bins: int = ECE_BINS) -> tuple[Array, Array, Array]:
    """(mean confidence, accuracy, size) of at most `bins` bins of equal size, from the least sure to the surest.

    At least one example is needed. Where they cannot be equal, the first bins are larger by one.
    """
    order = np.argsort(confidence, kind="stable")
    sizes, starts, places = _bins(len(order), min(bins, len(order)))
    # from a 0 on, as numpy's mean adds; all bins at once, as a mean of a few values takes longer than the bins
    ordered = np.zeros((2, len(order) + len(sizes)))
    ordered[0, places], ordered[1, places] = confidence[order], correct[order]
    sums = np.add.reduceat(ordered, starts, axis=1)
    return sums[0] / sizes, sums[1] / sizes, sizes


@functools.lru_cache(64)
def _bins(n: int, count: int) -> tuple[Array, Array, Array]:
    """(sizes, where each begins, where each value stands) of bins that begin with a 0."""
    sizes = np.full(count, n // count) + (np.arange(count) < n % count)
    return sizes, np.cumsum(sizes) - sizes + np.arange(count), np.arange(n) + np.repeat(np.arange(count), sizes) + 1


Found = Iterator[tuple[str, Values]]


def _scored(accuracy: str, f1: str, columns: Columns) -> Found:
    if "tp" in columns:
        twice = 2 * numbers(columns, "tp")
        yield f1, Values(twice, twice + numbers(columns, "fp") + numbers(columns, "fn"), ids(columns))
    else:
        yield accuracy, Values(numbers(columns, "correct"), None, ids(columns))


def _read_clean(_: str, columns: Columns) -> Found:
    yield from _scored("clean_accuracy", "entity_f1", columns)
    for mode, column in (("calibrated", "confidence_calibrated"), ("raw", "confidence")):
        if len(columns.get(column, ())):
            confidence, correct = numbers(columns, column), numbers(columns, "correct")
            known = ~(np.isnan(confidence) | np.isnan(correct))
            if known.any():
                yield f"ece_{mode}", Values(np.array([ece(confidence[known], correct[known])]))
    for mode, column in (("calibrated", "brier_calibrated"), ("raw", "brier")):
        if column in columns:
            yield f"brier_{mode}", Values(numbers(columns, column), None, ids(columns))
    if "group" in columns:
        yield from _groups(columns)


def _groups(columns: Columns) -> Found:
    """Accuracy of each group, and of the worst one; groups that occur in no example are unknown."""
    groups = parts(columns, "group")
    for name, part in groups.items():
        yield f"group_accuracy:{name}", Values(numbers(part, "correct"), None, ids(part))
    if groups:
        worst = min(float(numbers(part, "correct").mean()) for part in groups.values())
        yield "worst_group_accuracy", Values(np.array([worst]))


def _read_domain(domain: str, columns: Columns) -> Found:
    yield from _scored(f"ood_accuracy:{domain}", f"ood_f1:{domain}", columns)


def _read_transfer(recipe: str, columns: Columns) -> Found:
    for donor, part in (parts(columns, "donor") if "donor" in columns else {BASELINE: columns}).items():
        if "tp" in part:
            yield from attacked_entities.transferred(recipe, donor, part, ids(part))
        elif len(correct := numbers(part, "correct")):
            found = Values(correct, np.ones(len(correct)), ids(part))
            yield f"transfer_from:{recipe}:{donor}", found
            if donor == BASELINE:
                yield f"transfer_accuracy:{recipe}", found


def _read_explain(explainer: str, columns: Columns) -> Found:
    return explained.explain(explainer, columns, ids(columns))


def _read_agreement(explainer: str, columns: Columns) -> Found:
    return explained.agreement(explainer, columns, ids(columns))


def _read_invariance(_: str, columns: Columns) -> Found:
    """Per invariance the share of changed answers over the texts it applies to and that were answered rightly."""
    for name, part in parts(columns, "invariance").items():
        applies = zip(part["applies"], part["correct_before"], strict=True)
        counted = np.array([bool(a) and bool(right) for a, right in applies], dtype=np.float64)
        if counted.any():
            failed = np.where(counted > 0, 1.0 - numbers(part, "same_after"), 0.0)
            yield f"invariance_failure:{name}", Values(failed, counted, ids(part))


def _read_throughput(_: str, columns: Columns) -> Found:
    known = parts(columns, "arm")
    arms = {name: known[name] for name in ("this", "baseline") if name in known}
    seconds = {name: numbers(arm, "seconds") for name, arm in arms.items()}
    if len(seconds) == 2:
        yield "step_time_ratio", Values(np.array([median(seconds["this"]) / median(seconds["baseline"])]))
    for unit in ("tokens", "samples") if "this" in seconds else ():
        yield f"{unit}_per_second", Values(np.array([median(numbers(arms["this"], unit) / seconds["this"])]))
    peaks = [numbers(arms[name], "peak_memory_bytes") for name in arms]
    if len(peaks) == 2 and all(not np.isnan(p).all() and np.nanmax(p) > 0 for p in peaks):
        yield "peak_memory_ratio", Values(np.array([float(np.nanmax(peaks[0]) / np.nanmax(peaks[1]))]))


_READERS: dict[str, Callable[[str, Columns], Found]] = {
    "clean": _read_clean,
    "ood": _read_domain,
    "attack": attacked_texts.read,
    "transfer": _read_transfer,
    "sweep": attacked_texts.swept,
    "explain": _read_explain,
    "edits": explained.edits,
    "agreement": _read_agreement,
    "throughput": _read_throughput,
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
