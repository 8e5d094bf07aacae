"""Which ranks an arm can have given the noise, which arms are not distinguishable, and who is on the Pareto front."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bench import metrics, stats, summaries
from bench.board import Arm, Board
from bench.metrics import Values
from bench.stats import Array, Interval

ALPHA = 0.05
FEWEST_SEEDS = 2
# what a mitigation costs: measured beside the baseline, or, where times are not comparable, counted
COSTS = ("step_time_ratio", "counted_cost")


def place(board: Board) -> None:
    """Fills in `ranks`, `group` and `front` of the ranked arms, in the order in which they stand.

    Every pair of ranked arms is tested on the seeds and examples that all of them have, Holm-corrected over all pairs
    and, as for the verdicts, called different only beyond the smallest difference that matters.
    """
    ranked = [arm for arm in board.arms if arm.rank is not None]
    _front(board, ranked)
    found = _tables(board.score, ranked)
    if found is None:
        return
    distinct = _distinct(board, ranked, *found)
    values = [_value(arm, board.score) for arm in ranked]
    # the score is always one of which more is better
    for arm, ranks in zip(ranked, stats.rank_intervals(values, distinct), strict=True):
        arm.ranks = ranks
    try:
        for arm, group in zip(ranked, stats.letters(len(ranked), distinct), strict=True):
            arm.group = group
    except ValueError as error:
        board.notes.append(f"no letters: {error}")


def _tables(score: str, ranked: Sequence[Arm]) -> tuple[Array, Array] | None:
    """(arms, seeds, examples) linearised outcomes on what all arms have, and the arms' values there."""
    if len(ranked) < 2:
        return None
    seeds = sorted(set.intersection(*(set(arm.values.get(score, {})) for arm in ranked)))
    if len(seeds) < FEWEST_SEEDS:
        return None
    every: list[Values] = [arm.values[score][seed] for arm in ranked for seed in seeds]
    top, bottom = metrics.stack(score, every)
    weight = np.ones_like(top) if bottom is None else bottom
    complete = ~np.isnan(top).any(axis=0) & ~np.isnan(weight).any(axis=0)
    if complete.sum() < 2:
        return None
    shape = (len(ranked), len(seeds), int(complete.sum()))
    top, weight = top[:, complete].reshape(shape), weight[:, complete].reshape(shape)
    if (weight.sum(axis=(1, 2)) <= 0).any():
        return None
    values = top.sum(axis=(1, 2)) / weight.sum(axis=(1, 2))
    parts = (top - values[:, None, None] * weight) / weight.mean(axis=(1, 2))[:, None, None]
    return parts, values


def _distinct(board: Board, ranked: Sequence[Arm], parts: Array, values: Array) -> set[tuple[int, int]]:
    lent = summaries.lend(board.score, [arm.values.get(board.score, {}) for arm in ranked])
    first, second = np.triu_indices(len(ranked), 1)
    p = stats.pairwise(parts, values, lent, ALPHA)[first, second]
    adjusted = np.array(stats.holm(p.tolist()), dtype=np.float64)
    smallest = metrics.of(board.score).smallest_difference or 0.0
    apart = (adjusted < ALPHA) & (np.abs(values[first] - values[second]) > smallest)
    return set(zip(first[apart].tolist(), second[apart].tolist(), strict=True))


def _value(arm: Arm, name: str) -> float:
    cell = arm.cells[name]
    return cell.value if isinstance(cell, Interval) and cell.value is not None else -1.0


def cost(board: Board, arm: Arm) -> float | None:
    """What the arm's training costs over the baseline's, by the first of `COSTS` that all ranked arms have, or None."""
    name = _counted(board)
    cell = arm.cells.get(name) if name is not None else None
    return cell.value if isinstance(cell, Interval) else None


def _counted(board: Board) -> str | None:
    for name in COSTS:
        cells = [one.cells.get(name) for one in board.arms if one.rank is not None]
        if cells and all(isinstance(cell, Interval) and cell.value is not None for cell in cells):
            return name
    return None


def _front(board: Board, ranked: Sequence[Arm]) -> None:
    """Marks the arms that no other beats in robustness and cost at once; noise is not considered here."""
    name = _counted(board)
    if name is None:
        return
    values, prices = (np.array([_value(arm, one) for arm in ranked]) for one in (board.score, name))
    for arm, value, price in zip(ranked, values, prices, strict=True):
        no_worse = (values >= value) & (prices <= price)
        arm.front = not bool((no_worse & ((values > value) | (prices < price))).any())
