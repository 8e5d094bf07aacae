"""DeepWordBug on a tagger: misspell the context words that matter most until an entity is wrong.

Gao, Lanchantin, Soffa and Qi 2018, "Black-box generation of adversarial text sequences to evade deep learning
classifiers", arXiv 1801.04354. The search, the four kinds of typo and the limit of 30 edited characters are those of
our `deepwordbug` (TextAttack's recipe); what it wants is one of the goals on entity spans (`attacks.goals`).

Deviations from `deepwordbug`, for the tags to stay true:
- entity words are left alone, and so are words without a letter: only the context is misspelt;
- the words are the tokens of the data set, so "U.S." is one word and a comma is none that is changed;
- words are ranked by how much the goal's score rises when they are replaced by [UNK].
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attacks.recipes import deepwordbug

if TYPE_CHECKING:
    from textattack import Attack

    from attacks.gazetteer import Gazetteer
    from attacks.lexicon import Lexicon
    from attacks.tagging_victim import TaggingVictim

VERSION = 1
TASKS = ("tagging",)
COMPONENTS = "stock"
ORIGINAL = deepwordbug.ORIGINAL
ORIGINAL = ()
KIND = "characters"
NEEDS = deepwordbug.NEEDS
USES = ("deepwordbug",)


def build(victim: TaggingVictim, lexicon: Lexicon, gazetteer: Gazetteer, goal: str) -> Attack:
    from attacks.tagged_text import in_context

    return in_context(deepwordbug.build(victim, lexicon), victim, goal)  # type: ignore[arg-type]
