"""TextFooler-adjusted with offline components: TextFooler under constraints strict enough to keep the meaning.

Morris, Lifland, Lanchantin, Ji and Qi 2020, "Reevaluating adversarial examples in natural language", arXiv 2004.14174.
TextFooler (`attacks.recipes.textfooler`) with nearer words, the same part of speech (a noun may not become a verb), and
a sentence that stays much more similar to the ORIGINAL text. Few attacks succeed; those that do are worth reading
(5 of 40 short film reviews against a fine-tuned bert-tiny, where our TextFooler has 32).

Deviations, besides the data of our TextFooler (so NOT comparable with the paper's results):
- the paper's thresholds, cosine 0.9 of words and similarity 0.98 of sentences, belong to vectors and an encoder
  that cannot be had offline; ours are calibrated on what they let through (below);
- the paper also forbids new grammar errors (LanguageTool, a Java program). In its place a word must keep its Penn tag,
  so that no plural, tense or comparison changes; other errors pass;
- the order and the search are our TextFooler's; texts shorter than the window are compared too, as a
  whole, as in the authors' code; each step is compared with the original, there with the step before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from textattack import Attack

    from attacks.lexicon import Lexicon
    from attacks.pos import Tagger
    from attacks.victim import Victim

VERSION = 1
TASKS = ("classification",)
COMPONENTS = "offline"
ORIGINAL = ("counter-fitted Paragram vectors", "Universal Sentence Encoder", "NLTK perceptron tagger", "LanguageTool")
KIND = "words"
NEEDS = ("stopwords", "vectors", "pos", "encoder")

CANDIDATES = 50
# Of 300 frequent words, 0.8 leaves 1.4 candidates each, 44 % of them WordNet synonyms (0.7, our TextFooler: 5.5 each
# and 19 %; 0.9: 0.06 each).
MIN_COSINE = 0.8
WINDOW = 15  # words around the swap that are compared
# Angular similarity. With one word of such a window swapped, 0.93 passes 6 % of random words of the same part of
# speech, 28 % of WordNet synonyms, 46 % of neighbours above a cosine of 0.85 (0.86, our TextFooler: 49, 75, 89 %).
MIN_SIMILARITY = 0.93


def build(victim: Victim, lexicon: Lexicon) -> Attack:
    from textattack import Attack
    from textattack.constraints.pre_transformation import (
        InputColumnModification,
        RepeatModification,
        StopwordModification,
    )
    from textattack.constraints.semantics import WordEmbeddingDistance
    from textattack.goal_functions import UntargetedClassification
    from textattack.search_methods import GreedyWordSwapWIR
    from textattack.transformations import WordSwapEmbedding

    from attacks.constraints import SimilarSentence, word_embedding
    from attacks.stopwords import TEXTFOOLER

    embedding = word_embedding(lexicon.vectors)
    constraints = [
        RepeatModification(),
        StopwordModification(stopwords=TEXTFOOLER | {word.capitalize() for word in TEXTFOOLER}),
        InputColumnModification(["premise", "hypothesis"], {"premise"}),
        WordEmbeddingDistance(embedding=embedding, min_cos_sim=MIN_COSINE),
        _strict_part_of_speech(lexicon.tagger),
        SimilarSentence(lexicon.encoder, threshold=MIN_SIMILARITY, metric="angular", window_size=WINDOW),
    ]
    goal = UntargetedClassification(victim, model_cache_size=2**14)
    transformation = WordSwapEmbedding(max_candidates=CANDIDATES, embedding=embedding)
    return Attack(goal, constraints, transformation, GreedyWordSwapWIR(wir_method="delete"))


def _strict_part_of_speech(tagger: Tagger) -> Any:
    """Both words get the same Penn tag between the four words before and the three after, as in our TextFooler."""
    from attacks.constraints import SamePartOfSpeech

    class StrictPartOfSpeech(SamePartOfSpeech):
        def _check_constraint(self, transformed_text: Any, reference_text: Any) -> bool:
            return super()._check_constraint(transformed_text, reference_text) and all(
                self._tag(reference_text.words, place) == self._tag(transformed_text.words, place)
                for place in transformed_text.attack_attrs["newly_modified_indices"]
            )

        def _tag(self, words: list[str], place: int) -> str:
            start = max(place - 4, 0)
            return self.tagger.tag(words[start : place + 4])[place - start]

    return StrictPartOfSpeech(tagger)
