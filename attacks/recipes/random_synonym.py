"""Random synonyms: the weak control that an attack must beat. WordNet synonyms at random places, blind to the victim.

No paper. The words are walked in random order; each gets one random WordNet synonym that stays, whether it helped or
not, until the prediction has changed or MAX_SHARE of the words are swapped. The victim's probabilities steer nothing,
so what falls here falls to a mere change of wording. At most one query a word. Stop words are left
alone, capitalised or not.

Synonyms are those of any sense of exactly this form (`lexicon.synonyms`): "films" has none unless WordNet lists
"films", and words of another part of speech occur. Upper case and capitals are kept.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from textattack import Attack

    from attacks.lexicon import Lexicon
    from attacks.victim import Victim

VERSION = 1
TASKS = ("classification",)
COMPONENTS = "offline"
ORIGINAL = ()
KIND = "control"
NEEDS = ("stopwords", "synonyms")

MAX_SHARE = 0.25  # of the words, rounded up; successes of our TextFooler changed 17 % of short reviews' words


def build(victim: Victim, lexicon: Lexicon) -> Attack:
    from textattack import Attack
    from textattack.constraints.overlap import MaxWordsPerturbed
    from textattack.constraints.pre_transformation import RepeatModification, StopwordModification
    from textattack.goal_functions import UntargetedClassification
    from textattack.transformations import WordSwap
    from textattack.transformations.word_swaps.word_swap_embedding import recover_word_case

    lexicon.synonyms("")  # a lexicon without synonyms is refused here, not inside every example

    class Synonyms(WordSwap):
        def _get_replacement_words(self, word: str) -> list[str]:
            return [recover_word_case(synonym, word) for synonym in lexicon.synonyms(word)]

    stopwords = lexicon.stopwords | {word.capitalize() for word in lexicon.stopwords}
    constraints = [
        RepeatModification(),
        StopwordModification(stopwords=stopwords),
        MaxWordsPerturbed(max_percent=MAX_SHARE),
    ]
    return Attack(UntargetedClassification(victim, model_cache_size=2**14), constraints, Synonyms(), _blind_walk())


def _blind_walk() -> Any:
    import random

    from textattack.goal_function_results import GoalFunctionResultStatus
    from textattack.search_methods import SearchMethod

    class BlindWalk(SearchMethod):
        is_black_box = True

        def perform_search(self, initial_result: Any) -> Any:
            current, start = initial_result, initial_result.attacked_text
            places = sorted(self.get_indices_to_order(start)[1])
            random.shuffle(places)  # the engine seeds it by the example
            for place in places:
                options = self.get_transformations(
                    current.attacked_text, original_text=start, indices_to_modify=[place]
                )
                if not options:
                    continue
                results, over = self.get_goal_results([random.choice(options)])
                current = results[0] if results else current  # none is left when the budget is spent
                if over or current.goal_status == GoalFunctionResultStatus.SUCCEEDED:
                    break
            return current

    return BlindWalk()
