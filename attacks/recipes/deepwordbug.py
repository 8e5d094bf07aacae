"""DeepWordBug: misspell the words that matter most until the prediction changes.

Gao, Lanchantin, Soffa and Qi 2018, "Black-box generation of adversarial text sequences to evade deep learning
classifiers", arXiv 1801.04354. Every word is ranked by how much the gold label's probability falls when it is replaced
by [UNK]; in that order a word gets the best of a swap of two letters, a substitution, a deletion and an insertion.

This is TextAttack 0.3.11's recipe as it stands: its four transformations, at most 30 character edits per text, no word
twice, no stop word. The stop words come from the lexicon (NLTK's 179, TextAttack's default).
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

MAX_EDITS = 30  # epsilon in the paper's experiments


def build(victim: Victim, lexicon: Lexicon) -> Attack:
    from textattack import Attack
    from textattack.constraints.overlap import LevenshteinEditDistance
    from textattack.constraints.pre_transformation import RepeatModification, StopwordModification
    from textattack.goal_functions import UntargetedClassification
    from textattack.search_methods import GreedyWordSwapWIR
    from textattack.transformations import (
        CompositeTransformation,
        WordSwapNeighboringCharacterSwap,
        WordSwapRandomCharacterDeletion,
        WordSwapRandomCharacterInsertion,
        WordSwapRandomCharacterSubstitution,
    )

    transformation = CompositeTransformation(
        [
            WordSwapNeighboringCharacterSwap(),
            WordSwapRandomCharacterSubstitution(),
            WordSwapRandomCharacterDeletion(),
            WordSwapRandomCharacterInsertion(),
        ]
    )
    constraints = [
        RepeatModification(),
        StopwordModification(stopwords=lexicon.stopwords),
        LevenshteinEditDistance(MAX_EDITS),
    ]
    goal = UntargetedClassification(victim, model_cache_size=2**14)
    return Attack(goal, constraints, transformation, GreedyWordSwapWIR())
