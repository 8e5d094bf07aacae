"""From the attack tables of a Record to what survived, per text: one attack, a sweep, the worst of several attacks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from bench.columns import equal, numbers
from bench.columns import ids as ids_of
from bench.metrics import BUDGETS, MODES, TAGS, Values
from bench.record import Record
from bench.robustness import attacked_entities
from bench.stats import Array
from bench.store import Columns

JUDGED_TEXTS = 4  # fewer right answers that are alike may be chance
SURVIVED = {"failed": 1.0, "success": 0.0, "skipped": 0.0, "error": np.nan}
Found = Iterator[tuple[str, Values]]


def read(subject: str, columns: Columns) -> Found:
    recipe, _, mode = subject.rpartition(":")
    if mode == TAGS:
        yield from attacked_entities.read(recipe, columns, ids_of(columns))
        return
    ids, status = ids_of(columns), columns["status"]
    survived = np.array([SURVIVED.get(one, np.nan) for one in status])
    yield f"aua_{mode}:{recipe}", Values(survived, None, ids)
    yield f"_errors:{subject}", Values(equal(status, "error"))
    if mode != "calibrated":
        return
    success = equal(status, "success")
    attacked = success + equal(status, "failed")
    yield f"asr:{recipe}", Values(success, attacked, ids)
    spent, words = numbers(columns, "queries"), numbers(columns, "words")
    yield f"queries:{recipe}", Values(np.where(attacked > 0, spent, 0.0), attacked, ids)
    changed = np.where(success > 0, numbers(columns, "words_changed") / np.maximum(words, 1), 0.0)
    yield f"words_changed:{recipe}", Values(changed, success, ids)
    yield f"words_changed_all:{recipe}", Values(changed, attacked, ids)
    yield from _judged(recipe, columns, success, ids)
    # every search here ends at its first success, so a success after q queries is a survivor of any smaller budget
    granted = np.maximum(1, np.array(BUDGETS)[:, None] * words)
    kept = np.where((success > 0) & (spent > granted), 1.0, survived)
    for budget, row in zip(BUDGETS, kept, strict=True):
        yield f"aua_at_{budget}:{recipe}", Values(row, None, ids)


def _judged(recipe: str, columns: Columns, success: Array, ids: tuple[str, ...]) -> Found:
    """What the successes did to their texts, where the lexicon could say."""
    found = {}
    if "similarity" in columns:
        found["similarity"] = numbers(columns, "similarity")
    if "perplexity_after" in columns:
        before, after = (numbers(columns, f"perplexity_{when}") for when in ("before", "after"))
        found["perplexity_rise"] = np.log(after) - np.log(before)
    if "errors_after" in columns:
        found["errors_added"] = numbers(columns, "errors_after") - numbers(columns, "errors_before")
    if "retagged" in columns:  # of words, not of texts: a text weighs as many as it has replaced ones
        replaced, retagged = numbers(columns, "replaced"), numbers(columns, "retagged")
        known = (success > 0) & (replaced > 0)
        if known.any():
            yield f"retagged:{recipe}", Values(np.where(known, retagged, 0.0), np.where(known, replaced, 0.0), ids)
    for name, values in found.items():
        known = (success > 0) & np.isfinite(values)
        if known.any():
            yield f"{name}:{recipe}", Values(np.where(known, values, 0.0), known.astype(float), ids)


def swept(recipe: str, columns: Columns) -> Found:
    """Per text: 1 if it survives at every temperature, 0 if it falls at one, else unknown."""
    status, factors = columns["status"], numbers(columns, "factor")
    seen: dict[float, dict[str, float]] = {}
    for one, factor, word in zip(columns["id"], factors.tolist(), status, strict=True):
        if factor == factor:
            outcome, texts = SURVIVED.get(word, np.nan), seen.setdefault(factor, {})
            # of several rows the first one that says something
            texts[str(one)] = outcome if np.isnan(texts.get(str(one), np.nan)) else texts[str(one)]
    ids = tuple(sorted({one for texts in seen.values() for one in texts}))
    if "tp" in columns:
        yield from attacked_entities.swept(recipe, columns)
    elif ids:
        table = np.array([[texts.get(one, np.nan) for one in ids] for texts in seen.values()])
        yield f"aua_sweep:{recipe}", Values(_lowest(table), None, ids)
    # a victim that saturates shows different answers at some temperature, one that answers with labels at none
    right: dict[float, list[Any]] = {}
    for factor, word, probability in zip(factors.tolist(), status, columns["p_before"], strict=True):
        if word in ("success", "failed") and factor == factor:
            right.setdefault(factor, []).append(probability)
    shares = [len({*part} - {None}) / len(part) for part in right.values() if len(part) >= JUDGED_TEXTS]
    if shares:
        yield f"score_levels:{recipe}", Values(np.array([max(shares)]))


def _lowest(table: Array) -> Array:
    """(attacks, examples) survivals -> per example the lowest: one success decides, without one an unknown does."""
    known = (table == 0).any(axis=0) | ~np.isnan(table).any(axis=0)
    return np.where(known, np.fmin.reduce(table, axis=0), np.nan)


def worst_cases(record: Record, found: Mapping[str, Values]) -> dict[str, Values]:
    """Per example and mode, 1 only if every ranked recipe failed to fool the victim; unknown if that cannot be said."""
    asked = [str(recipe) for recipe in record.spec.get("recipes") or ()]  # type: ignore[union-attr]
    recipes = [recipe for recipe in asked if _ranked(record, recipe)]
    worst: dict[str, Values] = attacked_entities.worst(recipes, found)
    for mode in MODES if recipes else ():
        arms = [found.get(f"aua_{mode}:{recipe}") for recipe in recipes]
        known = [arm for arm in arms if arm is not None]
        if len(known) < len(recipes):
            continue
        ids = known[0].ids or ()
        if any(arm.ids != ids for arm in known):
            ids = tuple(dict.fromkeys(one for arm in known for one in arm.ids or ()))
        worst[f"worst_case_{mode}"] = Values(_lowest(np.array([_aligned(arm, ids) for arm in known])), None, ids)
    return worst


def _aligned(values: Values, ids: tuple[str, ...]) -> Array:
    if values.ids == ids:
        return values.top
    own = dict(zip(values.ids or (), values.top, strict=True))
    return np.array([own.get(one, np.nan) for one in ids])


def _ranked(record: Record, recipe: str) -> bool:
    """False for a recipe whose fingerprint says that it is only shown."""
    known = record.fingerprints.get(f"recipe:{recipe}")
    return not isinstance(known, dict) or bool(known.get("ranked", True))
