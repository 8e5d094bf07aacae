"""The metrics of the board as data, and how the values of an arm's seeds are summarised and compared.

A metric's full name is its name, or `name:subject` where it exists once per recipe, explainer or domain
(`aua_raw:textfooler`). Values are stored as shares (0 to 1), ratios, seconds; the report prints shares as percent.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from bench import stats
from bench.stats import Array, Difference, Interval

Kind = Literal["binary", "mean", "ratio", "seed", "log", "runs"]
MASKING = 0.02
MODES = ("calibrated", "raw")


@dataclass(frozen=True)
class Metric:
    """What a number means. `direction` None: shown, never ranked. `smallest_difference` is in the metric's unit.

    `kind` says how seeds and examples are summarised: `binary` and `mean` per example, `ratio` of two sums, `seed` one
    number per seed, `log` one ratio per seed, `runs` one number per arm.
    """

    name: str
    title: str
    unit: str
    direction: Literal["higher", "lower"] | None
    smallest_difference: float | None
    kind: Kind
    table: str | None = None


@dataclass(frozen=True)
class Values:
    """One metric of one Record: per example (`ids` set) numerators and, for ratios, denominators; else one number."""

    top: Array
    bottom: Array | None = None
    ids: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Missing:
    """Why there is no value: `failed`, `not_applicable`, `missing` or `not_comparable`, and the reason in words."""

    status: str
    reason: str


METRICS: tuple[Metric, ...] = (
    Metric("worst_case", "worst case (lower of raw, calibrated)", "share", "higher", 0.05, "binary", "attack"),
    Metric("worst_case_calibrated", "worst case, calibrated", "share", "higher", 0.05, "binary", "attack"),
    Metric("worst_case_raw", "worst case, raw", "share", "higher", 0.05, "binary", "attack"),
    Metric("clean_accuracy", "clean accuracy", "share", "higher", 0.01, "binary", "clean"),
    Metric("entity_f1", "entity F1", "share", "higher", 0.01, "ratio", "clean"),
    Metric("ood_accuracy", "out of domain", "share", "higher", 0.02, "binary", "ood:{}"),
    Metric("ood_f1", "out of domain F1", "share", "higher", 0.02, "ratio", "ood:{}"),
    Metric("aua_calibrated", "AUA calibrated", "share", "higher", 0.05, "binary", "attack:{}:calibrated"),
    Metric("aua_raw", "AUA raw", "share", "higher", 0.05, "binary", "attack:{}:raw"),
    Metric("asr", "attack success rate", "share", "lower", 0.05, "ratio", "attack:{}:calibrated"),
    Metric("transfer_accuracy", "accuracy on transferred texts", "share", "higher", 0.05, "ratio", "transfer:{}"),
    Metric("queries", "queries per attacked text", "queries", None, None, "ratio", "attack:{}:calibrated"),
    Metric("words_changed", "words changed in successes", "share", None, None, "ratio", "attack:{}:calibrated"),
    Metric("attack_errors", "attack errors", "share", "lower", 0.01, "seed", "attack"),
    Metric("ece_calibrated", "ECE calibrated", "share", "lower", 0.02, "seed", "clean"),
    Metric("ece_raw", "ECE raw", "share", "lower", 0.02, "seed", "clean"),
    Metric("brier_calibrated", "Brier score calibrated", "score", "lower", 0.01, "mean", "clean"),
    Metric("brier_raw", "Brier score raw", "score", "lower", 0.01, "mean", "clean"),
    Metric("worst_group_accuracy", "worst-group accuracy", "share", "higher", 0.02, "seed", "clean"),
    Metric("group_accuracy", "accuracy of group", "share", "higher", 0.02, "binary", "clean"),
    Metric("generalisation_gap", "training minus validation score", "share", "lower", 0.01, "seed", "train"),
    Metric("dnaopc", "faithfulness gap dNAOPC", "gap", "higher", 0.05, "mean", "explain:{}"),
    Metric("drift_tau", "attribution drift tau-b", "tau", "higher", 0.05, "ratio", "explain:{}"),
    Metric("comprehensiveness", "AOPC comprehensiveness", "gap", None, None, "mean", "explain:{}"),
    Metric("sufficiency", "AOPC sufficiency", "gap", None, None, "mean", "explain:{}"),
    Metric("masked_keeps_class", "class kept when fully masked", "share", None, None, "binary", "explain:{}"),
    Metric("completeness_failures", "completeness error > 5 %", "share", "lower", 0.05, "binary", "explain:{}"),
    Metric("step_time_ratio", "step time / baseline", "x", "lower", 0.05, "log", "throughput"),
    Metric("tokens_per_second", "training tokens/s", "tokens/s", "higher", None, "seed", "throughput"),
    Metric("samples_per_second", "training samples/s", "samples/s", "higher", None, "seed", "throughput"),
    Metric("counted_cost", "counted passes / baseline", "x", None, None, "seed", "train"),
    Metric("peak_memory_ratio", "peak memory / baseline", "x", "lower", 0.05, "log", "throughput"),
    Metric("trainable_share", "trainable parameters", "share", None, None, "seed", "train"),
    Metric("train_seconds", "training time", "s", "lower", None, "seed", "train"),
    Metric("seed_deviation", "standard deviation over seeds", "share", "lower", None, "runs"),
    Metric("clipped_share", "clipped steps", "share", None, None, "seed", "train"),
    Metric("loss_spikes", "loss spikes a run", "steps", None, None, "seed", "train"),
    Metric("failed_runs", "failed runs", "share", "lower", None, "runs"),
    Metric("unhealthy_runs", "failed or unhealthy runs", "share", "lower", None, "runs"),
)
_BY_NAME = {metric.name: metric for metric in METRICS}
_ORDER = {metric.name: position for position, metric in enumerate(METRICS)}


def of(name: str) -> Metric:
    """The metric of a full name. Raises KeyError for an unknown one."""
    return _BY_NAME[name.partition(":")[0]]


def table_of(name: str) -> str:
    """The table of a Record that a full name is read from; "attack" for all attacks, "train" for the summary."""
    return (of(name).table or "").format(name.partition(":")[2])


def title(name: str) -> str:
    subject = name.partition(":")[2]
    return f"{of(name).title} {subject}".strip()


def in_order(names: Iterable[str]) -> list[str]:
    """Full names in the order of the board: as METRICS stand, then by subject."""
    return sorted(names, key=lambda name: (_ORDER[name.partition(":")[0]], name))


def stack(name: str, seeds: list[Values]) -> tuple[Array, Array | None]:
    """(values, weights) of one arm as (seeds, examples) arrays over all ids, sorted.

    An id a seed does not have is unknown (NaN), except in ratios, where it weighs nothing.
    """
    ids = sorted({one for values in seeds for one in values.ids or ()})
    position = {one: index for index, one in enumerate(ids)}
    ratio = of(name).kind == "ratio"
    top = np.full((len(seeds), len(ids)), 0.0 if ratio else np.nan)
    bottom = np.zeros_like(top) if ratio else None
    for row, values in enumerate(seeds):
        columns = [position[one] for one in values.ids or ()]
        top[row, columns] = values.top
        if bottom is not None:
            bottom[row, columns] = 1.0 if values.bottom is None else values.bottom
    return top, bottom


def summarise(name: str, seeds: list[Values], level: float = stats.LEVEL) -> Interval:
    """Value and interval of one arm: one seed gives an infinite interval."""
    metric = of(name)
    if not seeds:
        return Interval(None, None, None, 0, 0)
    if metric.kind in ("seed", "log", "runs"):
        numbers = np.concatenate([values.top for values in seeds])
        found = stats.seed_interval(numbers, level=level, log=metric.kind == "log")
        return found if metric.kind != "runs" else Interval(found.value, None, None, 0, len(seeds))
    top, bottom = stack(name, seeds)
    if bottom is not None:
        return stats.ratio_interval(top, bottom, level=level, share=metric.unit == "share")
    return stats.mean_interval(top, level=level, binary=metric.kind == "binary")


def compare(
    name: str, a: Mapping[int, Values], b: Mapping[int, Values], *, rounds: int = stats.ROUNDS
) -> Difference | None:
    """Paired difference b - a of two arms, by seed -> Values, over common seeds and examples; None without any."""
    common = sorted(a.keys() & b.keys())
    if not common or of(name).kind not in ("binary", "mean", "ratio"):
        return None
    top, bottom = stack(name, [a[seed] for seed in common] + [b[seed] for seed in common])
    half = len(common)
    if bottom is None:
        return stats.paired_bootstrap(top[:half], top[half:], rounds=rounds)
    return stats.paired_bootstrap(top[:half], top[half:], a_weight=bottom[:half], b_weight=bottom[half:], rounds=rounds)


def lower_worst_case(by_name: Mapping[str, Mapping[int, Values]]) -> dict[int, Values]:
    """The ranked number of an arm: of its worst cases, calibrated and raw, the one with the lower mean.

    Only seeds that have both count, so that a crashed attack gains nothing.
    """
    modes = [dict(by_name.get(f"worst_case_{mode}", {})) for mode in MODES]
    both = sorted(modes[0].keys() & modes[1].keys())
    arms = [{seed: mode[seed] for seed in both} for mode in modes]
    means = [summarise("worst_case", list(arm.values())).value for arm in arms]
    if means[0] is None or means[1] is None:
        return {}
    return arms[0] if means[0] <= means[1] else arms[1]


def masked_recipes(by_name: Mapping[str, Mapping[int, Values]]) -> list[str]:
    """Recipes whose raw AUA exceeds the calibrated one by more than 2 points: saturation hides which word matters."""
    found = []
    for name in sorted(by_name):
        base, _, recipe = name.partition(":")
        if base != "aua_raw" or not by_name.get(f"aua_calibrated:{recipe}"):
            continue
        raw, calibrated = by_name[name], by_name[f"aua_calibrated:{recipe}"]
        common = sorted(raw.keys() & calibrated.keys())
        high, low = (summarise(name, [arm[seed] for seed in common]).value for arm in (raw, calibrated))
        # a difference of two means is not exact to the last bit; 2 points are allowed
        if high is not None and low is not None and high - low > MASKING + 1e-9:
            found.append(recipe)
    return found
