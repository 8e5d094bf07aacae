"""Stacked mitigations: does each still help on top of the others?

For every stack on a board whose parts stand there too: the paired difference between the stack and the stack without
one of its mitigations, Holm-corrected over all such comparisons of the board, and the interaction contrast, what the
mitigation adds on top of the others less what it adds to the baseline.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from bench import metrics, stats, summaries
from bench.board import Arm, Board
from bench.gate.sides import configs
from bench.stats import Difference, Interval

BASELINE = "baseline"
Parts = tuple[str, ...]


@dataclass(frozen=True)
class Interaction:
    """What `added` does on top of `rest`; `contrast` is None where the baseline or the arm of `added` is missing."""

    stack: str
    added: str
    rest: str
    difference: Difference
    p: float
    verdict: str
    contrast: float | None


def find(board: Board, judge: Callable[[Difference, float], str]) -> list[Interaction]:
    """The interactions of a board's stacks in its score, in the order of its arms; arms that hide gain no verdict.

    `judge(difference, p)` gives the verdict in words.
    """
    arms = {_parts(arm): arm for arm in reversed(board.arms) if not arm.hides}
    stacks = [(arm, place, rest) for arm in board.arms if not arm.hides for place, rest in _rests(arm, arms)]
    score = board.score
    lent = summaries.lend(score, [arm.values.get(score, {}) for arm in board.arms]) if stacks else None
    found: list[tuple[Arm, int, Arm, Difference]] = []
    for arm, place, rest in stacks:
        difference = metrics.compare(score, rest.values.get(score, {}), arm.values.get(score, {}), lent=lent)
        if difference is not None:
            found.append((arm, place, rest, difference))
    # a difference of one seed is no evidence about the arms, so it joins no family
    several = [difference.p for *_, difference in found if difference.seeds > 1]
    corrected = iter(stats.holm(several))
    made = []
    for arm, place, rest, difference in found:
        p = next(corrected) if difference.seeds > 1 else 1.0
        added = json.loads(_parts(arm)[place])[0]
        contrast = _contrast(board.score, arm, rest, arms.get((_parts(arm)[place],)), arms.get(()))
        made.append(Interaction(arm.label, added, rest.label, difference, p, judge(difference, p), contrast))
    return made


def _parts(arm: Arm) -> Parts:
    """The arm's mitigations with their settings, sorted, as the order in a stack says nothing; () is the baseline."""
    if arm.label == BASELINE:
        return ()
    named = [(name, values) for name, values in configs(arm.records[0]) if name != BASELINE]
    return tuple(sorted(json.dumps([name, values], sort_keys=True) for name, values in named))


def _rests(arm: Arm, arms: Mapping[Parts, Arm]) -> list[tuple[int, Arm]]:
    """(place of a mitigation, the arm without it) of a stack, where such an arm is among `arms`."""
    parts = _parts(arm)
    if len(parts) < 2:
        return []
    without = [(place, arms.get(parts[:place] + parts[place + 1 :])) for place in range(len(parts))]
    return [(place, rest) for place, rest in without if rest is not None]


def _contrast(score: str, both: Arm, rest: Arm, alone: Arm | None, baseline: Arm | None) -> float | None:
    cells = [arm.cells.get(score) if arm is not None else None for arm in (both, rest, alone, baseline)]
    values = [cell.value for cell in cells if isinstance(cell, Interval) and cell.value is not None]
    return (values[0] - values[1]) - (values[2] - values[3]) if len(values) == 4 else None
