"""The metrics of the board as data, and how the values of an arm's seeds are summarised and compared.

A metric's full name is its name, or `name:subject` where it exists once per recipe, explainer or domain
(`aua_raw:textfooler`). Values are stored as shares (0 to 1), ratios, seconds; the report prints shares as percent.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from bench import ranges, stats
from bench.stats import Array, Difference, Interval

Kind = Literal["binary", "mean", "ratio", "seed", "log", "runs"]
MODES = ("calibrated", "raw")
TAGS = "tags"  # the one mode of attacks on taggers
NOTES = {"attention_rollout": " (attention, not attribution)"}  # said wherever the subject is named in full
BUDGETS = (10, 25, 50, 100)  # queries a word at which accuracy under attack is read off one run


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

    @property
    def range(self) -> tuple[float, float]:
        """The least and the most a value can be, infinite where nothing bounds it."""
        return ranges.of(self.name, self.unit)


class Values(NamedTuple):  # made in a third of the time of a frozen dataclass, some thirty for each record
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
    Metric("entity_f1_worst", "worst-case entity F1", "share", "higher", 0.05, "ratio", "attack"),
    Metric("clean_accuracy", "clean accuracy", "share", "higher", 0.01, "binary", "clean"),
    Metric("entity_f1", "entity F1", "share", "higher", 0.01, "ratio", "clean"),
    Metric("ood_accuracy", "out of domain", "share", "higher", 0.02, "binary", "ood:{}"),
    Metric("ood_f1", "out of domain F1", "share", "higher", 0.02, "ratio", "ood:{}"),
    Metric("aua_calibrated", "AUA calibrated", "share", "higher", 0.05, "binary", "attack:{}:calibrated"),
    Metric("aua_raw", "AUA raw", "share", "higher", 0.05, "binary", "attack:{}:raw"),
    Metric("entity_f1_attacked", "entity F1 attacked by", "share", "higher", 0.05, "ratio", "attack:{}:tags"),
    Metric("worst_case_adaptive", "worst case after the adaptive pass", "share", "higher", 0.05, "binary", "adaptive"),
    Metric("entity_f1_adaptive", "worst-case entity F1, adaptive pass", "share", "higher", 0.05, "ratio", "adaptive"),
    *(
        Metric(f"aua_at_{n}", f"AUA at {n} queries a word", "share", "higher", 0.05, "binary", "attack:{}:calibrated")
        for n in BUDGETS
    ),
    Metric("aua_sweep", "AUA, lowest over temperatures", "share", "higher", 0.05, "binary", "sweep:{}"),
    Metric("entity_f1_sweep", "entity F1, lowest over temperatures", "share", "higher", 0.05, "ratio", "sweep:{}"),
    Metric("asr", "attack success rate", "share", "lower", 0.05, "ratio", "attack:{}:calibrated"),
    Metric("asr_shared", "ASR on texts every arm gets right", "share", "lower", 0.05, "ratio", "attack:{}:calibrated"),
    Metric("transfer_accuracy", "accuracy on transferred texts", "share", "higher", 0.05, "ratio", "transfer:{}"),
    Metric("transfer_from", "accuracy on texts made against", "share", "higher", 0.05, "ratio", "transfer:{}"),
    Metric("transfer_f1", "entity F1 on transferred sentences", "share", "higher", 0.05, "ratio", "transfer:{}"),
    Metric("transfer_f1_from", "entity F1 on sentences made against", "share", "higher", 0.05, "ratio", "transfer:{}"),
    Metric("queries", "queries per attacked text", "queries", None, None, "ratio", "attack:{}:calibrated"),
    Metric("words_changed", "words changed in successes", "share", None, None, "ratio", "attack:{}:calibrated"),
    Metric("words_changed_all", "words changed, all", "share", None, None, "ratio", "attack:{}:calibrated"),
    Metric("similarity", "similarity of successes", "score", None, None, "ratio", "attack:{}:calibrated"),
    Metric("perplexity_rise", "perplexity of successes, log", "nats", None, None, "ratio", "attack:{}:calibrated"),
    Metric("retagged", "replaced words of another word class", "share", None, None, "ratio", "attack:{}:calibrated"),
    Metric("errors_added", "LanguageTool errors added", "errors", None, None, "ratio", "attack:{}:calibrated"),
    Metric("temperature", "temperature fitted on validation", "x", None, None, "seed", "clean"),
    Metric("score_levels", "distinct answers per text", "share", None, None, "seed", "sweep:{}"),
    Metric("attack_errors", "attack errors", "share", "lower", 0.01, "seed", "attack"),
    Metric("invariance_failure", "answers changed by", "share", "lower", 0.05, "ratio", "invariance"),
    Metric("ece_calibrated", "ECE calibrated", "share", "lower", 0.02, "seed", "clean"),
    Metric("ece_raw", "ECE raw", "share", "lower", 0.02, "seed", "clean"),
    Metric("brier_calibrated", "Brier score calibrated", "score", "lower", 0.01, "mean", "clean"),
    Metric("brier_raw", "Brier score raw", "score", "lower", 0.01, "mean", "clean"),
    Metric("worst_group_accuracy", "worst-group accuracy", "share", "higher", 0.02, "seed", "clean"),
    Metric("group_accuracy", "accuracy of group", "share", "higher", 0.02, "binary", "clean"),
    Metric("generalisation_gap", "training minus validation score", "share", "lower", 0.01, "seed", "train"),
    Metric("dnaopc", "faithfulness gap dNAOPC", "gap", "higher", 0.05, "mean", "explain:{}"),
    Metric("faithfulness_correlation", "faithfulness correlation", "score", "higher", 0.05, "mean", "explain:{}"),
    Metric("drift_tau", "attribution drift tau-b", "tau", "higher", 0.05, "ratio", "explain:{}"),
    Metric("drift_overlap", "top-word overlap under attack", "score", "higher", 0.05, "mean", "explain:{}"),
    Metric("unchanged_tau", "tau-b under attack, entity unchanged", "tau", "higher", 0.05, "mean", "explain:{}"),
    Metric("attacked_tau", "tau-b under attack on explanation", "tau", "higher", 0.05, "mean", "explain:{}"),
    Metric("edit_tau_worst", "tau-b under edits, worst of 10", "tau", "higher", 0.05, "mean", "explain:{}"),
    Metric("edit_tau", "tau-b under edits", "tau", "higher", 0.05, "mean", "explain:{}"),
    Metric("edit_overlap", "top-word overlap under edits", "score", "higher", 0.05, "mean", "explain:{}"),
    Metric("typo_tau", "tau-b under typing errors", "tau", "higher", 0.05, "mean", "edits:{}"),
    Metric("synonym_tau", "tau-b under synonyms", "tau", "higher", 0.05, "mean", "edits:{}"),
    Metric("edit_coverage", "words an edit leaves", "share", None, None, "mean", "explain:{}"),
    Metric("seed_tau", "tau-b with another seed", "tau", "higher", 0.05, "mean", "agreement:{}"),
    Metric("baseline_tau", "tau-b with the baseline", "tau", None, None, "mean", "agreement:{}"),
    Metric("comprehensiveness", "AOPC comprehensiveness", "gap", None, None, "mean", "explain:{}"),
    Metric("sufficiency", "AOPC sufficiency", "gap", None, None, "mean", "explain:{}"),
    Metric("masked_keeps_class", "class kept when fully masked", "share", None, None, "binary", "explain:{}"),
    Metric("completeness_failures", "completeness error > 5 %", "share", "lower", 0.05, "binary", "explain:{}"),
    Metric("randomisation_failures", "kept without learnt weights", "share", "lower", 0.05, "binary", "explain:{}"),
    Metric("rationale_ap", "plausibility AP*, human marks", "score", "higher", 0.05, "mean", "explain:{}"),
    Metric("rationale_f1", "plausibility token F1, human marks", "share", "higher", 0.05, "mean", "explain:{}"),
    # a list of words is no human judgement of a text: shown, never ranked
    Metric("lexicon_ap", "plausibility AP*, sentiment words", "score", None, None, "mean", "explain:{}"),
    Metric("lexicon_f1", "plausibility token F1, sentiment words", "share", None, None, "mean", "explain:{}"),
    Metric("own_words_ap", "plausibility AP*, the entity's words", "score", None, None, "mean", "explain:{}"),
    Metric("own_words_f1", "plausibility token F1, the entity's words", "share", None, None, "mean", "explain:{}"),
    Metric("effective_words", "effective words", "words", None, None, "mean", "explain:{}"),
    Metric("self_share", "attribution on the entity itself", "share", None, None, "mean", "explain:{}"),
    Metric("method_agreement", "tau-b with other methods", "tau", None, None, "mean", "explain:{}"),
    Metric("explain_seconds", "seconds per explained text", "s/text", None, None, "mean", "explain:{}"),
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
    return f"{of(name).title} {subject}{NOTES.get(subject, '')}".strip()


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


def summarise(name: str, seeds: list[Values], level: float | None = stats.LEVEL) -> Interval:
    """Value and interval of one arm, cut at the metric's range: one seed, or no `level`, an infinite one."""
    return ranges.cut(_summary(of(name), name, seeds, level), of(name).range)


