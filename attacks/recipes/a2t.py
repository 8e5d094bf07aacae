"""A2T with offline components: few swaps for near synonyms, cheap enough to attack a model while it trains.

Yoo and Qi 2021, "Towards improving adversarial training of NLP models", arXiv 2109.00544. The structure is TextAttack
0.3.11's recipe: candidates are the 20 nearest words, of the same part of speech; the text must stay similar to the
original; at most 10 % of the words, or 4 where that is more; no word twice, no stop word, premises untouched. The
mitigation `a2t` trains against this recipe.

Deviations, so NOT comparable with the paper's results:
- words are ranked by the fall of the gold label's probability when they are deleted. The authors rank by the gradient
  at their embeddings, which a victim here does not give: one query a word more, and no access to the model;
- word vectors: GloVe-6B-50d counter-fitted to WordNet (`attacks.vectors`); the cosine is the authors' 0.8, but in
  another space (1.4 candidates for a frequent word);
- sentence encoder: all-MiniLM-L6-v2 instead of a DistilBERT trained on STS, with our TextFooler's threshold, which is a
  cosine of 0.905 where theirs is 0.9;
- parts of speech by Brill's rules (`attacks.pos`) instead of NLTK's perceptron, as Penn tags instead of universal ones;
- stop words (NLTK's, TextAttack's default) are also left alone when capitalised.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from attacks.recipes.textfooler_adjusted import _strict_part_of_speech

if TYPE_CHECKING:
    from textattack import Attack

    from attacks.lexicon import Lexicon
    from attacks.pos import Tagger
    from attacks.victim import Victim

VERSION = 1
TASKS = ("classification",)
COMPONENTS = "offline"
ORIGINAL = ("counter-fitted Paragram vectors", "DistilBERT sentence encoder", "NLTK perceptron tagger")
KIND = "words"
NEEDS = ("stopwords", "vectors", "pos", "encoder")

CANDIDATES = 20
MIN_COSINE = 0.8
MAX_SHARE, FEW = 0.1, 4
MIN_SIMILARITY = 0.86  # angular, of the whole text


def build(
    victim: Victim,
    lexicon: Lexicon,
    min_similarity: float = MIN_SIMILARITY,
    metric: str = "angular",
    part_of_speech: Callable[[Tagger], Any] = _strict_part_of_speech,
) -> Attack:
    from textattack import Attack
    from textattack.constraints.pre_transformation import (
        InputColumnModification,
        MaxModificationRate,
        RepeatModification,
        StopwordModification,
    )
    from textattack.constraints.semantics import WordEmbeddingDistance
    from textattack.goal_functions import UntargetedClassification
    from textattack.search_methods import GreedyWordSwapWIR
    from textattack.transformations import WordSwapEmbedding

    from attacks.constraints import SimilarSentence, word_embedding

    embedding = word_embedding(lexicon.vectors)
    constraints = [
        RepeatModification(),
        StopwordModification(stopwords=lexicon.stopwords | {word.capitalize() for word in lexicon.stopwords}),
        InputColumnModification(["premise", "hypothesis"], {"premise"}),
        MaxModificationRate(max_rate=MAX_SHARE, min_threshold=FEW),
        WordEmbeddingDistance(embedding=embedding, min_cos_sim=MIN_COSINE),
        part_of_speech(lexicon.tagger),
        SimilarSentence(lexicon.encoder, threshold=min_similarity, metric=metric),
    ]
    goal = UntargetedClassification(victim, model_cache_size=2**14)
    transformation = WordSwapEmbedding(max_candidates=CANDIDATES, embedding=embedding)
    return Attack(goal, constraints, transformation, GreedyWordSwapWIR(wir_method="delete"))
