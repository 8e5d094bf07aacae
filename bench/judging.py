"""Who differs from the baseline, and who has which rank."""

from __future__ import annotations

from bisect import bisect_right

from bench import metrics, stats, summaries
from bench.board import Arm, Board
from bench.metrics import Missing
from bench.stats import Difference, Interval

BASELINE = "baseline"
ALPHA = 0.05
FEWEST_SEEDS = 2
CLEAN = ("clean_accuracy", "entity_f1")


def judge(board: Board) -> None:
    """Paired differences to the baseline on the score and on clean accuracy, each family Holm-corrected."""
    baseline = next((arm for arm in board.arms if arm.label == BASELINE), None)
    if baseline is None:
        board.notes.append("no baseline on this board: no differences, and clean accuracy gates nothing")
        return
    baseline.verdict = "baseline"
    others = [arm for arm in board.arms if arm is not baseline]
    judged = [arm for arm in others if not arm.hides]
    for arm in others:
        arm.verdict = "masking: not judged" if arm.hides else ""
    for arm, difference, p in _family(board.score, baseline, judged):
        arm.difference, arm.p_adjusted = difference, p
        smallest = metrics.of(board.score).smallest_difference or 0.0
        arm.verdict = verdict(difference, p, smallest, metrics.of(board.score).direction)
    for name in CLEAN:
        smallest = metrics.of(name).smallest_difference or 0.0
        # of these nothing is shown but what is worse
        for arm, difference, p in _family(name, baseline, others, ALPHA) if name != board.score else ():
            if verdict(difference, p, smallest, metrics.of(name).direction) == "worse":
                arm.below = (
                    f"{metrics.title(name)} is {-100 * difference.value:.1f} points below the baseline's "
                    f"(p = {p:.2g} after Holm)"
                )


def _family(
    name: str, baseline: Arm, others: list[Arm], alpha: float | None = None
) -> list[tuple[Arm, Difference, float]]:
    """(arm, difference to the baseline, p after Holm); with `alpha` only those that this level rejects are exact."""
    first = baseline.values.get(name, {})
    values = [arm.values.get(name, {}) for arm in others]
    found = summaries.compare(name, first, values, summaries.lend(name, [first, *values]), alpha)
    known = [(arm, difference) for arm, difference in zip(others, found, strict=True) if difference is not None]
    # a difference of one seed is no evidence about the arm, so it neither joins nor enlarges the family
    several = [(arm, difference) for arm, difference in known if difference.seeds >= FEWEST_SEEDS]
    adjusted = stats.holm([difference.p for _, difference in several])
    single = [(arm, difference, 1.0) for arm, difference in known if difference.seeds < FEWEST_SEEDS]
    return [(arm, difference, p) for (arm, difference), p in zip(several, adjusted, strict=True)] + single


def verdict(difference: Difference, p: float, smallest: float, direction: str | None) -> str:
    """`better`, `worse` or `not distinguishable`: significant after correction AND larger than what matters."""
    if difference.seeds < FEWEST_SEEDS:
        return "1 seed: not judged"
    if p >= ALPHA or abs(difference.value) <= smallest or direction is None:
        return "not distinguishable"
    return "better" if (difference.value > 0) == (direction == "higher") else "worse"


def rank(board: Board) -> None:
    """Ranked arms by the score, then arms below the line, then those without a rank; ties share one."""

    def score(arm: Arm) -> float:
        cell = arm.cells.get(board.score)
        return cell.value if isinstance(cell, Interval) and cell.value is not None else -1.0

    for arm in board.arms:
        cell = arm.cells[board.score]
        if isinstance(cell, Missing):
            arm.no_rank = f"{cell.status}: {cell.reason}"
        elif cell.seeds < FEWEST_SEEDS:
            arm.no_rank = "1 seed: no interval, no rank"
        elif arm.below:
            arm.no_rank = arm.below
        elif arm.hides:
            arm.no_rank = "masking: " + "; ".join(arm.hides)
    ranked = [arm for arm in board.arms if not arm.no_rank]
    rising = sorted(score(arm) for arm in ranked)
    for arm in ranked:
        arm.rank = 1 + len(rising) - bisect_right(rising, score(arm))
    board.arms.sort(key=lambda arm: (bool(arm.no_rank), not arm.below, -score(arm), arm.label))
