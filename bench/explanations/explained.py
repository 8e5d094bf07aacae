"""From the tables of the explain stage to the values of its metrics, per text. A leaf of the report: no torch."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np

from bench.metrics import Values
from bench.stats import Array
from bench.store import Columns

COMPLETENESS_LIMIT = 0.05  # explain.metrics.COMPLETENESS_GATE
RANDOMISATION_LIMIT = 0.5  # explain.stability.RANDOMISATION_GATE
CONTROL = "random"
MEANS = (
    "dnaopc", "faithfulness_correlation", "comprehensiveness", "sufficiency", "masked_keeps_class", "drift_overlap",
    "unchanged_tau", "attacked_tau", "edit_tau_worst", "edit_tau", "edit_overlap", "edit_coverage", "rationale_ap",
    "rationale_f1", "lexicon_ap", "lexicon_f1", "own_words_ap", "own_words_f1", "effective_words", "method_agreement",
    "self_share",
)  # fmt: skip
GATES = (
    ("completeness_failures", "completeness_error", COMPLETENESS_LIMIT),
    ("randomisation_failures", "randomisation_tau", RANDOMISATION_LIMIT),
)
Found = Iterator[tuple[str, Values]]


def explain(explainer: str, columns: Columns, ids: tuple[str, ...]) -> Found:
    """Metrics of one `explain` table; a column that is absent or wholly unknown gives none."""
    for name in MEANS:
        if (values := _known(columns, name)) is not None:
            yield f"{name}:{explainer}", Values(values, None, ids)
    for name, column, limit in GATES:
        if (values := _known(columns, column)) is not None:
            over = np.where(np.isnan(values), np.nan, (values > limit).astype(float))
            yield f"{name}:{explainer}", Values(over, None, ids)
    if (tau := _known(columns, "drift_tau")) is not None:
        paired = ~np.isnan(tau)
        yield f"drift_tau:{explainer}", Values(np.where(paired, tau, 0.0), paired.astype(float), ids)
    if (seconds := _known(columns, "seconds")) is not None:
        yield f"explain_seconds:{explainer}", Values(seconds, None, ids)


def edits(explainer: str, columns: Columns) -> Found:
    """Per text the mean tau-b over its edits of one kind."""
    taus: dict[str, dict[str, list[float]]] = {}
    for one, kind, tau in zip(columns["id"], columns["kind"], columns["tau"], strict=True) if columns else ():
        if kind is not None and tau is not None:
            taus.setdefault(str(kind), {}).setdefault(str(one), []).append(float(tau))
    for kind, texts in sorted(taus.items()):
        ids = tuple(sorted(texts))
        yield f"{kind}_tau:{explainer}", Values(np.array([_mean(texts[one]) for one in ids]), None, ids)


def _mean(values: Sequence[float]) -> float:
    """The mean by compensated summation (Kahan 1965)."""
    total = lost = 0.0
    for value in values:
        value -= lost
        lost = total + value - total - value
        total += value
    return total / len(values)


def agreement(explainer: str, columns: Columns, ids: tuple[str, ...]) -> Found:
    """tau-b with another seed's and with the baseline's attributions.

    The control draws its scores from the seed and the text, so with the baseline of its seed it agrees by definition.
    """
    for name in ("seed_tau", "baseline_tau") if explainer != CONTROL else ("seed_tau",):
        if (values := _known(columns, name)) is not None:
            yield f"{name}:{explainer}", Values(values, None, ids)


def _known(columns: Columns, name: str) -> Array | None:
    if name not in columns:
        return None
    values = np.array(columns[name], dtype=np.float64)
    # the largest is NaN where all are; an empty column is wholly unknown, too
    return None if not len(values) or math.isnan(np.fmax.reduce(values)) else values
