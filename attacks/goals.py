"""What an attack on a tagger wants: goals on entity spans, which TextAttack lacks.

TextAttack 0.3.11 has a goal for named entities that sums up the confidence of the entities with a given suffix and
wants that sum to be great: it rewards what it claims to remove, and knows neither spans nor gold tags. It is not used.

A goal is reached by the victim's decision alone. Its score in [0, 1], which guides the search, is p / 2 before the goal
is reached and (1 + p) / 2 after, where p is the probability of what the goal wants if the tags of the words were drawn
independently from the victim's probabilities. So no candidate that reaches the goal scores below one that does not.

G are the gold spans of the sentence, P the predicted ones, both strict; "in a gold span" means all of its words.

- `untargeted`, the default: P differs from G. At least one gold entity is not predicted exactly (span and type), or an
  invented one appears. As only sentences with P = G are attacked, this is the same as: their strict entity F1 falls
  (for a sentence without entities: from nothing wrong to something invented). p is the greater one of the chance that
  the weakest gold entity is not predicted exactly, and the p of `invent`.
- `drop`: a gold entity is no longer predicted: no predicted entity holds any of its words. p: the chance of all O.
- `relabel`: the span of a gold entity is predicted with another type. p: the chance of the likeliest such type.
- `invent`: an entity is predicted where there is none: it shares no word with a gold entity. p: the chance of B-, of
  the likeliest type, at the likeliest word outside of gold entities.
- `split`: a gold entity of two words or more is predicted in pieces: at least two predicted entities of its type lie
  in it. p: the chance of B- on its first word and on the likeliest other one.

Of several gold entities, the likeliest to fall counts. A sentence that cannot reach a goal (nothing to drop) has p = 0.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from attacks.entities import OUTSIDE, Span, Tags, bio, spans
from attacks.tagging_victim import Prediction, TaggingVictim

DEFAULT = "untargeted"


def reached(goal: str, gold: Tags, said: Prediction) -> bool:
    """Whether the victim's tags reach `goal`. Raises ValueError for an unknown goal or tags of another length."""
    return _of(goal, gold, said)[0](spans(gold), spans(said.tags))


def score(goal: str, gold: Tags, said: Prediction) -> float:
    """How near the victim is to `goal`, in [0, 1]; at least 0.5 exactly when it is reached (p = 1 aside)."""
    is_reached, chance = _of(goal, gold, said)
    p = chance(spans(gold), _Chances(said))
    return (float(np.clip(p, 0.0, 1.0)) + is_reached(spans(gold), spans(said.tags))) / 2


class _Chances:
    """The probability of tags at words, independent from word to word."""

    def __init__(self, said: Prediction) -> None:
        self.rows, self.column = said.probabilities.astype(np.float64), {tag: i for i, tag in enumerate(said.labels)}
        self.types = list(dict.fromkeys(tag[2:] for tag in said.labels if tag != OUTSIDE))

    def at(self, word: int, tag: str) -> float:
        return float(self.rows[word, self.column[tag]]) if tag in self.column else 0.0

    def of(self, start: int, tags: Tags) -> float:
        return float(np.prod([self.at(start + i, tag) for i, tag in enumerate(tags)]))

    def exactly(self, span: Span) -> float:
        """That the span is an entity of its type, and ends where it ends."""
        kind, start, stop = span
        goes_on = self.at(stop, f"I-{kind}") if stop < len(self.rows) else 0.0
        return self.of(start, bio(kind, stop - start)) * (1 - goes_on)

    def outside(self, gold: list[Span]) -> list[int]:
        named = {i for _, start, stop in gold for i in range(start, stop)}
        return [i for i in range(len(self.rows)) if i not in named]


def _differs(gold: list[Span], found: list[Span]) -> bool:
    return set(gold) != set(found)


def _differs_chance(gold: list[Span], chances: _Chances) -> float:
    return max([1 - chances.exactly(span) for span in gold] + [_invented_chance(gold, chances)])


def _apart(one: Span, other: Span) -> bool:
    return one[2] <= other[1] or other[2] <= one[1]


def _dropped(gold: list[Span], found: list[Span]) -> bool:
    return any(all(_apart(span, other) for other in found) for span in gold)


