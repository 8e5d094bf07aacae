"""From the tables of the explain stage to the values of its metrics, per text. A leaf of the report: no torch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from bench.columns import Rows, Stack
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
Stacked = Iterator[tuple[str, Rows]]


def explain(explainer: str, stack: Stack) -> Stacked:
    """Metrics of the `explain` tables of one explainer; a column that is absent or wholly unknown gives none."""
    for name in MEANS:
        if name in stack.cells:
            yield f"{name}:{explainer}", _means(stack.numbers(name), stack)
    for name, column, limit in GATES:
        if column in stack.cells:
            values = stack.numbers(column)
            over = np.where(np.isnan(values), np.nan, (values > limit).astype(float))
            yield f"{name}:{explainer}", _means(over, stack)
    if "drift_tau" in stack.cells:
        tau = stack.numbers("drift_tau")
        paired = ~np.isnan(tau)
        top = np.where(paired, tau, 0.0)
        yield f"drift_tau:{explainer}", Rows(top, paired.astype(float), stack.ids, np.logical_or.reduce(paired, axis=1))
    if "seconds" in stack.cells:
        yield f"explain_seconds:{explainer}", _means(stack.numbers("seconds"), stack)


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


def agreement(explainer: str, stack: Stack) -> Stacked:
    """tau-b with another seed's and with the baseline's attributions.

    The control draws its scores from the seed and the text, so with the baseline of its seed it agrees by definition.
    """
    for name in ("seed_tau", "baseline_tau") if explainer != CONTROL else ("seed_tau",):
        if name in stack.cells:
            yield f"{name}:{explainer}", _means(stack.numbers(name), stack)


def _means(values: Array, stack: Stack) -> Rows:
    """A mean over the texts, of the records in which one is known."""
    return Rows(values, None, stack.ids, np.logical_or.reduce(~np.isnan(values), axis=1))
