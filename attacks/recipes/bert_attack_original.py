"""BERT-Attack with its authors' components: swap words for what BERT-base, seeing them, finds as likely.

Li, Ma, Guo, Xue and Qiu 2020, "BERT-ATTACK: adversarial attack against BERT using BERT", arXiv 2004.09984. Structure
and search are those of `attacks.recipes.bert_attack`, the 48 candidates and the exact best combinations of pieces among
them; over BERT-base's masked language model and the Universal Sentence Encoder (`attacks.originals`), with the
threshold of TextAttack 0.3.11.

Deviations that stay: a piece is replaced by one of its own kind, hyphens and apostrophes stay, a word behind the
model's window is read among the pieces around it, capitals are kept, stop words are also left alone when capitalised.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attacks.originals import Replaced
from attacks.recipes import bert_attack

if TYPE_CHECKING:
    from textattack import Attack

    from attacks.lexicon import Lexicon
    from attacks.victim import Victim

VERSION = 1
TASKS = ("classification",)
COMPONENTS = "original"
ORIGINAL = ()
KIND = bert_attack.KIND
NEEDS = ("stopwords", "bert_base", "use")
USES = ("bert_attack",)

MIN_SIMILARITY = 0.2  # cosine of whole texts


def build(victim: Victim, lexicon: Lexicon) -> Attack:
    theirs = Replaced(lexicon, masked_lm="bert_base", encoder="use")
    return bert_attack.build(victim, theirs, MIN_SIMILARITY)  # type: ignore[arg-type]
