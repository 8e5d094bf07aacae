"""TextBugger with offline components: five kinds of bug in the words that matter most.

Li, Ji, Du, Li and Wang 2018, "TextBugger: generating adversarial text against real-world applications", arXiv
1812.05271, black-box form. Words are ranked by the fall of the gold label's probability when they are deleted; in that
order a word gets the best of: a space inside, a letter dropped, two letters swapped (first and last letter untouched),
a letter that looks alike, one of its 5 nearest words. The text must stay similar; no word twice, no stop word.

The structure is TextAttack 0.3.11's. Deviations, because data cannot be had offline (so NOT comparable with the
paper's results) or is missing:
- word vectors: GloVe-6B-50d counter-fitted to WordNet (`attacks.vectors`), as in our TextFooler;
- sentence encoder: all-MiniLM-L6-v2 instead of the Universal Sentence Encoder, with its own threshold (below);
- TextAttack's wheel lacks `shared/intentional_homoglyphs.txt`, so WordSwapHomoglyphSwap cannot be made. That file only
  serves another search; the table that this recipe uses is set before the file is opened, so the error is let pass.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from textattack import Attack

    from attacks.lexicon import Lexicon
    from attacks.victim import Victim

VERSION = 1
TASKS = ("classification",)
COMPONENTS = "offline"
ORIGINAL = ("counter-fitted Paragram vectors", "Universal Sentence Encoder")
KIND = "characters and words"
NEEDS = ("stopwords", "vectors", "encoder")

CANDIDATES = 5  # nearest words, as in the paper
# Angular similarity of whole texts, 1 - arccos(cosine) / pi; stock has 0.8 for the Universal Sentence Encoder. MiniLM
# reads typos as other words: on 150 film reviews 0.7 passes 97 % of the texts with one random bug, 77 % with three and
# 56 % with five; 0.8 would pass 79, 30 and 15 %.
MIN_SIMILARITY = 0.7


def build(victim: Victim, lexicon: Lexicon, min_similarity: float = MIN_SIMILARITY) -> Attack:
    from textattack import Attack
    from textattack.constraints.pre_transformation import RepeatModification, StopwordModification
    from textattack.goal_functions import UntargetedClassification
    from textattack.search_methods import GreedyWordSwapWIR
    from textattack.transformations import (
        CompositeTransformation,
        WordSwapEmbedding,
        WordSwapNeighboringCharacterSwap,
        WordSwapRandomCharacterDeletion,
        WordSwapRandomCharacterInsertion,
    )

    from attacks.constraints import SimilarSentence, word_embedding

    inner: dict[str, Any] = {"random_one": True, "skip_first_char": True, "skip_last_char": True}
    bugs = [
        WordSwapRandomCharacterInsertion(letters_to_insert=" ", **inner),
        WordSwapRandomCharacterDeletion(**inner),
        WordSwapNeighboringCharacterSwap(**inner),
        _homoglyphs(),
        WordSwapEmbedding(max_candidates=CANDIDATES, embedding=word_embedding(lexicon.vectors)),
    ]
    constraints = [
        RepeatModification(),
        StopwordModification(stopwords=lexicon.stopwords),
        SimilarSentence(lexicon.encoder, threshold=min_similarity, metric="angular"),
    ]
    goal = UntargetedClassification(victim, model_cache_size=2**14)
    return Attack(goal, constraints, CompositeTransformation(bugs), GreedyWordSwapWIR(wir_method="delete"))


def _homoglyphs() -> Any:
    from textattack.transformations import WordSwapHomoglyphSwap

    swap = WordSwapHomoglyphSwap.__new__(WordSwapHomoglyphSwap)
    with suppress(FileNotFoundError):
        swap.__init__()
    return swap