def value(name: str, seeds: Sequence[Values]) -> float | None:
    """The value that `summarise` gives, in a tenth of its time where outcomes are binary, complete and of one set."""
    first = seeds[0].ids if seeds else None
    if first and of(name).kind == "binary" and all(one.ids is first or one.ids == first for one in seeds):
        # sums of 0 and 1 are exact in any order
        mean = float(np.concatenate([one.top for one in seeds]).sum()) / (len(seeds) * len(first))
        if not math.isnan(mean):
            return mean
    return summarise(name, list(seeds), None).value


def _summary(metric: Metric, name: str, seeds: list[Values], level: float | None) -> Interval:
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
    name: str,
    a: Mapping[int, Values],
    b: Mapping[int, Values],
    *,
    rounds: int = stats.ROUNDS,
    lent: stats.Pool | None = None,
) -> Difference | None:
    """Paired difference b - a of two arms, by seed -> Values, over common seeds and examples; None without any.

    `lent` (see `lend`) is what other arms say about the spread of such a difference over seeds.
    """
    common = sorted(a.keys() & b.keys())
    if not common or of(name).kind not in ("binary", "mean", "ratio"):
        return None
    top, bottom = stack(name, [a[seed] for seed in common] + [b[seed] for seed in common])
    half = len(common)
    first, second = (None, None) if bottom is None else (bottom[:half], bottom[half:])
    found = stats.paired_bootstrap(top[:half], top[half:], a_weight=first, b_weight=second, rounds=rounds, lent=lent)
    return None if found is None else ranges.cut_difference(found, of(name).range)


