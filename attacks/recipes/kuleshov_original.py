"""Kuleshov with its authors' kind of components: swaps for near words that keep the mean vector and the likelihood.

Kuleshov, Thakoor, Lau and Ermon 2018, "Adversarial examples for natural language classification problems",
openreview.net/forum?id=r1QZ3zbAZ. Structure and search are those of `attacks.recipes.kuleshov`; over counter-fitted
Paragram vectors and GPT-2 (`attacks.originals`), which are TextAttack 0.3.11's components, and without a least cosine.

Deviations that stay, besides the goal and the distance (see `kuleshov`):
- the log probability is that of the whole text, as the paper has it, with GPT-2's own way of cutting it. TextAttack
  compares the first piece of the swapped word alone, cut as if it stood at the start of a text;
- vectors are scaled to unit length; the 15 nearest words are those by cosine over the whole file;
- stop words are also left alone when capitalised.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from attacks import originals
from attacks.originals import Replaced
from attacks.recipes import kuleshov

if TYPE_CHECKING:
    from textattack import Attack

    from attacks.lexicon import Lexicon
    from attacks.victim import Victim

VERSION = 1
TASKS = ("classification",)
COMPONENTS = "original"
ORIGINAL = ()
KIND = kuleshov.KIND
NEEDS = ("stopwords", "counter_fitted", "gpt2")
USES = ("kuleshov",)

MIN_COSINE = -1.0  # any


def build(victim: Victim, lexicon: Lexicon) -> Attack:
    from attacks.constraints import AsLikelyText

    theirs = Replaced(lexicon, vectors="counter_fitted")
    likely = functools.partial(AsLikelyText, originals.opened("gpt2"), kuleshov.MAX_FALL)
    return kuleshov.build(victim, theirs, MIN_COSINE, likely)  # type: ignore[arg-type]
