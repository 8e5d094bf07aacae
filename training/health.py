"""Was a training run healthy? A verdict from its telemetry and its final score, by rules with named thresholds.

Mosbach, Andriushchenko and Klakow, "On the Stability of Fine-tuning BERT", ICLR 2021, arXiv 2006.04884: a run has
failed when its final score is at or below the majority classifier's, and failed runs have vanishing gradients in all
layers but the top. The verdicts, in order of precedence, the cause before its symptom:

| verdict      | rule                                                                                                |
| ------------ | --------------------------------------------------------------------------------------------------- |
| `diverged`   | the loss of some step is NaN or infinite                                                            |
| `exploding`  | a gradient is NaN or infinite; or the gradient norm is above EXPLODING_NORM in a share of at least  |
|              | EXPLODING_SHARE of the steps; or one step moved the median layer by more than EXPLODING_UPDATE      |
|              | times its weights' norm                                                                             |
| `vanishing`  | in the second half of the run the median layer below the top got less than VANISHING of the top's   |
|              | gradient norm, and the median loss was not below LEARNT of the first step's                         |
| `degenerate` | the validation score is at or below that of the best constant answer                                |
| `healthy`    | none of these                                                                                       |
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from training.task import Task

# Reasons, on BERT-tiny and movie reviews. Runs of the baseline and of the mitigations at their learning rates: the
# gradient norm, before clipping to 1, stays under 30; a step moves the median layer by 1 % of its norm at most; the
# median layer gets over 15 % of the head's norm. Few trained parameters come nearest to a limit (prefix: 49 % and
# 1.4 %). Runs of `unstable` that fail: 0.02 to 0.3 % of the head's norm.
EXPLODING_NORM = 100.0
EXPLODING_SHARE = 0.05  # a single such step is a loss spike, which clipping is there for
EXPLODING_UPDATE = 1.0  # nothing of the pretrained weights is left after a step as long as they are
VANISHING = 0.01
LEARNT = 0.8  # once a run has fitted its texts, small gradients are the end of learning and no failure
# A loss is a spike when it is above the median of the SPIKE_WINDOW steps before it by SPIKE_DEVIATIONS median absolute
# deviations of theirs (1.4826 of them estimate a standard deviation), and above the median of the first SPIKE_WINDOW:
# late in a run the losses are so small that one misread text stands out, which is no instability.
SPIKE_WINDOW = 20
SPIKE_DEVIATIONS = 6 * 1.4826

MEANINGS = {
    "diverged": "the loss became NaN or infinite",
    "exploding": "gradients or updates far above those of healthy runs",
    "vanishing": "next to no gradient below the top layer",
    "degenerate": "no better than one answer for every text",
    "healthy": "none of the known failures",
}
UNHEALTHY = tuple(verdict for verdict in MEANINGS if verdict != "healthy")
HEALTHY = ("healthy", "")


@dataclass(frozen=True)
class Health:
    """A verdict, why, and the facts behind it. `layer_norm_ratio`: smallest over largest gradient norm of a layer, the
    median of the run's second half; None where unknown. `clipped_share` and `loss_spikes` are over all steps."""

    verdict: str
    reason: str
    clipped_share: float
    loss_spikes: int
    nonfinite_steps: int
    layer_norm_ratio: float | None

    def summary(self) -> dict[str, Any]:
        """The entries of a Record's summary."""
        facts = {name: value for name, value in vars(self).items() if name not in ("verdict", "reason")}
        return {"health": self.verdict, "health_reason": self.reason, **facts}


def constant_score(task: Task) -> float:
    """The validation score of the best constant answer: the largest class's share; for tagging, F1 without an entity.

    It is the largest class of the validation split, not of the training data: where classes are balanced, a constant
    answer may by chance be the other class, and is no better for it.
    """
    if task.kind == "tagging" or not task.validation:
        return 0.0
    return max(Counter(example.label for example in task.validation).values()) / len(task.validation)


def judge(telemetry: pd.DataFrame, score: float | None, constant: float) -> Health:
    """The verdict on a run: its telemetry table, its final validation score (None: it has none) and the score of a
    constant answer (`constant_score`)."""
    late = _layers(telemetry).iloc[len(telemetry) // 2 :]
    spread = (late.min(axis=1) / late.max(axis=1).where(lambda largest: largest > 0)).median()
    finite = np.isfinite(telemetry["loss"].to_numpy(dtype=float))
    if not finite.all():
        found = ("diverged", f"the loss of step {int(np.argmin(finite)) + 1} is not finite")
    else:
        found = _exploding(telemetry) or _vanishing(telemetry["loss"], late) or _degenerate(score, constant) or HEALTHY
    return Health(
        *found,
        clipped_share=float(telemetry["clipped"].mean()),
        loss_spikes=int(loss_spikes(telemetry["loss"]).sum()),
        nonfinite_steps=int((telemetry["nonfinite"] > 0).sum()),
        layer_norm_ratio=None if np.isnan(spread) else float(spread),
    )


def loss_spikes(losses: pd.Series) -> pd.Series:
    """True where a step's loss is a spike (see SPIKE_WINDOW); a loss that is not finite is one."""
    before = losses.astype(float).shift(1).rolling(SPIKE_WINDOW)
    middle = before.median()
    deviation = before.apply(lambda window: np.median(np.abs(window - np.median(window))), raw=True)
    high = (losses > middle + SPIKE_DEVIATIONS * deviation) & (losses > losses[:SPIKE_WINDOW].median())
    return high | ~np.isfinite(losses)


def _layers(telemetry: pd.DataFrame) -> pd.DataFrame:
    """The gradient norms from the bottom to the top: embeddings, numbered layers, head."""
    names = [name for name in telemetry if str(name).startswith("norm:")]
    return telemetry[sorted(names, key=lambda name: (name == "norm:head", name != "norm:embeddings", name))]


def _exploding(telemetry: pd.DataFrame) -> tuple[str, str] | None:
    if (broken := int((telemetry["nonfinite"] > 0).sum())) > 0:
        return "exploding", f"the gradient is not finite in {broken} of {len(telemetry)} steps"
    share = float((telemetry["grad_norm"] > EXPLODING_NORM).mean())
    if share >= EXPLODING_SHARE:
        return "exploding", f"the gradient norm is above {EXPLODING_NORM:g} in {share:.0%} of the steps"
    moved = telemetry[[name for name in telemetry if str(name).startswith("update:")]].median(axis=1).max()
    if moved > EXPLODING_UPDATE:
        return "exploding", f"a step moved the median layer by {moved:.2g} times the norm of its weights"
    return None


def _vanishing(losses: pd.Series, late: pd.DataFrame) -> tuple[str, str] | None:
    if late.shape[1] < 2 or losses[len(losses) // 2 :].median() < LEARNT * losses.iloc[0]:
        return None
    top = late.iloc[:, -1]
    share = late.iloc[:, :-1].div(top.where(top > 0), axis=0).median().median()
    if share < VANISHING:
        return "vanishing", f"the median layer below the top got {share:.1g} of the top's gradient norm"
    return None


def _degenerate(score: float | None, constant: float) -> tuple[str, str] | None:
    if score is None or score > constant:
        return None
    return "degenerate", f"validation score {score:.3f}, a constant answer's is {constant:.3f}"
