"""Many arms in one metric at once: what `metrics` says of each, bit for bit, in a tenth of its time.

A board has hundreds of arms that were scored on the same examples with the same number of seeds, so their tables are
one array. What differs (an arm with a failed seed, an unknown outcome, other examples) is taken by itself.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from itertools import compress
from typing import TypeVar

import numpy as np

from bench import metrics, ranges, stats
from bench.metrics import Metric, Values
from bench.stats import Array, Difference, Interval, Pool, Squares

BySeed = Mapping[int, Values]
ALONE = 2  # fewer alike are not worth an array
BY_EXAMPLE = ("binary", "mean", "ratio")
BY_SEED = ("seed", "log")
T = TypeVar("T")


def summarise(name: str, arms: Sequence[BySeed]) -> list[Interval]:
    """Per arm (seed -> Values) what `metrics.summarise` says of its seeds in order."""
    about = metrics.of(name)
    ordered = [_ordered(by_seed) for by_seed in arms]
    found: Sequence[Interval | None] = [None] * len(arms)
    if about.kind in BY_EXAMPLE:
        found = _each(map(_alike, ordered), lambda some: _intervals(about, [ordered[place] for place in some]))
    elif about.kind in BY_SEED:
        found = _each(map(len, ordered), lambda some: _seed_intervals(about, [ordered[place] for place in some]))
    limits = about.range
    return [
        metrics.summarise(name, seeds) if one is None else ranges.cut(one, limits)
        for one, seeds in zip(found, ordered, strict=True)
    ]


def compare(
    name: str, first: BySeed, arms: Sequence[BySeed], lent: Pool | None, alpha: float | None = None
) -> list[Difference | None]:
    """Per arm (seed -> Values) its difference to `first` as `metrics.compare` finds it.

    With `alpha`, only differences that Holm's correction at that level rejects are to be right in all but their value:
    see `stats.paired_bootstraps`.
    """
    about = metrics.of(name)
    common = [tuple(sorted(first.keys() & by_seed.keys())) for by_seed in arms]

    def key(place: int) -> Hashable:
        seeds = common[place]
        alike = _alike([by_seed[seed] for by_seed in (first, arms[place]) for seed in seeds])
        return alike and (seeds, alike)

    def together(some: list[int]) -> list[Difference | None]:
        seeds = common[some[0]]
        a, a_weight, known = _tables(about, [[first[seed] for seed in seeds]])
        b, b_weight, complete = _tables(about, [[arms[place][seed] for seed in seeds] for place in some])
        known = complete & known
        if not known.any():
            return [None] * len(some)
        b_weight = None if b_weight is None else b_weight[known]
        made = stats.paired_bootstraps(a, b[known], a_weight=a_weight, b_weight=b_weight, lent=lent, alpha=alpha)
        return _spread_out(known, made)

    found = _each(map(key, range(len(arms))), together) if about.kind in BY_EXAMPLE else [None] * len(arms)
    return [
        metrics.compare(name, first, by_seed, lent=lent) if one is None else ranges.cut_difference(one, about.range)
        for one, by_seed in zip(found, arms, strict=True)
    ]


def lend(name: str, arms: Sequence[BySeed]) -> Pool | None:
    """What `metrics.lend` says of the arms."""
    about = metrics.of(name)
    ordered = [_ordered(by_seed) for by_seed in arms]

    def together(some: list[int]) -> list[Squares | None]:
        top, weights, known = _tables(about, [ordered[place] for place in some])
        _, n, seeds = top.shape
        bottom = np.ones_like(top) if weights is None else weights
        known &= bottom.sum(axis=(1, 2)) > 0
        if min(n, seeds) < 2 or not known.any():
            return [None] * len(some)
        found = stats.squares_of(stats.influences(top[known], bottom[known]))
        rows = zip(found.seed.tolist(), found.example.tolist(), found.residual.tolist(), strict=True)
        return _spread_out(known, [Squares(seeds, n, *row) for row in rows])

    found = _each(map(_alike, ordered), together) if about.kind in BY_EXAMPLE else [None] * len(arms)
    return metrics.lent_by(
        metrics.squares(name, by_seed) if one is None else one for one, by_seed in zip(found, arms, strict=True)
    )


def shared_asr(arms: Mapping[str, Mapping[str, Mapping[int, Values]]]) -> dict[str, dict[str, dict[int, Values]]]:
    """`asr_shared:<recipe>` -> arm -> seed -> Values: ASR over the texts that every arm of that seed gets right.

    `arms`: label -> full name -> seed -> Values. An arm that was not attacked at a seed leaves the others as they are.
    Easy texts are left, alike for all, so an arm cannot look robust because it is right on other texts.
    """
    found: dict[str, dict[str, dict[int, Values]]] = {}
    for name in sorted({name for values in arms.values() for name in values if name.startswith("asr:")}):
        attacked = {label: values[name] for label, values in arms.items() if values.get(name)}
        mine = found.setdefault(name.replace("asr:", "asr_shared:", 1), {})
        for seed in sorted({seed for by_seed in attacked.values() for seed in by_seed}):
            there = {label: by_seed[seed] for label, by_seed in attacked.items() if seed in by_seed}
            for (label, v), kept in zip(there.items(), _right(list(there.values())), strict=True):
                mine.setdefault(label, {})[seed] = Values(v.top * kept, kept, v.ids)
    return found


def _right(arms: Sequence[Values]) -> list[Array]:
    """Per arm 1 for each of its texts that weighs something in every arm, 0 for the others."""
    ids, weighed = arms[0].ids, [(one.ids or (), one.bottom > 0) for one in arms if one.bottom is not None]
    if all(one.ids is ids or one.ids == ids for one in arms):
        return [np.logical_and.reduce([counts for _, counts in weighed]).astype(np.float64)] * len(arms)
    right = set.intersection(*(set(compress(texts, counts.tolist())) for texts, counts in weighed))
    return [np.array([text in right for text in one.ids or ()], dtype=np.float64) for one in arms]


def _ordered(by_seed: BySeed) -> list[Values]:
    return [by_seed[seed] for seed in sorted(by_seed)]


def _alike(seeds: Sequence[Values]) -> tuple[int, tuple[str, ...]] | None:
    """(seeds, ids) where all of the seeds have these ids."""
    ids = seeds[0].ids if seeds else None
    if not ids:
        return None
    for one in seeds:
        if one.ids is not ids and one.ids != ids:
            return None
    return len(seeds), ids


def _each(keys: Iterable[Hashable], together: Callable[[list[int]], Sequence[T | None]]) -> list[T | None]:
    """Per key what `together` finds of the places of its like; None where the key is empty or like too few."""
    groups: dict[Hashable, list[int]] = {}
    count = 0
    for count, key in enumerate(keys, 1):
        if key:
            groups.setdefault(key, []).append(count - 1)
    found: list[T | None] = [None] * count
    for places in groups.values():
        for place, one in zip(places, together(places) if len(places) >= ALONE else (), strict=False):
            found[place] = one
    return found


def _spread_out(known: Array, found: Iterable[T | None]) -> list[T | None]:
    """What was found of the known arms, None for the others."""
    rest = iter(found)
    return [next(rest) if one else None for one in known.tolist()]


def _intervals(about: Metric, arms: Sequence[Sequence[Values]]) -> list[Interval | None]:
    top, bottom, known = _tables(about, arms)
    if not known.any():
        return [None] * len(arms)
    if bottom is None:
        return _spread_out(known, stats.mean_intervals(top[known], binary=about.kind == "binary"))
    return _spread_out(known, stats.ratio_intervals(top[known], bottom[known], share=about.unit == "share"))


def _seed_intervals(about: Metric, arms: Sequence[Sequence[Values]]) -> list[Interval | None]:
    numbers = np.concatenate([one.top for seeds in arms for one in seeds], dtype=np.float64).reshape(len(arms), -1)
    log = about.kind == "log"
    # of unknown numbers, and of ratios that have no logarithm, each arm speaks for itself
    known = np.array((numbers > (0 if log else -np.inf)).all(axis=1))
    return _spread_out(known, stats.seed_intervals(numbers[known], log=log))


def _tables(about: Metric, arms: Sequence[Sequence[Values]]) -> tuple[Array, Array | None, Array]:
    """(arms, examples, seeds) values of alike arms, for ratios their weights, and which arms know every outcome."""
    every, shape = [one for seeds in arms for one in seeds], (len(arms), len(arms[0]), -1)
    order = _order(every[0].ids or ())
    top = _table([one.top for one in every], shape, order)
    if about.kind != "ratio":
        return top, None, np.array(~np.isnan(top).any(axis=(1, 2)))
    # as in a stack, what has no weights of its own weighs 1
    bottom = _table([np.ones_like(one.top) if one.bottom is None else one.bottom for one in every], shape, order)
    return top, bottom, np.array(~(np.isnan(top) | np.isnan(bottom)).any(axis=(1, 2)))


@functools.lru_cache(256)
def _order(ids: tuple[str, ...]) -> Array | None:
    """The places of the sorted ids; None where they are sorted."""
    order = sorted(range(len(ids)), key=ids.__getitem__)
    return None if order == list(range(len(ids))) else np.array(order)


def _table(rows: Sequence[Array], shape: tuple[int, int, int], order: Array | None) -> Array:
    """(arms, examples, seeds) of the rows of (arms, seeds, examples): the examples sorted by id."""
    cells = np.concatenate(rows, dtype=np.float64).reshape(shape).transpose(0, 2, 1)
    return np.ascontiguousarray(cells if order is None else cells[:, order])
