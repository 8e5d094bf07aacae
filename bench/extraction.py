"""From the tables of one Record to the values of every metric, per example where there are examples."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from bench.explanations import explained
from bench.metrics import BUDGETS, MODES, TAGS, Missing, Values, table_of
from bench.record import Record
from bench.robustness import attacked_entities
from bench.stats import Array
from training.errors import UserError

Tables = Callable[[str], pd.DataFrame]
ECE_BINS = 15
JUDGED_TEXTS = 4  # fewer right answers that are alike may be chance
SURVIVED = {"failed": 1.0, "success": 0.0, "skipped": 0.0, "error": np.nan}
BASELINE = "baseline"


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
    asked = record.spec.get("budget_per_word")
    # what an attack with more queries would have done, this run cannot know
    beyond = tuple(f"aua_at_{budget}:" for budget in BUDGETS if isinstance(asked, int) and budget > asked)
    found = {name: value for name, value in found.items() if not name.startswith(beyond)}
    found |= _worst_cases(record, found)
    found |= _adapted(found, tables("adaptive") if "adaptive" in record.tables else None)
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
    order = np.argsort(confidence, kind="stable")
    parts = np.array_split(order, min(bins, len(order)))
    return float(sum(len(p) * abs(correct[p].mean() - confidence[p].mean()) for p in parts) / len(order))


def _ids(frame: pd.DataFrame) -> tuple[str, ...]:
    ids = tuple(str(one) for one in frame["id"])
    if len(set(ids)) < len(ids):
        raise ValueError("an example id stands twice")
    return ids


def _numbers(frame: pd.DataFrame, column: str) -> Array:
    return np.asarray(frame[column].to_numpy(), dtype=np.float64)  # a third of the time of Series.astype


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
    if mode == TAGS:
        yield from attacked_entities.read(recipe, frame, _ids(frame))
        return
    ids, status = _ids(frame), frame["status"].astype(object)  # comparisons are ten times as fast as on str
    survived = status.map(SURVIVED).to_numpy(dtype=float)
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
    yield f"words_changed_all:{recipe}", Values(changed, attacked, ids)
    yield from _judged(recipe, frame, success, ids)
    # every search here ends at its first success, so a success after q queries is a survivor of any smaller budget
    spent, words = _numbers(frame, "queries"), _numbers(frame, "words")
    for budget in BUDGETS:
        late = (success > 0) & (spent > np.maximum(1, budget * words))
        yield f"aua_at_{budget}:{recipe}", Values(np.where(late, 1.0, survived), None, ids)


def _judged(recipe: str, frame: pd.DataFrame, success: Array, ids: tuple[str, ...]) -> Found:
    """What the successes did to their texts, where the lexicon could say."""
    found = {}
    if "similarity" in frame:
        found["similarity"] = _numbers(frame, "similarity")
    if "perplexity_after" in frame:
        before, after = (_numbers(frame, f"perplexity_{when}") for when in ("before", "after"))
        found["perplexity_rise"] = np.log(after) - np.log(before)
    for name, values in found.items():
        known = (success > 0) & np.isfinite(values)
        if known.any():
            yield f"{name}:{recipe}", Values(np.where(known, values, 0.0), known.astype(float), ids)


def _read_sweep(recipe: str, frame: pd.DataFrame) -> Found:
    """Per text: 1 if it survives at every temperature, 0 if it falls at one, else unknown."""
    status = frame["status"].astype(str).map(SURVIVED)
    table = status.astype(float).groupby([frame["id"].astype(str), frame["factor"].astype(float)]).first().unstack()
    lowest = table.min(axis=1, skipna=True).where((table == 0).any(axis=1) | table.notna().all(axis=1))
    yield f"aua_sweep:{recipe}", Values(lowest.to_numpy(dtype=float), None, tuple(lowest.index))
    # a victim that saturates shows different answers at some temperature, one that answers with labels at none
    right = frame[frame["status"].isin(["success", "failed"])].groupby("factor")["p_before"]
    shares = [part.nunique() / len(part) for _, part in right if len(part) >= JUDGED_TEXTS]
    if shares:
        yield f"score_levels:{recipe}", Values(np.array([max(shares)]))


def _read_transfer(recipe: str, frame: pd.DataFrame) -> Found:
    parts = {str(name): part for name, part in frame.groupby("donor")} if "donor" in frame else {BASELINE: frame}
    for donor, part in parts.items():
        if len(part):
            found = Values(_numbers(part, "correct"), np.ones(len(part)), _ids(part))
            yield f"transfer_from:{recipe}:{donor}", found
            if donor == BASELINE:
                yield f"transfer_accuracy:{recipe}", found


def _read_explain(explainer: str, frame: pd.DataFrame) -> Found:
    return explained.explain(explainer, frame, _ids(frame))


def _read_agreement(explainer: str, frame: pd.DataFrame) -> Found:
    return explained.agreement(explainer, frame, _ids(frame))


def _read_invariance(_: str, frame: pd.DataFrame) -> Found:
    """Per invariance the share of changed answers over the texts it applies to and that were answered rightly."""
    for name, part in frame.groupby("invariance", sort=True):
        counted = (part["applies"].astype(bool) & part["correct_before"].astype(bool)).to_numpy(dtype=float)
        if counted.any():
            failed = np.where(counted > 0, 1.0 - _numbers(part, "same_after"), 0.0)
            yield f"invariance_failure:{name}", Values(failed, counted, _ids(part))


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
    "sweep": _read_sweep,
    "explain": _read_explain,
    "edits": explained.edits,
    "agreement": _read_agreement,
    "throughput": _read_throughput,
    "invariance": _read_invariance,
}


def _worst_cases(record: Record, found: Mapping[str, Values]) -> dict[str, Values]:
    """Per example and mode, 1 only if every ranked recipe failed to fool the victim; unknown if that cannot be said."""
    asked = [str(recipe) for recipe in record.spec.get("recipes") or ()]  # type: ignore[union-attr]
    recipes = [recipe for recipe in asked if _ranked(record, recipe)]
    worst: dict[str, Values] = attacked_entities.worst(recipes, found)
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


def _ranked(record: Record, recipe: str) -> bool:
    """False for a recipe whose fingerprint says that it is only shown."""
    known = record.fingerprints.get(f"recipe:{recipe}")
    return not isinstance(known, dict) or bool(known.get("ranked", True))


def _adapted(found: Mapping[str, Values], frame: pd.DataFrame | None) -> dict[str, Values]:
    """The calibrated worst case less what the adaptive pass fooled: never above it, on no text."""
    worst = found.get("worst_case_calibrated")
    if frame is None or worst is None:
        return {}
    fallen = set(frame["id"][frame["status"] == "success"].astype(str))
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
