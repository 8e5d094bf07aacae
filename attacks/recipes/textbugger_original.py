"""TextBugger with its authors' components: five kinds of bug in the words that matter most.

Li, Ji, Du, Li and Wang 2018, "TextBugger: generating adversarial text against real-world applications", arXiv
1812.05271, black-box form. Structure and search are those of `attacks.recipes.textbugger`; over counter-fitted Paragram
vectors and the Universal Sentence Encoder (`attacks.originals`), with the threshold of TextAttack 0.3.11. The 5 nearest
words are those by cosine over the whole file; TextAttack brings a table of neighbours.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attacks.originals import Replaced
from attacks.recipes import textbugger

if TYPE_CHECKING:
    from textattack import Attack

    from attacks.lexicon import Lexicon
    from attacks.victim import Victim

VERSION = 1
TASKS = ("classification",)
COMPONENTS = "original"
ORIGINAL = ()
KIND = textbugger.KIND
NEEDS = ("stopwords", "counter_fitted", "use")
USES = ("textbugger",)

MIN_SIMILARITY = 0.8  # angular, of whole texts


def build(victim: Victim, lexicon: Lexicon) -> Attack:
    theirs = Replaced(lexicon, vectors="counter_fitted", encoder="use")
    return textbugger.build(victim, theirs, MIN_SIMILARITY)  # type: ignore[arg-type]
