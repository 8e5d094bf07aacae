"""From the tables of the explain stage to the values of its metrics, per text. A leaf of the report: no torch."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from bench.metrics import Values
from bench.stats import Array

COMPLETENESS_LIMIT = 0.05  # explain.metrics.COMPLETENESS_GATE
RANDOMISATION_LIMIT = 0.5  # explain.stability.RANDOMISATION_GATE
CONTROL = "random"
MEANS = (
    "dnaopc", "faithfulness_correlation", "comprehensiveness", "sufficiency", "masked_keeps_class", "drift_overlap",
    "attacked_tau", "edit_tau_worst", "edit_tau", "edit_overlap", "edit_coverage", "rationale_ap", "rationale_f1",
    "lexicon_ap", "lexicon_f1", "effective_words", "method_agreement", "self_share",
)  # fmt: skip
GATES = (
    ("completeness_failures", "completeness_error", COMPLETENESS_LIMIT),
    ("randomisation_failures", "randomisation_tau", RANDOMISATION_LIMIT),
)
Found = Iterator[tuple[str, Values]]


def explain(explainer: str, frame: pd.DataFrame, ids: tuple[str, ...]) -> Found:
    """Metrics of one `explain` table; a column that is absent or wholly unknown gives none."""
    for name in MEANS:
        if (values := _known(frame, name)) is not None:
            yield f"{name}:{explainer}", Values(values, None, ids)
    for name, column, limit in GATES:
        if (values := _known(frame, column)) is not None:
            over = np.where(np.isnan(values), np.nan, (values > limit).astype(float))
            yield f"{name}:{explainer}", Values(over, None, ids)
    if (tau := _known(frame, "drift_tau")) is not None:
        paired = ~np.isnan(tau)
        yield f"drift_tau:{explainer}", Values(np.where(paired, tau, 0.0), paired.astype(float), ids)
    if (seconds := _known(frame, "seconds")) is not None:
        yield f"explain_seconds:{explainer}", Values(seconds, None, ids)


def edits(explainer: str, frame: pd.DataFrame) -> Found:
    """Per text the mean tau-b over its edits of one kind."""
    for kind, part in frame.groupby("kind") if len(frame) else ():
        means = part["tau"].astype("float64").groupby(part["id"].astype(str)).mean().dropna()
        if len(means):
            yield f"{kind}_tau:{explainer}", Values(means.to_numpy(), None, tuple(means.index))


def agreement(explainer: str, frame: pd.DataFrame, ids: tuple[str, ...]) -> Found:
    """tau-b with another seed's and with the baseline's attributions.

    The control draws its scores from the seed and the text, so with the baseline of its seed it agrees by definition.
    """
    for name in ("seed_tau", "baseline_tau") if explainer != CONTROL else ("seed_tau",):
        if (values := _known(frame, name)) is not None:
            yield f"{name}:{explainer}", Values(values, None, ids)


def _known(frame: pd.DataFrame, column: str) -> Array | None:
    if column not in frame:
        return None
    values = frame[column].astype("float64").to_numpy()
    return None if np.isnan(values).all() else values
