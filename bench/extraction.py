"""From the tables of one Record to the values of every metric, per example where there are examples."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from bench.metrics import MODES, Missing, Values, table_of
from bench.record import Record
from bench.stats import Array
from training.errors import UserError

Tables = Callable[[str], pd.DataFrame]
ECE_BINS = 15
COMPLETENESS_LIMIT = 0.05


def extract(record: Record, tables: Tables) -> dict[str, Values]:
    """Every metric the Record's tables hold, by full name; what is not there, `why_missing` explains.

    Raises UserError when a table lacks a column or holds what cannot be a number: better no board than a wrong one.
    """
    found: dict[str, Values] = {}
    for name in record.tables:
        prefix, _, subject = name.partition(":")
        if prefix not in _READERS:
            continue
        try:
            found |= dict(_READERS[prefix](subject, tables(name)))
        except (KeyError, ValueError, TypeError) as error:
            raise UserError(
                f"record '{record.spec_id}': table '{name}' is not as this suite writes it ({error}); "
                "delete the record and run again to redo it."
            ) from error
    found |= _worst_cases(record, found)
    found |= _from_summary(record.summary)
    errors = [found.pop(name).top for name in list(found) if name.startswith("_errors:")]
    if errors:
        found["attack_errors"] = Values(np.array([np.concatenate(errors).mean()]))
    return found


def why_missing(record: Record, name: str) -> Missing:
    """The status and reason of a metric that `extract` did not find."""
    table = table_of(name)
    stages = {table, table.partition(":")[0], {"clean": "evaluate", "ood": "evaluate"}.get(table.partition(":")[0])}
    for stage, result in record.stages.items():
        known = stage in stages or (table == "attack" and stage.startswith("attack:"))
        if known and result.status != "ok":
            return Missing(result.status, str(result.reason))
    if record.status == "failed":
        return Missing("failed", str(record.reason))
    return Missing("missing", "not asked for, or not measured here")


def ece(confidence: Array, correct: Array, bins: int = ECE_BINS) -> float:
    """Expected calibration error over equal-mass bins: mean of |accuracy - confidence| weighted by bin size."""
    order = np.argsort(confidence, kind="stable")
    parts = np.array_split(order, min(bins, len(order)))
    return float(sum(len(p) * abs(correct[p].mean() - confidence[p].mean()) for p in parts) / len(order))


def _ids(frame: pd.DataFrame) -> tuple[str, ...]:
    ids = tuple(str(one) for one in frame["id"])
    if len(set(ids)) < len(ids):
        raise ValueError("an example id stands twice")
    return ids


def _numbers(frame: pd.DataFrame, column: str) -> Array:
    return frame[column].astype("float64").to_numpy()


Found = Iterator[tuple[str, Values]]


def _scored(accuracy: str, f1: str, frame: pd.DataFrame) -> Found:
    if "tp" in frame:
        twice = 2 * _numbers(frame, "tp")
        yield f1, Values(twice, twice + _numbers(frame, "fp") + _numbers(frame, "fn"), _ids(frame))
    else:
        yield accuracy, Values(_numbers(frame, "correct"), None, _ids(frame))


def _read_clean(_: str, frame: pd.DataFrame) -> Found:
    yield from _scored("clean_accuracy", "entity_f1", frame)
    for mode, column in (("calibrated", "confidence_calibrated"), ("raw", "confidence")):
        if column in frame and len(frame):
            confidence, correct = _numbers(frame, column), _numbers(frame, "correct")
            known = ~(np.isnan(confidence) | np.isnan(correct))
            if known.any():
                yield f"ece_{mode}", Values(np.array([ece(confidence[known], correct[known])]))
    for mode, column in (("calibrated", "brier_calibrated"), ("raw", "brier")):
        if column in frame:
            yield f"brier_{mode}", Values(_numbers(frame, column), None, _ids(frame))
    if "group" in frame:
        yield from _groups(frame)


def _groups(frame: pd.DataFrame) -> Found:
    """Accuracy of each group, and of the worst one; groups that occur in no example are unknown."""
    parts = {str(name): part for name, part in frame.groupby("group", sort=True)}
    for name, part in parts.items():
        yield f"group_accuracy:{name}", Values(_numbers(part, "correct"), None, _ids(part))
    if parts:
        worst = min(float(_numbers(part, "correct").mean()) for part in parts.values())
        yield "worst_group_accuracy", Values(np.array([worst]))


def _read_domain(domain: str, frame: pd.DataFrame) -> Found:
    yield from _scored(f"ood_accuracy:{domain}", f"ood_f1:{domain}", frame)


def _read_attack(subject: str, frame: pd.DataFrame) -> Found:
    recipe, _, mode = subject.rpartition(":")
    ids, status = _ids(frame), frame["status"].astype(str)
    survived = status.map({"failed": 1.0, "success": 0.0, "skipped": 0.0, "error": np.nan}).to_numpy(dtype=float)
    yield f"aua_{mode}:{recipe}", Values(survived, None, ids)
    yield f"_errors:{subject}", Values((status == "error").to_numpy(dtype=float))
    if mode != "calibrated":
        return
    success = (status == "success").to_numpy(dtype=float)
    attacked = success + (status == "failed").to_numpy(dtype=float)
    yield f"asr:{recipe}", Values(success, attacked, ids)
    yield f"queries:{recipe}", Values(np.where(attacked > 0, _numbers(frame, "queries"), 0.0), attacked, ids)
    changed = np.where(success > 0, _numbers(frame, "words_changed") / _numbers(frame, "words").clip(1), 0.0)
    yield f"words_changed:{recipe}", Values(changed, success, ids)


def _read_transfer(recipe: str, frame: pd.DataFrame) -> Found:
    if len(frame):
        yield f"transfer_accuracy:{recipe}", Values(_numbers(frame, "correct"), np.ones(len(frame)), _ids(frame))


def _read_explain(explainer: str, frame: pd.DataFrame) -> Found:
    ids = _ids(frame)
    for name in ("dnaopc", "comprehensiveness", "sufficiency", "masked_keeps_class"):
        if name in frame:
            yield f"{name}:{explainer}", Values(_numbers(frame, name), None, ids)
    error = _numbers(frame, "completeness_error") if "completeness_error" in frame else np.array([])
    if not np.isnan(error).all():
        over = np.where(np.isnan(error), np.nan, (np.abs(error) > COMPLETENESS_LIMIT).astype(float))
        yield f"completeness_failures:{explainer}", Values(over, None, ids)
    tau = _numbers(frame, "drift_tau") if "drift_tau" in frame else np.full(len(ids), np.nan)
    paired = ~np.isnan(tau)
    if paired.any():
        yield f"drift_tau:{explainer}", Values(np.where(paired, tau, 0.0), paired.astype(float), ids)


def _read_throughput(_: str, frame: pd.DataFrame) -> Found:
    arms = {name: frame[frame["arm"] == name] for name in ("this", "baseline")}
    seconds = {name: float(np.median(_numbers(arm, "seconds"))) for name, arm in arms.items() if len(arm)}
    if len(seconds) == 2:
        yield "step_time_ratio", Values(np.array([seconds["this"] / seconds["baseline"]]))
    for unit in ("tokens", "samples") if "this" in seconds else ():
        rate = _numbers(arms["this"], unit) / _numbers(arms["this"], "seconds")
        yield f"{unit}_per_second", Values(np.array([float(np.median(rate))]))
    peaks = [_numbers(arms[name], "peak_memory_bytes") for name in ("this", "baseline")]
    if all(len(p) and not np.isnan(p).all() and np.nanmax(p) > 0 for p in peaks):
        yield "peak_memory_ratio", Values(np.array([float(np.nanmax(peaks[0]) / np.nanmax(peaks[1]))]))


_READERS: dict[str, Callable[[str, pd.DataFrame], Found]] = {
    "clean": _read_clean,
    "ood": _read_domain,
    "attack": _read_attack,
    "transfer": _read_transfer,
    "explain": _read_explain,
    "throughput": _read_throughput,
}


def _worst_cases(record: Record, found: Mapping[str, Values]) -> dict[str, Values]:
    """Per example and mode, 1 only if every asked recipe failed to fool the victim; unknown if that cannot be said."""
    recipes = [str(recipe) for recipe in record.spec.get("recipes") or ()]  # type: ignore[union-attr]
    worst: dict[str, Values] = {}
    for mode in MODES if recipes else ():
        arms = [found.get(f"aua_{mode}:{recipe}") for recipe in recipes]
        series = [pd.Series(arm.top, index=list(arm.ids or ())) for arm in arms if arm is not None]
        if len(series) < len(recipes):
            continue
        table = pd.concat(series, axis=1)
        # one success decides; without one, an unknown leaves the worst case unknown
        survived = table.min(axis=1, skipna=True).where((table == 0).any(axis=1) | table.notna().all(axis=1))
        worst[f"worst_case_{mode}"] = Values(survived.to_numpy(dtype=float), None, tuple(survived.index))
    return worst


def _from_summary(summary: Mapping[str, Any]) -> dict[str, Values]:
    found = {}
    total, trainable = summary.get("parameters"), summary.get("trainable_parameters")
    if total and trainable is not None:
        found["trainable_share"] = Values(np.array([trainable / total], dtype=float))
    for name in ("train_seconds", "counted_cost"):
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
