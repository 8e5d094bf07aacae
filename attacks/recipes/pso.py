"""PSO: synonyms of the same part of speech, combined by a swarm of texts that are drawn to the best ones found.

Zang, Qi, Yang, Liu, Zhang, Liu and Sun 2020, "Word-level textual adversarial attacking as combinatorial optimization",
ACL 2020.acl-main.540, arXiv 1910.12196. Each particle is a text; its words move towards those of its own best place and
of the swarm's with probabilities sigmoid(velocity), and now and then a word gets its best substitute. 60 particles, 20
rounds, no word twice, no stop word, premises untouched.

The structure and the sizes are TextAttack 0.3.11's. Deviations, so NOT comparable with the paper's results:
- the substitutes are WordNet's, NOT words with the same sememes: HowNet's bank cannot be had offline. They share one of
  the first three senses of the word's lemma as the part of speech it has in the text, inflected like the word by
  lemminflect where its dictionary knows the substitute ("loved" -> "enjoyed"). About 2 for a noun or an adjective and 1
  for a verb, where HowNet has many: a narrower attack than the original;
- parts of speech by Brill's rules (`attacks.pos`) instead of flair's tagger;
- stop words (NLTK's) are also left alone when capitalised;
- an empty text, or one whose budget the first look spends, is given back at once (TextAttack fails).
The suite's budget, not the number of rounds, ends most searches: one change of one particle asks for every candidate of
the whole text.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from textattack import Attack

    from attacks.lexicon import Lexicon
    from attacks.victim import Victim

VERSION = 1
TASKS = ("classification",)
COMPONENTS = "offline"
ORIGINAL = ("HowNet sememe bank", "flair part-of-speech tagger")
KIND = "genetic"
NEEDS = ("stopwords", "senses", "pos")

PARTICLES = 60
ROUNDS = 20
KINDS = {"NOUN": "n", "VERB": "v", "ADJ": "a", "ADV": "r"}


def build(victim: Victim, lexicon: Lexicon) -> Attack:
    from textattack import Attack
    from textattack.constraints.pre_transformation import (
        InputColumnModification,
        RepeatModification,
        StopwordModification,
    )
    from textattack.goal_functions import UntargetedClassification
    from textattack.search_methods import ParticleSwarmOptimization
    from textattack.transformations import WordSwap
    from textattack.transformations.word_swaps.word_swap_embedding import recover_word_case

    tagger, substitutes = lexicon.tagger, _substitutes(lexicon)

    class Senses(WordSwap):
        def _get_transformations(self, current_text: Any, indices_to_modify: Any) -> list[Any]:
            words, found = current_text.words, []
            tags = tagger.universal(tuple(words))
            for i in sorted(indices_to_modify):
                for word in substitutes(words[i].lower(), tags[i]):
                    found.append(current_text.replace_word_at_index(i, recover_word_case(word, words[i])))
            return found

    class Swarm(ParticleSwarmOptimization):
        def perform_search(self, initial_result: Any) -> Any:
            spent = self.goal_function.num_queries >= self.goal_function.query_budget
            empty = not initial_result.attacked_text.words
            return initial_result if spent or empty else super().perform_search(initial_result)

    constraints = [
        RepeatModification(),
        StopwordModification(stopwords=lexicon.stopwords | {word.capitalize() for word in lexicon.stopwords}),
        InputColumnModification(["premise", "hypothesis"], {"premise"}),
    ]
    goal = UntargetedClassification(victim, model_cache_size=2**14)
    return Attack(goal, constraints, Senses(), Swarm(pop_size=PARTICLES, max_iters=ROUNDS))


def _substitutes(lexicon: Lexicon) -> Callable[[str, str], tuple[str, ...]]:
    """(word in lower case, universal part of speech) -> its substitutes in the word's own form, alphabetical."""
    from lemminflect import getAllInflections, getAllLemmas, getInflection

    lexicon.senses("", "n")  # a lexicon without senses is refused here, not inside every example

    @cache
    def substitutes(word: str, tag: str) -> tuple[str, ...]:
        kind = KINDS.get(tag)
        if kind is None:
            return ()
        found = set(lexicon.senses(word, kind))
        for lemma in set(getAllLemmas(word, upos=tag).get(tag, ())) - {word}:
            forms = [form for form, words in getAllInflections(lemma, upos=tag).items() if word in words]
            for other in lexicon.senses(lemma, kind):
                for form in forms:
                    found.update(getInflection(other, form, inflect_oov=False)[:1])  # of spellings the first
        return tuple(sorted(found - {word}))

    return substitutes
