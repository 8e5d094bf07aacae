"""PWWS: WordNet synonyms, the words with the greatest weighted saliency first, until the prediction changes.

Ren, Deng, He and Che 2019, "Generating natural language adversarial examples through probability weighted word
saliency", ACL P19-1103. The structure is TextAttack 0.3.11's recipe: a word's place in the order is the softmax of its
saliency (the gold probability's fall when it becomes [UNK]) times the gold label's best loss by one of its synonyms;
then, in that order, each word gets its best synonym. No word twice, no stop word.

Deviations from TextAttack, which here would call the network (`nltk.download` in WordSwapWordNet) and swaps an
inflected word for base forms ("loved" -> "enjoy"):
- synonyms come from the lexicon: all senses of exactly this form, and those of its lemma, inflected alike ("loved" ->
  "enjoyed") by lemminflect where its dictionary knows the synonym as that part of speech;
- upper case and capitals are kept; stop words are left alone when capitalised too;
- candidates come in alphabetical order, not in that of a Python set.
Properties of TextAttack's recipe that stay, deviations from the paper among them:
- the named entities of the other classes are no candidates (they need the whole data set);
- the factor is the loss after the swap, 1 - P(x*), not its growth, P(x) - P(x*);
- a word's best synonym is chosen in the text as swapped so far, not in the original;
- synonyms of every part of speech are candidates, whatever the word's own here: some read badly (got -> baffled).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from textattack import Attack

    from attacks.lexicon import Lexicon
    from attacks.victim import Victim

VERSION = 1
TASKS = ("classification",)
COMPONENTS = "offline"
ORIGINAL = ("NLTK WordNet",)
KIND = "words"
NEEDS = ("stopwords", "synonyms")


def build(victim: Victim, lexicon: Lexicon, synonyms: Callable[[str], list[str]] | None = None) -> Attack:
    from textattack import Attack
    from textattack.constraints.pre_transformation import RepeatModification, StopwordModification
    from textattack.goal_functions import UntargetedClassification
    from textattack.search_methods import GreedyWordSwapWIR
    from textattack.transformations import WordSwap
    from textattack.transformations.word_swaps.word_swap_embedding import recover_word_case

    forms = synonyms or _inflected_synonyms(lexicon)

    class Synonyms(WordSwap):
        def _get_replacement_words(self, word: str) -> list[str]:
            return [recover_word_case(form, word) for form in forms(word.lower())]

    stopwords = lexicon.stopwords | {word.capitalize() for word in lexicon.stopwords}
    constraints = [RepeatModification(), StopwordModification(stopwords=stopwords)]
    goal = UntargetedClassification(victim, model_cache_size=2**14)
    return Attack(goal, constraints, Synonyms(), GreedyWordSwapWIR(wir_method="weighted-saliency"))


def _inflected_synonyms(lexicon: Lexicon) -> Callable[[str], list[str]]:
    """word in lower case -> its synonyms in the word's own form, alphabetical."""
    from lemminflect import getAllInflections, getAllLemmas, getInflection

    lexicon.synonyms("")  # a lexicon without synonyms is refused here, not inside every example

    @cache
    def synonyms(word: str) -> list[str]:
        found = set(lexicon.synonyms(word))
        for kind, lemmas in getAllLemmas(word).items():
            for lemma in set(lemmas) - {word}:
                tags = [tag for tag, forms in getAllInflections(lemma, upos=kind).items() if word in forms]
                for synonym in lexicon.synonyms(lemma):
                    for tag in tags:
                        found.update(getInflection(synonym, tag, inflect_oov=False)[:1])  # of spellings the first
        return sorted(found - {word})

    return synonyms
