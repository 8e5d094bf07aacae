"""Numbers derived from Outcomes: pure functions, each returned with the number of examples it rests on.

An example whose attack ended in "error" has no verdict and counts nowhere. What cannot be computed is None, never 0.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from attacks.outcome import Outcome


@dataclass(frozen=True)
class Metric:
    """`value` (None when unknown) over `n` examples."""

    value: float | None
    n: int


def accuracy_under_attack(outcomes: Iterable[Outcome]) -> Metric:
    """Share in [0, 1] of ALL examples that the victim still gets right under attack; higher is more robust."""
    return _mean(outcome.status == "failed" for outcome in outcomes if outcome.status != "error")


def clean_accuracy(outcomes: Iterable[Outcome]) -> Metric:
    """Share in [0, 1] of all examples that the victim gets right before the attack."""
    return _mean(outcome.status != "skipped" for outcome in outcomes if outcome.status != "error")


def attack_success_rate(outcomes: Iterable[Outcome]) -> Metric:
    """Share in [0, 1] of the correctly classified examples that the attack fools; lower is more robust."""
    return _mean(outcome.status == "success" for outcome in outcomes if outcome.status in ("success", "failed"))


def error_rate(outcomes: Iterable[Outcome]) -> Metric:
    """Share in [0, 1] of the examples without a verdict."""
    return _mean(outcome.status == "error" for outcome in outcomes)


def survived(outcomes_by_recipe: Mapping[str, Sequence[Outcome]]) -> dict[str, bool | None]:
    """Example id -> whether the victim survives EVERY recipe.

    False as soon as one recipe's verdict is "success" or "skipped"; None when no verdict says so but one is missing (an
    error, or a recipe that was not run on this example); True only when every recipe's verdict is "failed".
    """
    by_recipe = [{outcome.id: outcome for outcome in outcomes} for outcomes in outcomes_by_recipe.values()]
    ids = list(dict.fromkeys(id_ for outcomes in by_recipe for id_ in outcomes))
    verdicts: dict[str, bool | None] = {}
    for id_ in ids:
        statuses = [outcomes[id_].status if id_ in outcomes else "error" for outcomes in by_recipe]
        lost = any(status in ("success", "skipped") for status in statuses)
        verdicts[id_] = False if lost else None if "error" in statuses else True
    return verdicts


def worst_case(outcomes_by_recipe: Mapping[str, Sequence[Outcome]]) -> Metric:
    """Share in [0, 1] of examples that survive every recipe: the text analogue of an attack ensemble."""
    return _mean(verdict for verdict in survived(outcomes_by_recipe).values() if verdict is not None)


def accuracy_at_budget(outcomes: Iterable[Outcome], per_word: int) -> Metric:
    """What accuracy under attack would have been with `per_word` queries for each word of a text, at least 1 in all.

    Read off outcomes of a larger budget: a search that ends at its first success goes the same way until its queries
    are spent, so a success after more queries than that is a survivor. An upper bound by the texts whose winning
    candidate stood early in the batch that was cut.
    """
    return _mean(
        outcome.status == "failed"
        or (outcome.status == "success" and outcome.queries > max(1, per_word * outcome.words))
        for outcome in outcomes
        if outcome.status != "error"
    )


def shared_success_rates(by_victim: Mapping[str, Sequence[Outcome]]) -> dict[str, Metric]:
    """Victim -> attack success rate over the examples that every victim gets right before the attack."""
    right = [{o.id for o in outcomes if o.status in ("success", "failed")} for outcomes in by_victim.values()]
    shared = set.intersection(*right) if right else set()
    return {
        victim: _mean(outcome.status == "success" for outcome in outcomes if outcome.id in shared)
        for victim, outcomes in by_victim.items()
    }


def transfer_accuracy(correct: Iterable[bool]) -> Metric:
    """Share in [0, 1] of adversarial texts made against another model that this victim gets right."""
    return _mean(correct)


def words_changed(outcomes: Iterable[Outcome]) -> Metric:
    """Mean share of words changed over the successful attacks; an example counts once, whatever its length."""
    return _mean(
        outcome.words_changed / outcome.words
        for outcome in outcomes
        if outcome.status == "success" and outcome.words_changed is not None and outcome.words > 0
    )


def words_changed_over_all(outcomes: Iterable[Outcome]) -> Metric:
    """Mean share of words changed over all attacked texts, 0 for one that survived; skipped ones count nowhere."""
    return _mean(
        (outcome.words_changed or 0) / max(1, outcome.words)
        for outcome in outcomes
        if outcome.status in ("success", "failed")
    )


def queries(outcomes: Iterable[Outcome]) -> Metric:
    """Mean number of victim queries over the examples that were attacked (neither skipped nor in error)."""
    return _mean(outcome.queries for outcome in outcomes if outcome.status in ("success", "failed"))


def _mean(values: Iterable[float]) -> Metric:
    known = [float(value) for value in values]
    return Metric(fmean(known) if known else None, len(known))
