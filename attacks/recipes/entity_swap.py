"""Entity swap: replace entities by rarer ones of the same type until an entity is wrong.

Lin, Gao, Yan, Moreno and Ren 2021, "RockNER: a simple method to create adversarial examples for evaluating the
robustness of named entity recognition models", arXiv 2109.05620: its attack on the entity level, which replaces names
by other names of the same class that the training data lack. The context stays; the names may have other lengths, and
the gold tags go along.

Deviations: the names come from the training sentences of the task and from WordNet's instances (persons and places,
which training need not hold) instead of Wikidata, whose finer classes cannot be had offline, so a river may stand for a
city where the data set tags both as a place; "rarer" is by count in the training sentences (`attacks.gazetteer`);
RockNER draws blindly, here the victim's answers choose: entity by entity from the left, MAX_CANDIDATES names are tried
and the one that costs the victim most is kept where it costs anything.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from textattack import Attack

    from attacks.gazetteer import Gazetteer, Name
    from attacks.lexicon import Lexicon
    from attacks.tagging_victim import TaggingVictim

VERSION = 1
TASKS = ("tagging",)
COMPONENTS = "offline"
ORIGINAL = ("Wikidata classes",)
ORIGINAL = ("Wikidata classes",)
KIND = "entities"
NEEDS = ("wordnet",)
REPLACES_WORDS = False  # a name may have more words than the one it replaces, or fewer

MAX_CANDIDATES = 30  # names tried for an entity, drawn from all that are rarer


def build(victim: TaggingVictim, lexicon: Lexicon, gazetteer: Gazetteer, goal: str) -> Attack:
    from textattack import Attack

    from attacks.goals import goal_function

    return Attack(goal_function(victim, goal), [], _swap(_names(lexicon, gazetteer)), _from_the_left())


def _names(lexicon: Lexicon, gazetteer: Gazetteer) -> Gazetteer:
    from attacks.gazetteer import with_wordnet
    from attacks.lexicon import LexiconMissing

    if "wordnet" not in lexicon.parts:
        raise LexiconMissing(f"{lexicon.folder} has no wordnet; build a full lexicon with: temper fetch")
    return with_wordnet(gazetteer, lexicon.folder / "nltk_data" / "corpora" / "wordnet")


def _swap(names: Gazetteer) -> Any:
    from textattack.transformations import Transformation

    from attacks.entities import spans

    class Swap(Transformation):
        """One candidate for each name drawn, for every entity whose first word may be modified."""

        def _get_transformations(self, current_text: Any, indices_to_modify: set[int]) -> list[Any]:
            made = []
            for kind, start, stop in spans(current_text.tags):
                if start in indices_to_modify:
                    pool: list[Name] = names.rarer(kind, current_text.words[start:stop])
                    drawn = random.sample(pool, min(MAX_CANDIDATES, len(pool)))  # the engine seeds it by the example
                    made += [current_text.with_entity((kind, start, stop), name) for name in drawn]
            return made

        @property
        def deterministic(self) -> bool:
            return False

    return Swap()


def _from_the_left() -> Any:
    from textattack.goal_function_results import GoalFunctionResultStatus
    from textattack.search_methods import SearchMethod

    from attacks.entities import spans

    class FromTheLeft(SearchMethod):
        is_black_box = True

        def perform_search(self, initial_result: Any) -> Any:
            best, start = initial_result, initial_result.attacked_text
            for number in range(len(spans(start.tags))):  # a swap keeps their number and order
                place = spans(best.attacked_text.tags)[number][1]
                options = self.get_transformations(best.attacked_text, original_text=start, indices_to_modify=[place])
                results, over = self.get_goal_results(options)
                best = max([best, *results], key=lambda result: result.score)
                if over or best.goal_status == GoalFunctionResultStatus.SUCCEEDED:
                    break
            return best

    return FromTheLeft()
