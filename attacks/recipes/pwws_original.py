"""PWWS with its authors' component: NLTK's WordNet, the words with the greatest weighted saliency first.

Ren, Deng, He and Che 2019, "Generating natural language adversarial examples through probability weighted word
saliency", ACL P19-1103. Structure and search are those of `attacks.recipes.pwws`; the synonyms are those of TextAttack
0.3.11, single words that share a synset with the word or with its base form in NLTK's WordNet (`attacks.originals`), in
the form WordNet has them ("loved" -> "enjoy").

Deviations that stay: upper case and capitals are kept, stop words are left alone when capitalised too, candidates come
in alphabetical order.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attacks import originals
from attacks.recipes import pwws

if TYPE_CHECKING:
    from textattack import Attack

    from attacks.lexicon import Lexicon
    from attacks.victim import Victim

VERSION = 1
TASKS = ("classification",)
COMPONENTS = "original"
ORIGINAL = ()
KIND = pwws.KIND
NEEDS = ("stopwords", "nltk_wordnet")
USES = ("pwws",)


def build(victim: Victim, lexicon: Lexicon) -> Attack:
    return pwws.build(victim, lexicon, originals.opened("nltk_wordnet"))
