"""IGA with offline components: near synonyms chosen by an improved genetic algorithm.

Wang, Jin and He 2019, "Natural language adversarial attacks and defenses in word level", arXiv 1909.06723 (version 1).
The first population is the text with each word replaced by its best near synonym;
children take the head of one parent and the tail of another and get one more best synonym at a random word, which may
be replaced up to 5 times. Population 60, 20 generations, at most a fifth of the words, no stop word.

The structure and the sizes are TextAttack 0.3.11's. Deviations, so NOT comparable with the paper's results:
- word vectors: GloVe-6B-50d counter-fitted to WordNet (`attacks.vectors`); their squared distance of at most 0.5 is, on
  our unit vectors, a cosine of at least 0.75: about 3 candidates for a frequent word of the 50 that are looked at;
- TextAttack reads the index 0 as "no index", so the first population has a random word where it should have the
  first one; left as it is.
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
ORIGINAL = ("counter-fitted Paragram vectors",)
KIND = "genetic"
NEEDS = ("stopwords", "vectors")

CANDIDATES = 50
MAX_SQUARED_DISTANCE = 0.5
MAX_SHARE = 0.2
POPULATION = 60
GENERATIONS = 20
REPLACEMENTS = 5


def build(victim: Victim, lexicon: Lexicon) -> Attack:
    from textattack import Attack
    from textattack.constraints.overlap import MaxWordsPerturbed
    from textattack.constraints.pre_transformation import StopwordModification
    from textattack.constraints.semantics import WordEmbeddingDistance
    from textattack.goal_functions import UntargetedClassification
    from textattack.search_methods import ImprovedGeneticAlgorithm
    from textattack.transformations import WordSwapEmbedding

    from attacks.constraints import word_embedding

    embedding = word_embedding(lexicon.vectors)
    constraints = [
        StopwordModification(stopwords=lexicon.stopwords),
        MaxWordsPerturbed(max_percent=MAX_SHARE),
        WordEmbeddingDistance(embedding=embedding, max_mse_dist=MAX_SQUARED_DISTANCE, compare_against_original=False),
    ]
    search = ImprovedGeneticAlgorithm(
        pop_size=POPULATION,
        max_iters=GENERATIONS,
        max_replace_times_per_index=REPLACEMENTS,
        post_crossover_check=False,
    )
    goal = UntargetedClassification(victim, model_cache_size=2**14)
    transformation = WordSwapEmbedding(max_candidates=CANDIDATES, embedding=embedding)
    return Attack(goal, constraints, transformation, search)
