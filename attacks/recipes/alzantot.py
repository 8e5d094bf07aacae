"""Alzantot: near synonyms that a language model finds likely, combined by a genetic algorithm.

Alzantot, Sharma, Elgohary, Ho, Srivastava and Chang 2018, "Generating natural language adversarial examples", arXiv
1804.07998. Each member of the first population has one word swapped; a child takes each word from either parent and
gets one more swap. A swap is the best of the 4 likeliest of a word's 8 nearest words. Population 60, 20 generations, at
most a fifth of the words, no word twice, no stop word, premises untouched.

The structure and the sizes are TextAttack 0.3.11's. Deviations, so NOT comparable with the paper's results:
- word vectors: GloVe-6B-50d counter-fitted to WordNet (`attacks.vectors`); their squared distance of at most 0.5 is, on
  our unit vectors, a cosine of at least 0.75, and leaves about 3 of a frequent word's candidates;
- language model: our trigrams of 7,000 review sentences (`attacks.ngrams`) instead of Google's one-billion-word model;
  it looks at the two words before and the two after, TextAttack's at the one before. As 4 of the candidates pass,
  whatever their probability, no threshold had to be chosen; where 4 or fewer are left, it refuses nothing;
- function words and negations have no vector: they are neither replaced nor proposed; stop words (NLTK's) are also left
  alone when capitalised.
Properties of TextAttack's search that stay: parents are drawn with exp(-score / 0.3), which prefers those that harm the
victim LESS (the paper prefers the others), and the best member passes to the next generation unchanged.
The suite's budget, not the number of generations, ends most searches: the first population alone asks for every
candidate of 60 words.
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
ORIGINAL = ("counter-fitted Paragram vectors", "Google one-billion-word language model")
KIND = "genetic"
NEEDS = ("stopwords", "vectors", "ngrams")

CANDIDATES = 8
LIKELIEST = 4
MAX_SQUARED_DISTANCE = 0.5
MAX_SHARE = 0.2
POPULATION = 60
GENERATIONS = 20


def build(victim: Victim, lexicon: Lexicon) -> Attack:
    from textattack import Attack
    from textattack.constraints.overlap import MaxWordsPerturbed
    from textattack.constraints.pre_transformation import (
        InputColumnModification,
        RepeatModification,
        StopwordModification,
    )
    from textattack.constraints.semantics import WordEmbeddingDistance
    from textattack.goal_functions import UntargetedClassification
    from textattack.search_methods import AlzantotGeneticAlgorithm
    from textattack.transformations import WordSwapEmbedding

    from attacks.constraints import Likeliest, word_embedding

    embedding = word_embedding(lexicon.vectors)
    constraints = [
        RepeatModification(),
        StopwordModification(stopwords=lexicon.stopwords | {word.capitalize() for word in lexicon.stopwords}),
        InputColumnModification(["premise", "hypothesis"], {"premise"}),
        MaxWordsPerturbed(max_percent=MAX_SHARE),
        WordEmbeddingDistance(embedding=embedding, max_mse_dist=MAX_SQUARED_DISTANCE, compare_against_original=False),
        Likeliest(lexicon.ngrams, LIKELIEST),
    ]
    goal = UntargetedClassification(victim, model_cache_size=2**14)
    transformation = WordSwapEmbedding(max_candidates=CANDIDATES, embedding=embedding)
    search = AlzantotGeneticAlgorithm(pop_size=POPULATION, max_iters=GENERATIONS, post_crossover_check=False)
    return Attack(goal, constraints, transformation, search)
