"""IGA with its authors' components: near synonyms chosen by an improved genetic algorithm.

Wang, Jin and He 2019, "Natural language adversarial attacks and defenses in word level", arXiv 1909.06723 (version 1).
Structure, sizes and search are those of `attacks.recipes.iga`; over counter-fitted Paragram vectors
(`attacks.originals`), scaled to unit length. The 50 nearest words are those by cosine over the whole file; TextAttack
brings a table of neighbours.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attacks.originals import Replaced
from attacks.recipes import iga

if TYPE_CHECKING:
    from textattack import Attack

    from attacks.lexicon import Lexicon
    from attacks.victim import Victim

VERSION = 1
TASKS = ("classification",)
COMPONENTS = "original"
ORIGINAL = ()
KIND = iga.KIND
NEEDS = ("stopwords", "counter_fitted")
USES = ("iga",)


def build(victim: Victim, lexicon: Lexicon) -> Attack:
    return iga.build(victim, Replaced(lexicon, vectors="counter_fitted"))  # type: ignore[arg-type]
