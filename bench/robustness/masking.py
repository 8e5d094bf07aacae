"""Robustness that is none: four signs that an attack failed because it could not see, not because the victim held.

A black-box attack follows the victim's probabilities. Whoever hides them (by logits so large that the softmax
saturates, by answering with labels alone) raises accuracy under attack and changes no decision.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.stats import binomtest

from bench.metrics import MASKING, MODES, Values, masked_recipes

# Of 83 runs over the shelf 76 fit a temperature between 0.48 and 1.91. The others are 5 models that hardly learned (at
# most 67.5 % accurate, 0.01 to 0.17 and 1000), defensive distillation (10) and the control with sharpened logits (27).
SCALE = 4.0
SWEEP = 0.05  # the difference in accuracy under attack that matters
ALPHA = 0.05
LEVELS = 0.5  # different answers per text; an honest victim has 1 at some temperature
Arm = Mapping[str, Mapping[int, Values]]


@dataclass(frozen=True)
class Sign:
    """`kind`: raw, scale, sweep or levels. `ranked`: whether the lower of raw and calibrated undoes it."""

    kind: str
    text: str
    ranked: bool


def signs(by_name: Arm, baseline: Arm | None = None) -> list[Sign]:
    """What speaks for masking in one arm, by full name and seed -> Values; see the module and bench/leaderboard.py.

    `baseline`: the board's baseline, against whose loss a sweep is held; None where there is none.
    """
    found = []
    if recipes := masked_recipes(by_name):
        found.append(
            Sign(
                "raw",
                f"its raw AUA exceeds the calibrated one by more than {100 * MASKING:g} points under "
                f"{', '.join(recipes)}; the lower number is ranked",
                True,
            )
        )
    attacked = any(name.startswith("aua_calibrated:") for name in by_name)
    return [*found, *(_scale(by_name) if attacked else []), *_sweep(by_name, baseline), *_levels(by_name)]


def _scale(by_name: Arm) -> list[Sign]:
    """The geometric mean of the fitted temperatures is far from 1: sharpened or flattened logits."""
    fitted = [values.top[0] for values in by_name.get("temperature", {}).values()]
    mean = float(np.exp(np.mean(np.log(fitted)))) if fitted and min(fitted) > 0 else 1.0
    if 1 / SCALE <= mean <= SCALE:
        return []
    word = "sharpened" if mean > 1 else "flattened"
    text = f"its logits are {word}: the temperature fitted on validation is {mean:.3g}; calibration undoes that"
    return [Sign("scale", text, True)]


def _sweep(by_name: Arm, baseline: Arm | None) -> list[Sign]:
    """A sweep takes more than SWEEP off what survives raw and calibrated, and off more texts than it takes elsewhere.

    Another temperature is another try, and a try fools an honest victim now and then; so the texts that this arm loses
    must outnumber those that the baseline loses by a one-sided sign test over texts.
    """
    found = []
    for name in sorted(one for one in by_name if one.startswith("aua_sweep:")):
        own, other = _lost(by_name, name), _lost(baseline or {}, name)
        excess = {one: loss - other.get(one, 0.0) for one, loss in own.items()}
        points = sum(excess.values()) / len(excess) if excess else 0.0
        more, fewer = sum(e > 0 for e in excess.values()), sum(e < 0 for e in excess.values())
        if points > SWEEP + 1e-9 and binomtest(more, more + fewer, alternative="greater").pvalue < ALPHA:
            recipe, held = name.partition(":")[2], "" if baseline is None else ", the baseline's loss deducted"
            text = (
                f"a sweep of temperatures takes {100 * points:.1f} points off what survives {recipe} raw and "
                f"calibrated, on {more} of {len(own)} texts{held}: its number is no bound"
            )
            found.append(Sign("sweep", text, False))
    return found


def _lost(by_name: Arm, name: str) -> dict[str, float]:
    """Text -> share of the seeds at which it survives raw and calibrated, and falls at another temperature."""
    recipe = name.partition(":")[2]
    modes = [by_name.get(f"aua_{mode}:{recipe}", {}) for mode in MODES]
    losses: dict[str, list[float]] = {}
    for seed, swept in by_name.get(name, {}).items():
        if any(seed not in mode for mode in modes):
            continue
        series = [dict(zip(values.ids or (), values.top, strict=True)) for values in (*(m[seed] for m in modes), swept)]
        for one, lowest in series[2].items():
            known = [series[0].get(one, np.nan), series[1].get(one, np.nan), lowest]
            if not np.isnan(known).any():
                losses.setdefault(one, []).append(float(min(known[0], known[1]) - lowest))
    return {one: max(0.0, float(np.mean(each))) for one, each in losses.items()}


def _levels(by_name: Arm) -> list[Sign]:
    """Next to no different answers at any temperature: the victim answers with labels, and no attack can climb."""
    found = []
    for name in sorted(one for one in by_name if one.startswith("score_levels:")):
        shares = [float(values.top[0]) for values in by_name[name].values()]
        if max(shares) <= LEVELS:
            text = (
                "it answers with labels, which no attack can follow: its probabilities take at most "
                f"{100 * max(shares):.0f} different values for 100 texts at any temperature"
            )
            found.append(Sign("levels", text, False))
    return found
