"""TextFooler on a tagger with its authors' components: near synonyms in the context until an entity is wrong.

Jin, Jin, Zhou and Szolovits 2020, "Is BERT really robust?", arXiv 1907.11932. Candidates, constraints and search are
those of our `textfooler_original`, components and thresholds; what it wants and what it leaves alone are those of
`ner_textfooler`. The vectors hold names too, in lower case: a synonym can be one ("england" for "britain").
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attacks.recipes import textfooler_original

if TYPE_CHECKING:
    from textattack import Attack

    from attacks.gazetteer import Gazetteer
    from attacks.lexicon import Lexicon
    from attacks.tagging_victim import TaggingVictim

VERSION = 1
TASKS = ("tagging",)
COMPONENTS = "original"
ORIGINAL = ()
KIND = "words"
NEEDS = textfooler_original.NEEDS
USES = ("textfooler", "textfooler_original")


def build(victim: TaggingVictim, lexicon: Lexicon, gazetteer: Gazetteer, goal: str) -> Attack:
    from attacks.tagged_text import in_context

    return in_context(textfooler_original.build(victim, lexicon), victim, goal)  # type: ignore[arg-type]
