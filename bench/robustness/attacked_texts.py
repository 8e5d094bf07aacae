"""From the attack tables of a Record to what survived, per text: one attack, a sweep, the worst of several attacks."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from bench.columns import Rows, Stack, numbers
from bench.metrics import BUDGETS, MODES, TAGS, Values
from bench.record import Record
from bench.robustness import attacked_entities
from bench.stats import Array
from bench.store import Columns

JUDGED_TEXTS = 4  # fewer right answers that are alike may be chance
SURVIVED = {"failed": 1.0, "success": 0.0, "skipped": 0.0, "error": np.nan}
VERDICTS = {verdict: place for place, verdict in enumerate(SURVIVED)}
# per verdict, and last for a word that is none: survived, error, success, attacked
SAID = np.array(
    [
        [*SURVIVED.values(), np.nan],
        *(
            [float(verdict in wanted) for verdict in (*SURVIVED, None)]
            for wanted in (("error",), ("success",), ("success", "failed"))
        ),
    ]
)
Found = Iterator[tuple[str, Values]]
Stacked = Iterator[tuple[str, Rows]]


def read(subject: str, stack: Stack) -> Stacked:
    """The metrics of one recipe and mode, of each record of the stack."""
    recipe, _, mode = subject.rpartition(":")
    if mode == TAGS:
        yield from attacked_entities.read(recipe, stack)
        return
    status = stack.cells["status"]
    said = itertools.chain.from_iterable(status)
    verdicts = np.array([*map(VERDICTS.get, said, itertools.repeat(len(VERDICTS)))], dtype=np.intp)
    survived, error, success, attacked = SAID[:, verdicts.reshape(len(status), len(stack.ids))]
    yield f"aua_{mode}:{recipe}", Rows(survived, None, stack.ids)
    yield f"_errors:{subject}", Rows(error)
    if mode != "calibrated":
        return
    yield f"asr:{recipe}", Rows(success, attacked, stack.ids)
    won, spent, words = success > 0, stack.numbers("queries"), stack.numbers("words")
    yield f"queries:{recipe}", Rows(np.where(attacked > 0, spent, 0.0), attacked, stack.ids)
    changed = np.where(won, stack.numbers("words_changed") / np.maximum(words, 1), 0.0)
    yield f"words_changed:{recipe}", Rows(changed, success, stack.ids)
    yield f"words_changed_all:{recipe}", Rows(changed, attacked, stack.ids)
    yield from _judged(recipe, stack, won)
    # every search here ends at its first success, so a success after q queries is a survivor of any smaller budget
    for budget in BUDGETS:
        kept = np.where(won & (spent > np.maximum(1, budget * words)), 1.0, survived)
        yield f"aua_at_{budget}:{recipe}", Rows(kept, None, stack.ids)


def _judged(recipe: str, stack: Stack, won: Array) -> Stacked:
    """What the successes did to their texts, where the lexicon could say."""
    found = {}
    if "similarity" in stack.cells:
        found["similarity"] = stack.numbers("similarity")
    if "perplexity_after" in stack.cells:
        before, after = (stack.numbers(f"perplexity_{when}") for when in ("before", "after"))
        found["perplexity_rise"] = np.log(after) - np.log(before)
    if "errors_after" in stack.cells:
        found["errors_added"] = stack.numbers("errors_after") - stack.numbers("errors_before")
    if "retagged" in stack.cells:  # of words, not of texts: a text weighs as many as it has replaced ones
        replaced, retagged = stack.numbers("replaced"), stack.numbers("retagged")
        known = won & (replaced > 0)
        top, bottom = np.where(known, retagged, 0.0), np.where(known, replaced, 0.0)
        yield f"retagged:{recipe}", Rows(top, bottom, stack.ids, np.logical_or.reduce(known, axis=1))
    for name, values in found.items():
        known = won & np.isfinite(values)
        top = np.where(known, values, 0.0)
        yield f"{name}:{recipe}", Rows(top, known.astype(float), stack.ids, np.logical_or.reduce(known, axis=1))


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


def _lowest(tables: Array) -> Array:
    """(..., attacks, examples) survivals -> per example the lowest: a success decides, without one an unknown does."""
    known: Array = np.fmin.reduce(tables, axis=-2)
    least: Array = np.minimum.reduce(tables, axis=-2)  # NaN where one is
    return np.where(known == 0, known, least)


def worst_cases(records: Sequence[Record], found: Sequence[dict[str, Values]]) -> None:
    """Adds to what was found of each record, per example and mode, 1 only if every ranked recipe failed to fool it.

    Unknown where that cannot be said.
    """
    alike: dict[tuple[int, int], list[tuple[dict[str, Values], str, tuple[str, ...], list[Array]]]] = {}
    for record, values in zip(records, found, strict=True):
        asked = [str(recipe) for recipe in record.spec.get("recipes") or ()]  # type: ignore[union-attr]
        recipes = [recipe for recipe in asked if _ranked(record, recipe)]
        values |= attacked_entities.worst(recipes, values)
        for mode in MODES if recipes else ():
            known = [arm for recipe in recipes if (arm := values.get(f"aua_{mode}:{recipe}")) is not None]
            if len(known) < len(recipes):
                continue
            ids = known[0].ids or ()
            if any(arm.ids != ids for arm in known):
                ids = tuple(dict.fromkeys(one for arm in known for one in arm.ids or ()))
            table = [_aligned(arm, ids) for arm in known]
            alike.setdefault((len(table), len(ids)), []).append((values, f"worst_case_{mode}", ids, table))
    for same in alike.values():
        lowest = _lowest(np.array([table for *_, table in same]))
        for (values, name, ids, _), row in zip(same, lowest, strict=True):
            values[name] = Values(row, None, ids)


def _aligned(values: Values, ids: tuple[str, ...]) -> Array:
    if values.ids == ids:
        return values.top
    own = dict(zip(values.ids or (), values.top, strict=True))
    return np.array([own.get(one, np.nan) for one in ids])


def _ranked(record: Record, recipe: str) -> bool:
    """False for a recipe whose fingerprint says that it is only shown."""
    known = record.fingerprints.get(f"recipe:{recipe}")
    return not isinstance(known, dict) or bool(known.get("ranked", True))