def lend(name: str, arms: Iterable[Mapping[int, Values]]) -> stats.Pool | None:
    """The spread over seeds of a difference of two arms, as the given arms show it; None where none can."""
    return lent_by([squares(name, by_seed) for by_seed in arms])


def squares(name: str, by_seed: Mapping[int, Values]) -> stats.Squares | None:
    """The mean squares of an arm's linearised outcomes; None where it has less than two seeds or examples of them."""
    if len(by_seed) < 2 or of(name).kind not in ("binary", "mean", "ratio"):
        return None
    parts = stats.influence(*stack(name, [by_seed[seed] for seed in sorted(by_seed)]))
    return stats.squares(parts) if min(parts.shape) > 1 else None


def lent_by(tables: Iterable[stats.Squares | None]) -> stats.Pool | None:
    """What `lend` says of arms with these mean squares; a difference of two varies as both."""
    found = stats.pool([one for one in tables if one is not None])
    return None if found is None else stats.Pool(2 * found.variance, found.df)


def lower_worst_case(by_name: Mapping[str, Mapping[int, Values]]) -> dict[int, Values]:
    """The ranked number of an arm: of its worst cases, calibrated and raw, the one with the lower mean.

    Only seeds that have both count, so that a crashed attack gains nothing.
    """
    modes = [dict(by_name.get(f"worst_case_{mode}", {})) for mode in MODES]
    both = sorted(modes[0].keys() & modes[1].keys())
    arms = [{seed: mode[seed] for seed in both} for mode in modes]
    means = [value("worst_case", list(arm.values())) for arm in arms]
    if means[0] is None or means[1] is None:
        return {}
    return arms[0] if means[0] <= means[1] else arms[1]
