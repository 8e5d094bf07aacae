"""TextFooler with its authors' components: swap the words that matter most for near synonyms until it is fooled.

Jin, Jin, Zhou and Szolovits 2020, "Is BERT really robust?", arXiv 1907.11932. Structure and search are those of
`attacks.recipes.textfooler`; over counter-fitted Paragram vectors, the Universal Sentence Encoder and NLTK's perceptron
(`attacks.originals`), with the thresholds of TextAttack 0.3.11.

Deviations that stay:
- the 50 nearest words by cosine over the whole file; TextAttack brings a table of neighbours;
- stop words are also left alone when capitalised.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attacks.originals import Replaced
from attacks.recipes import textfooler

if TYPE_CHECKING:
    from textattack import Attack

    from attacks.lexicon import Lexicon
    from attacks.victim import Victim

VERSION = 1
TASKS = ("classification",)
COMPONENTS = "original"
ORIGINAL = ()
KIND = textfooler.KIND
NEEDS = ("stopwords", "counter_fitted", "perceptron", "use")
USES = ("textfooler",)

MIN_COSINE = 0.5
MIN_SIMILARITY = 0.840845057  # angular, 1 - arccos(cosine) / pi


def build(victim: Victim, lexicon: Lexicon) -> Attack:
    theirs = Replaced(lexicon, vectors="counter_fitted", tagger="perceptron", encoder="use")
    return textfooler.build(victim, theirs, MIN_COSINE, MIN_SIMILARITY)  # type: ignore[arg-type]
