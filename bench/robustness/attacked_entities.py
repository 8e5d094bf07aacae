"""From the attack tables of a tagging Record to entity F1 under attack, per sentence as a ratio of sums."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas as pd

from bench.metrics import TAGS, Values
from bench.stats import Array


def read(recipe: str, frame: pd.DataFrame, ids: tuple[str, ...]) -> Iterator[tuple[str, Values]]:
    """The metrics of one recipe. A sentence without a verdict weighs nothing, and counts as an attack error.

    2 tp over 2 tp + fp + fn, of the perturbed sentence after a success, else of the sentence as it is: the sentences
    that were wrong without any attack count as they are.
    """
    status = frame["status"].astype(str)
    top, bottom = _f1(frame)
    yield f"entity_f1_attacked:{recipe}", Values(top, bottom, ids)
    yield f"_errors:{recipe}:{TAGS}", Values((status == "error").to_numpy(dtype=float))
    success = (status == "success").to_numpy(dtype=float)
    attacked = success + (status == "failed").to_numpy(dtype=float)
    yield f"asr:{recipe}", Values(success, attacked, ids)
    queries, words, changed = (frame[name].astype("float64") for name in ("queries", "words", "words_changed"))
    yield f"queries:{recipe}", Values(np.where(attacked > 0, queries, 0.0), attacked, ids)
    yield f"words_changed:{recipe}", Values(np.where(success > 0, changed / words.clip(1), 0.0), success, ids)


def _f1(frame: pd.DataFrame) -> tuple[Array, Array]:
    hits, invented, missed = (frame[name].astype("float64").to_numpy() for name in ("tp", "fp", "fn"))
    known = frame["status"].astype(str).to_numpy() != "error"
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
    rows: dict[str, list[tuple[float, float, float]]] = {}
    for recipe, arm in zip(recipes, kept, strict=True):
        errors = found[f"_errors:{recipe}:{TAGS}"].top
        bottom = arm.bottom if arm.bottom is not None else np.ones_like(arm.top)
        for one, top, total, error in zip(arm.ids or (), arm.top, bottom, errors, strict=True):
            if not error:
                rows.setdefault(one, []).append((top / total if total else 1.0, -total, top))
    decided = {one: min(known) for one, known in rows.items() if len(known) == len(recipes) or min(known)[0] < 1}
    top, bottom = (np.array([row[i] for row in decided.values()]) for i in (2, 1))
    return {"entity_f1_worst": Values(top, -bottom, tuple(decided))} if decided else {}
