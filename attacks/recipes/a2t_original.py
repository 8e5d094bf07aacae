"""A2T with its authors' components: few swaps for near synonyms, cheap enough to attack a model while it trains.

Yoo and Qi 2021, "Towards improving adversarial training of NLP models", arXiv 2109.00544. Structure and search are
those of `attacks.recipes.a2t`; over counter-fitted Paragram vectors, a DistilBERT trained on STS and NLTK's perceptron
(`attacks.originals`), with the thresholds of TextAttack 0.3.11 and its rule of parts of speech, the universal ones.

Deviations that stay:
- words are ranked by the fall of the gold label's probability when they are deleted, not by the gradient;
- the 20 nearest words by cosine over the whole file; TextAttack brings a table of neighbours;
- of a text the encoder reads the first 128 pieces;
- stop words are also left alone when capitalised.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from attacks.originals import Replaced
from attacks.recipes import a2t

if TYPE_CHECKING:
    from textattack import Attack

    from attacks.lexicon import Lexicon
    from attacks.victim import Victim

VERSION = 1
TASKS = ("classification",)
COMPONENTS = "original"
ORIGINAL = ()
KIND = a2t.KIND
NEEDS = ("stopwords", "counter_fitted", "perceptron", "stsb_distilbert")
USES = ("a2t", "textfooler_adjusted")

MIN_SIMILARITY = 0.9  # cosine of whole texts; that of words is in a2t


def build(victim: Victim, lexicon: Lexicon) -> Attack:
    from attacks.constraints import SamePartOfSpeech

    theirs = Replaced(lexicon, vectors="counter_fitted", tagger="perceptron", encoder="stsb_distilbert")
    part_of_speech = functools.partial(SamePartOfSpeech, swaps=False)
    return a2t.build(victim, theirs, MIN_SIMILARITY, "cosine", part_of_speech)  # type: ignore[arg-type]
