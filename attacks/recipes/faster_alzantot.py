"""Faster Alzantot: the genetic algorithm of `alzantot` over swaps that are allowed or not once and for all.

Jia, Raghunathan, Goeksel and Liang 2019, "Certified robustness to adversarial word substitutions", arXiv 1909.00986
(section 5 and appendix A.3). A word may become one of its 8 nearest words if, in the ORIGINAL text, that lowers the
log probability by less than MAX_FALL nats; so the set of reachable texts does not depend on the path. Population 60, 40
generations, at most a fifth of the words, no word twice, no stop word.

The structure and the sizes are TextAttack 0.3.11's. Deviations, so NOT comparable with the paper's results:
- word vectors: GloVe-6B-50d counter-fitted to WordNet (`attacks.vectors`); their squared distance of at most 0.5 is, on
  our unit vectors, a cosine of at least 0.75;
- language model: our trigrams of 7,000 review sentences (`attacks.ngrams`) instead of an LSTM over a window of 6 words
  on each side. A trigram's window is two words on each side; within it the whole probability is compared, as in the
  paper (TextAttack compares the swapped word's alone). MAX_FALL is the paper's number: of the near words 69 % pass, of
  WordNet synonyms 72 %, of random words 61 %. Values from 1 to 6 told synonyms from random words no better;
- function words and negations have no vector: they are neither replaced nor proposed; stop words (NLTK's) are also left
  alone when capitalised.
TextAttack's search draws parents with exp(-score / 0.3), which prefers those that harm the victim LESS; left as it is.
The suite's budget, not the number of generations, ends most searches.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from textattack import Attack

    from attacks.lexicon import Lexicon
    from attacks.victim import Victim

VERSION = 1
TASKS = ("classification",)
COMPONENTS = "offline"
ORIGINAL = ("counter-fitted Paragram vectors", "learning-to-write language model")
KIND = "genetic"
NEEDS = ("stopwords", "vectors", "ngrams")

CANDIDATES = 8
MAX_SQUARED_DISTANCE = 0.5
MAX_FALL = 5.0
MAX_SHARE = 0.2
POPULATION = 60
GENERATIONS = 40


def build(victim: Victim, lexicon: Lexicon) -> Attack:
    from textattack import Attack
    from textattack.constraints.overlap import MaxWordsPerturbed
    from textattack.constraints.pre_transformation import RepeatModification, StopwordModification
    from textattack.constraints.semantics import WordEmbeddingDistance
    from textattack.goal_functions import UntargetedClassification
    from textattack.search_methods import AlzantotGeneticAlgorithm
    from textattack.transformations import WordSwapEmbedding

    from attacks.constraints import AsLikely, word_embedding

    embedding = word_embedding(lexicon.vectors)
    constraints = [
        RepeatModification(),
        StopwordModification(stopwords=lexicon.stopwords | {word.capitalize() for word in lexicon.stopwords}),
        MaxWordsPerturbed(max_percent=MAX_SHARE),
        WordEmbeddingDistance(embedding=embedding, max_mse_dist=MAX_SQUARED_DISTANCE),
        AsLikely(lexicon.ngrams, MAX_FALL),
    ]
    goal = UntargetedClassification(victim, model_cache_size=2**14)
    transformation = WordSwapEmbedding(max_candidates=CANDIDATES, embedding=embedding)
    search = AlzantotGeneticAlgorithm(pop_size=POPULATION, max_iters=GENERATIONS, post_crossover_check=False)
    return Attack(goal, constraints, transformation, search)