def _dropped_chance(gold: list[Span], chances: _Chances) -> float:
    return max((chances.of(start, [OUTSIDE] * (stop - start)) for _, start, stop in gold), default=0.0)


def _relabelled(gold: list[Span], found: list[Span]) -> bool:
    return any(one[1:] == other[1:] and one[0] != other[0] for one in gold for other in found)


def _relabelled_chance(gold: list[Span], chances: _Chances) -> float:
    return max(
        (
            chances.exactly((other, start, stop))
            for kind, start, stop in gold
            for other in chances.types
            if other != kind
        ),
        default=0.0,
    )


def _invented(gold: list[Span], found: list[Span]) -> bool:
    return any(all(_apart(span, other) for other in gold) for span in found)


def _invented_chance(gold: list[Span], chances: _Chances) -> float:
    places = [(i, kind) for i in chances.outside(gold) for kind in chances.types]
    return max((chances.at(i, f"B-{kind}") for i, kind in places), default=0.0)


def _split(gold: list[Span], found: list[Span]) -> bool:
    return any(sum(o[0] == kind and start <= o[1] and o[2] <= stop for o in found) > 1 for kind, start, stop in gold)


def _split_chance(gold: list[Span], chances: _Chances) -> float:
    return max(
        (
            chances.at(start, f"B-{kind}") * max(chances.at(i, f"B-{kind}") for i in range(start + 1, stop))
            for kind, start, stop in gold
            if stop - start > 1
        ),
        default=0.0,
    )


Reached = Callable[[list[Span], list[Span]], bool]
Chance = Callable[[list[Span], _Chances], float]
GOALS: dict[str, tuple[Reached, Chance]] = {
    DEFAULT: (_differs, _differs_chance),
    "drop": (_dropped, _dropped_chance),
    "relabel": (_relabelled, _relabelled_chance),
    "invent": (_invented, _invented_chance),
    "split": (_split, _split_chance),
}


def check(goal: str) -> None:
    """Raises ValueError for an unknown goal."""
    if goal not in GOALS:
        raise ValueError(f"unknown goal {goal!r}; allowed: {', '.join(GOALS)}")


def _of(goal: str, gold: Tags, said: Prediction) -> tuple[Reached, Chance]:
    check(goal)
    if len(gold) != len(said.tags):
        raise ValueError(f"{len(gold)} gold tags but {len(said.tags)} predicted ones")
    return GOALS[goal]


def goal_function(victim: TaggingVictim, goal: str = DEFAULT) -> Any:
    """`goal` as TextAttack's GoalFunction over `attacks.tagged_text.TaggedText`; gold tags are the text's own.

    A sentence whose entities the victim does not predict exactly before the attack is skipped, whatever the goal.
    Import only after `attacks.lexicon.prepare_textattack`.
    """
    check(goal)
    from textattack.goal_function_results import GoalFunctionResult
    from textattack.goal_functions import GoalFunction

    class TaggedResult(GoalFunctionResult):
        def get_text_color_input(self) -> str:
            return "red"

        def get_text_color_perturbed(self) -> str:
            return "blue"

        def get_colored_output(self, color_method: str | None = None) -> str:  # noqa: ARG002 (TextAttack's signature)
            return str(self.output)

    class SpanGoal(GoalFunction):
        def _process_model_outputs(self, inputs: Any, outputs: Any) -> Any:  # noqa: ARG002 (TextAttack's signature)
            return outputs

        def _is_goal_complete(self, model_output: Prediction, attacked_text: Any) -> bool:
            return reached(goal, attacked_text.tags, model_output)

        def _should_skip(self, model_output: Prediction, attacked_text: Any) -> bool:
            return reached(DEFAULT, attacked_text.tags, model_output)

        def _get_score(self, model_output: Prediction, attacked_text: Any) -> float:
            return score(goal, attacked_text.tags, model_output)

        def _get_displayed_output(self, raw_output: Prediction) -> list[Span]:
            return spans(raw_output.tags)

        def _goal_function_result_type(self) -> type[GoalFunctionResult]:
            return TaggedResult

    return SpanGoal(victim, model_cache_size=2**14)
