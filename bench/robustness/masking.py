"""Robustness that is none: four signs that an attack failed because it could not see, not because the victim held.

A black-box attack follows the victim's probabilities. Whoever hides them (by logits so large that the softmax
saturates, by answering with labels alone) raises accuracy under attack and changes no decision.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import binomtest

from bench import metrics
from bench.metrics import MODES, Values
from bench.stats import Array

# Of 83 runs over the shelf 76 fit a temperature between 0.48 and 1.91. The others are 5 models that hardly learned (at
# most 67.5 % accurate, 0.01 to 0.17 and 1000), defensive distillation (10) and the control with sharpened logits (27).
SCALE = 4.0
MASKING = 0.02
SWEEP = 0.05  # the difference in accuracy under attack that matters
ALPHA = 0.05
LEVELS = 0.5  # different answers per text; an honest victim has 1 at some temperature
# a sweep's metric -> what it is held against, and what that is in words
SWEPT = {
    "aua_sweep": (tuple(f"aua_{mode}" for mode in MODES), "what survives {} raw and calibrated"),
    "entity_f1_sweep": (("entity_f1_attacked",), "entity F1 under {}"),
}
Arm = Mapping[str, Mapping[int, Values]]
Losses = dict[str, float]  # by text


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
    (found,) = signs_of([(by_name, masked_recipes(by_name))], baseline)
    return found


def signs_of(arms: Iterable[tuple[Arm, Sequence[str]]], baseline: Arm | None) -> list[list[Sign]]:
    """`signs` of all arms of a board, each with its `masked_recipes`."""
    held = functools.cache(lambda name: {} if baseline is None else _lost(baseline, name))
    return [_signs(by_name, recipes, baseline is not None, held) for by_name, recipes in arms]


def _signs(by_name: Arm, recipes: Sequence[str], deducted: bool, held: Callable[[str], Losses]) -> list[Sign]:
    found = []
    if recipes:
        found.append(
            Sign(
                "raw",
                f"its raw AUA exceeds the calibrated one by more than {100 * MASKING:g} points under "
                f"{', '.join(recipes)}; the lower number is ranked",
                True,
            )
        )
    attacked = any(name.startswith("aua_calibrated:") for name in by_name)
    return [*found, *(_scale(by_name) if attacked else []), *_sweep(by_name, deducted, held), *_levels(by_name)]


def _scale(by_name: Arm) -> list[Sign]:
    """The geometric mean of the fitted temperatures is far from 1: sharpened or flattened logits."""
    fitted = [values.top[0] for values in by_name.get("temperature", {}).values()]
    mean = float(np.exp(np.mean(np.log(fitted)))) if fitted and min(fitted) > 0 else 1.0
    if 1 / SCALE <= mean <= SCALE:
        return []
    word = "sharpened" if mean > 1 else "flattened"
    text = f"its logits are {word}: the temperature fitted on validation is {mean:.3g}; calibration undoes that"
    return [Sign("scale", text, True)]


def _sweep(by_name: Arm, deducted: bool, held: Callable[[str], Losses]) -> list[Sign]:
    """A sweep takes more than SWEEP off what survives raw and calibrated, and off more texts than it takes elsewhere.

    Another temperature is another try, and a try fools an honest victim now and then; so the texts that this arm loses
    must outnumber those that the baseline loses (`held`, by the sweep's name) by a one-sided sign test over texts.
    """
    found = []
    for name in sorted(one for one in by_name if one.startswith(tuple(SWEPT))):
        own, other = _lost(by_name, name), held(name)
        excess = {one: loss - other.get(one, 0.0) for one, loss in own.items()}
        points = sum(excess.values()) / len(excess) if excess else 0.0
        more, fewer = sum(e > 0 for e in excess.values()), sum(e < 0 for e in excess.values())
        if points > SWEEP + 1e-9 and binomtest(more, more + fewer, alternative="greater").pvalue < ALPHA:
            base, _, recipe = name.partition(":")
            less = ", the baseline's loss deducted" if deducted else ""
            off = f"{100 * points:.1f} points off {SWEPT[base][1].format(recipe)}, on {more} of {len(own)} texts"
            text = f"a sweep of temperatures takes {off}{less}: its number is no bound"
            found.append(Sign("sweep", text, False))
    return found


def _lost(by_name: Arm, name: str) -> Losses:
    """Text -> share of the seeds at which it survives raw and calibrated, and falls at another temperature.

    Of a tagged sentence what its entity F1 loses, the mean over the seeds.
    """
    base, _, recipe = name.partition(":")
    modes = [by_name.get(f"{mode}:{recipe}", {}) for mode in SWEPT[base][0]]
    losses: dict[str, list[float]] = {}
    for seed, swept in by_name.get(name, {}).items():
        if any(seed not in mode for mode in modes):
            continue
        ids = swept.ids or ()
        before = np.min([_by_text(mode[seed], ids) for mode in modes], axis=0)
        for one, loss in zip(ids, (before - _by_text(swept, ids)).tolist(), strict=True):
            if not math.isnan(loss):
                losses.setdefault(one, []).append(loss)
    return {one: max(0.0, sum(each) / len(each)) for one, each in losses.items()}


def _by_text(values: Values, ids: tuple[str, ...]) -> Array:
    """Each text's number, of a ratio the quotient, NaN where unknown; a sentence without an entity, found or not: 1."""
    found = np.array(values.top, dtype=np.float64)
    if values.bottom is not None:
        found = np.divide(found, values.bottom, out=np.ones_like(found), where=values.bottom != 0)
    if values.ids is ids or values.ids == ids:
        return found
    known = dict(zip(values.ids or (), found.tolist(), strict=True))
    return np.array([known.get(one, np.nan) for one in ids])


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


def masked_recipes(by_name: Mapping[str, Mapping[int, Values]]) -> list[str]:
    """Recipes whose raw AUA exceeds the calibrated one by more than 2 points: saturation hides which word matters."""
    found = []
    for name in sorted(by_name):
        base, _, recipe = name.partition(":")
        if base != "aua_raw" or not by_name.get(f"aua_calibrated:{recipe}"):
            continue
        raw, calibrated = by_name[name], by_name[f"aua_calibrated:{recipe}"]
        common = sorted(raw.keys() & calibrated.keys())
        high, low = (metrics.value(name, [arm[seed] for seed in common]) for arm in (raw, calibrated))
        # a difference of two means is not exact to the last bit; 2 points are allowed
        if high is not None and low is not None and high - low > MASKING + 1e-9:
            found.append(recipe)
    return found
