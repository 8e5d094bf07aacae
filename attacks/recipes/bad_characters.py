"""Bad characters: Unicode edits that a reader does not see, in the words that matter most.

Boucher, Shumailov, Anderson and Papernot 2021, "Bad characters: imperceptible NLP attacks", arXiv 2106.09898. A word
may get a letter that looks alike, a zero-width character, two letters written in the wrong order between direction
marks that show them in the right one, or a letter followed by a backspace. At most MAX_WORDS words are edited (the
paper's curves end at 5 edits).

Deviations: TextAttack's recipe evolves all edits of a text together (differential evolution, popsize 32); it is not
used because in 0.3.11 it cannot be made (`shared/intentional_homoglyphs.txt` is missing from the wheel), cannot leave a
text as it is (a place of -1 becomes 0), and fails when the query budget is spent. Its four transformations are, by the
greedy search of DeepWordBug: words ranked by their replacement by [UNK], each given its best edit. Look-alikes and
reorderings are tried at every place; a zero-width character and a letter with backspace at one random place each.
The goal is any wrong class.

Tokenizers that drop control characters (BERT's does) make zero-width characters harmless, and turn a reordering into
two swapped letters and a backspace into an inserted letter. What a screen shows depends on its software.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

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

MAX_WORDS = 5


def build(victim: Victim, lexicon: Lexicon) -> Attack:
    from textattack import Attack
    from textattack.constraints.pre_transformation import RepeatModification, StopwordModification
    from textattack.goal_functions import UntargetedClassification
    from textattack.search_methods import GreedyWordSwapWIR
    from textattack.transformations import (
        CompositeTransformation,
        WordSwapDeletions,
        WordSwapInvisibleCharacters,
        WordSwapReorderings,
    )

    edits = [
        _homoglyphs(),
        WordSwapReorderings(),
        WordSwapInvisibleCharacters(random_one=True),
        WordSwapDeletions(random_one=True),
    ]
    constraints = [RepeatModification(), StopwordModification(stopwords=lexicon.stopwords), _few_edits()]
    goal = UntargetedClassification(victim, model_cache_size=2**14)
    return Attack(goal, constraints, CompositeTransformation(edits), GreedyWordSwapWIR())


def _homoglyphs() -> Any:
    """TextAttack's table of look-alikes is set before its constructor misses the file, which nothing here reads."""
    from textattack.transformations import WordSwapHomoglyphSwap

    swap = WordSwapHomoglyphSwap.__new__(WordSwapHomoglyphSwap)
    with suppress(FileNotFoundError):
        swap.__init__()
    return swap


def _few_edits() -> Any:
    """No word may be edited once MAX_WORDS are. TextAttack's MaxWordsPerturbed compares words place by place, and a
    control character splits a word in two, after which every later word counts as changed."""
    from textattack.constraints import PreTransformationConstraint

    class FewEdits(PreTransformationConstraint):
        def _get_modifiable_indices(self, current_text: Any) -> set[int]:
            edits, text = 0, current_text
            while (previous := text.attack_attrs.get("previous_attacked_text")) is not None:
                edits, text = edits + 1, previous
            return set(range(len(current_text.words))) if edits < MAX_WORDS else set()

    return FewEdits()
