"""TextFooler on a tagger: swap the context words that matter most for near synonyms until an entity is wrong.

Jin, Jin, Zhou and Szolovits 2020, "Is BERT really robust?", arXiv 1907.11932. Candidates, constraints and search are
those of our `textfooler`, with its offline components and their deviations; what it wants is one of the goals on entity
spans (`attacks.goals`).

Deviations from `textfooler`, for the tags to stay true:
- entity words are left alone, and so are words without a letter: only the context changes;
- the words are the tokens of the data set, so "U.S." is one word and a comma is none that is changed;
- words are ranked by how much the goal's score rises when they are deleted; the tags of the others stay with them.
A synonym is never a name: the vectors hold WordNet's lemmas in lower case only. It gets the case of the word it
replaces, so a capitalised context word stays capitalised.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attacks.recipes import textfooler

if TYPE_CHECKING:
    from textattack import Attack

    from attacks.gazetteer import Gazetteer
    from attacks.lexicon import Lexicon
    from attacks.tagging_victim import TaggingVictim

VERSION = 1
TASKS = ("tagging",)
COMPONENTS = "offline"
ORIGINAL = textfooler.ORIGINAL
ORIGINAL = textfooler.ORIGINAL
KIND = "words"
NEEDS = textfooler.NEEDS
USES = ("textfooler",)


def build(victim: TaggingVictim, lexicon: Lexicon, gazetteer: Gazetteer, goal: str) -> Attack:
    from attacks.tagged_text import in_context

    return in_context(textfooler.build(victim, lexicon), victim, goal)  # type: ignore[arg-type]
