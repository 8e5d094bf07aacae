"""From the attack tables of a tagging Record to entity F1 under attack, per sentence as a ratio of sums."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from bench.columns import Rows, Stack
from bench.metrics import TAGS, Values
from bench.spec import BASELINE
from bench.stats import Array
from bench.store import Columns

Row = tuple[float, float, float]


def read(recipe: str, stack: Stack) -> Iterator[tuple[str, Rows]]:
    """The metrics of one recipe. A sentence without a verdict weighs nothing, and counts as an attack error.

    2 tp over 2 tp + fp + fn, of the perturbed sentence after a success, else of the sentence as it is: the sentences
    that were wrong without any attack count as they are.
    """
    status = np.array(stack.cells["status"], dtype=object)
    top, bottom = _f1(stack.cells, status)
    yield f"entity_f1_attacked:{recipe}", Rows(top, bottom, stack.ids)
    yield f"_errors:{recipe}:{TAGS}", Rows((status == "error").astype(float))
    success = (status == "success").astype(float)
    attacked = success + (status == "failed").astype(float)
    yield f"asr:{recipe}", Rows(success, attacked, stack.ids)
    queries, words, changed = _numbers(stack.cells, "queries", "words", "words_changed")
    yield f"queries:{recipe}", Rows(np.where(attacked > 0, queries, 0.0), attacked, stack.ids)
    shares = np.where(success > 0, changed / np.maximum(words, 1), 0.0)
    yield f"words_changed:{recipe}", Rows(shares, success, stack.ids)


def _numbers(columns: Columns, *names: str) -> list[Array]:
    return [np.array(columns[name], dtype=np.float64) for name in names]


def _f1(columns: Columns, status: Array) -> tuple[Array, Array]:
    """(numerators, denominators) of the sentences, in the shape of their status."""
    hits, invented, missed = _numbers(columns, "tp", "fp", "fn")
    known = status != "error"
    if not np.isfinite(np.stack([hits, invented, missed])[:, known]).all():
        raise ValueError("a sentence with a verdict lacks its entity counts")
    return np.where(known, 2 * hits, 0.0), np.where(known, 2 * hits + invented + missed, 0.0)


def worst(recipes: Sequence[str], found: Mapping[str, Values]) -> dict[str, Values]:
    """Each sentence with the recipe that hurt it most: the lowest F1 of the sentence, then the most errors.

    F1 of a sentence without entities is 1 while none is predicted. An asked recipe without a verdict leaves a sentence
    unknown, unless another recipe has it wrong: then the worst of the known ones counts, which the unknown one could
    only lower. Unknown sentences are left out. Empty when an asked recipe has no table.
    """
    arms = [found.get(f"entity_f1_attacked:{recipe}") for recipe in recipes]
    kept = [arm for arm in arms if arm is not None]
    if not kept or len(kept) < len(recipes):
        return {}
    rows: dict[str, list[Row]] = {}
    for recipe, arm in zip(recipes, kept, strict=True):
        errors = found[f"_errors:{recipe}:{TAGS}"].top
        for one, row, error in zip(arm.ids or (), _per_sentence(arm), errors, strict=True):
            if not error:
                rows.setdefault(one, []).append(row)
    lowest = _lowest(rows, len(recipes))
    return {} if lowest is None else {"entity_f1_worst": lowest}


def adapted(found: Mapping[str, Values], columns: Columns | None) -> dict[str, Values]:
    """The worst case with the sentences that the adaptive pass fooled as it left them: F1 of none of them rises."""
    worst = found.get("entity_f1_worst")
    if columns is None or worst is None or "tp" not in columns:
        return {}
    rows = {one: [row] for one, row in zip(worst.ids or (), _per_sentence(worst), strict=True)}
    status = np.array(columns["status"], dtype=object)
    for one, word, row in zip(columns["id"], status, _per_sentence(Values(*_f1(columns, status))), strict=True):
        if word == "success" and str(one) in rows:
            rows[str(one)].append(row)
    lowest = _lowest(rows, 1)
    return {} if lowest is None else {"entity_f1_adaptive": lowest}


def swept(recipe: str, columns: Columns) -> Iterator[tuple[str, Values]]:
    """Each sentence at the temperature that hurt it most, by the rule of `worst`; left out are those without a verdict
    at temperature 1, so that the others can be held against the number there."""
    rows: dict[str, list[Row]] = {}
    status = np.array(columns["status"], dtype=object)
    places = zip(columns["id"], columns["factor"], status, strict=True)
    unknown = {str(one) for one, factor, word in places if factor == 1.0 and word == "error"}
    for one, word, row in zip(columns["id"], status, _per_sentence(Values(*_f1(columns, status))), strict=True):
        if word != "error" and str(one) not in unknown:
            rows.setdefault(str(one), []).append(row)
    lowest = _lowest(rows, len(set(columns["factor"])))
    if lowest is not None:
        yield f"entity_f1_sweep:{recipe}", lowest


def transferred(recipe: str, donor: str, columns: Columns, ids: tuple[str, ...]) -> Iterator[tuple[str, Values]]:
    """Entity F1 on the sentences that fooled one donor; the baseline's stand in a column of their own, too."""
    found = Values(*_f1(columns, np.full(len(ids), "success", dtype=object)), ids)
    yield f"transfer_f1_from:{recipe}:{donor}", found
    if donor == BASELINE:
        yield f"transfer_f1:{recipe}", found


def _per_sentence(values: Values) -> list[Row]:
    """(F1, minus its denominator, its numerator) of each sentence: the smallest is the worst."""
    bottom = values.bottom if values.bottom is not None else np.ones_like(values.top)
    return [(top / total if total else 1.0, -total, top) for top, total in zip(values.top, bottom, strict=True)]


def _lowest(rows: Mapping[str, Sequence[Row]], looks: int) -> Values | None:
    """The worst of each sentence's rows; unknown ones, of fewer than `looks` rows and none below 1, are left out."""
    decided = {one: min(known) for one, known in rows.items() if len(known) >= looks or min(known)[0] < 1}
    top, bottom = (np.array([row[i] for row in decided.values()]) for i in (2, 1))
    return Values(top, -bottom, tuple(decided)) if decided else None
