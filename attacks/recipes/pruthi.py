"""Pruthi: one typo, the worst of all typos that the text allows.

Pruthi, Dhingra and Lipton 2019, "Combating adversarial misspellings with robust word recognition", arXiv 1905.11268.
Every word of four letters or more may have two neighbouring letters swapped, a letter dropped, a letter added or a
letter replaced by its neighbour on a QWERTY keyboard, first and last letter untouched; stop words are left alone. All
single edits are tried and the one that costs the gold label most is taken.

This is TextAttack 0.3.11's recipe with its default of one edited word (the paper has one and two). Deviation:
the added letter is one random letter for each place (stock's; the paper tries all).
About 15 queries a word: with less budget than that the last words of the list of candidates, which is sorted by the
text they give, are not reached.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from textattack import Attack

    from attacks.lexicon import Lexicon
    from attacks.victim import Victim

VERSION = 1
TASKS = ("classification",)
COMPONENTS = "stock"
ORIGINAL = ()
KIND = "characters"
NEEDS = ("stopwords",)

EDITED_WORDS = 1
MIN_LETTERS = 4


def build(victim: Victim, lexicon: Lexicon) -> Attack:
    from textattack import Attack
    from textattack.constraints.overlap import MaxWordsPerturbed
    from textattack.constraints.pre_transformation import MinWordLength, RepeatModification, StopwordModification
    from textattack.goal_functions import UntargetedClassification
    from textattack.search_methods import GreedySearch
    from textattack.transformations import (
        CompositeTransformation,
        WordSwapNeighboringCharacterSwap,
        WordSwapQWERTY,
        WordSwapRandomCharacterDeletion,
        WordSwapRandomCharacterInsertion,
    )

    kinds = (
        WordSwapNeighboringCharacterSwap,
        WordSwapRandomCharacterDeletion,
        WordSwapRandomCharacterInsertion,
        WordSwapQWERTY,
    )
    typos = [kind(random_one=False, skip_first_char=True, skip_last_char=True) for kind in kinds]
    constraints = [
        MinWordLength(min_length=MIN_LETTERS),
        StopwordModification(stopwords=lexicon.stopwords),
        MaxWordsPerturbed(max_num_words=EDITED_WORDS),
        RepeatModification(),
    ]
    goal = UntargetedClassification(victim, model_cache_size=2**14)
    return Attack(goal, constraints, CompositeTransformation(typos), GreedySearch())
