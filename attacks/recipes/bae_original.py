"""BAE with its authors' components: swap the words that matter most for what BERT-base puts in their gap.

Garg and Ramakrishnan 2020, "BAE: BERT-based adversarial examples for text classification", arXiv 2004.01970, in its
form BAE-R. Structure and search are those of `attacks.recipes.bae`; over BERT-base's masked language model, the
Universal Sentence Encoder and NLTK's perceptron (`attacks.originals`), with the threshold of TextAttack 0.3.11.

Deviations that stay: whole words of letters only, a gap behind the model's window is filled from the pieces around it,
capitals are kept, stop words are also left alone when capitalised.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attacks.originals import Replaced
from attacks.recipes import bae

if TYPE_CHECKING:
    from textattack import Attack

    from attacks.lexicon import Lexicon
    from attacks.victim import Victim

VERSION = 1
TASKS = ("classification",)
COMPONENTS = "original"
ORIGINAL = ()
KIND = bae.KIND
NEEDS = ("stopwords", "bert_base", "perceptron", "use")
USES = ("bae",)

MIN_SIMILARITY = 0.936338023  # cosine


def build(victim: Victim, lexicon: Lexicon) -> Attack:
    theirs = Replaced(lexicon, masked_lm="bert_base", tagger="perceptron", encoder="use")
    return bae.build(victim, theirs, MIN_SIMILARITY, "cosine")  # type: ignore[arg-type]
