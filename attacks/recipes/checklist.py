"""CheckList: other names, places and numbers, contractions made and undone; none of it should change a label.

Ribeiro, Wu, Guestrin and Singh 2020, "Beyond accuracy: behavioral testing of NLP models with CheckList", arXiv
2005.04118: its invariance tests as an attack. A first name or surname, a country, nationality or city may become one of
three others of its kind, drawn at random; a number may become one of three others; "isn't" and "is not" may become each
other. Greedy: the change that costs the gold label most is taken, no place twice.

The structure is TextAttack 0.3.11's recipe. Deviations:
- names and places are found in TextAttack's own tables (13,445 first names, 9,926 surnames, 215 countries and as many
  nationalities, 1,000 cities), from which it also draws the others; TextAttack finds them with a flair model that would
  have to be downloaded. A word is looked up only when it is capitalised. First names, surnames and cities that are also
  common words ("Grace", "Mobile": those that have a word vector) and whatever the tables lack are missed: fewer are
  found than by a model, and a listed word may be the name of something else;
- a surname becomes a surname also where it stands alone (TextAttack: a first name); "'s" is kept;
- digits of other scripts, on which TextAttack fails, and more than nine digits stay as they are.
Properties of TextAttack's parts that stay: the tables take no account of gender; the numbers 0, 2 and 4 stay as they
are, and the others become any number up to twice their own; contractions are made only before the first place that was
changed.

Few texts have any of this (one in four of the short film reviews), and on a BERT-tiny 6 of 40 fell. A low success rate
says little, a high one a lot.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from textattack import Attack

    from attacks.lexicon import Lexicon
    from attacks.victim import Victim

VERSION = 1
TASKS = ("classification",)
COMPONENTS = "offline"
ORIGINAL = ("flair named-entity tagger",)
KIND = "invariance"
NEEDS = ("stopwords", "vectors")

OTHERS = 3
LONGEST_PLACE = 4  # words
MAX_DIGITS = 9


def build(victim: Victim, lexicon: Lexicon) -> Attack:
    from textattack import Attack
    from textattack.constraints.pre_transformation import RepeatModification
    from textattack.goal_functions import UntargetedClassification
    from textattack.search_methods import GreedySearch
    from textattack.transformations import (
        CompositeTransformation,
        WordSwap,
        WordSwapChangeNumber,
        WordSwapContract,
        WordSwapExtend,
    )

    entities = _entities(lexicon)

    class Entities(WordSwap):
        def _get_transformations(self, current_text: Any, indices_to_modify: Any) -> list[Any]:
            made = []
            for places, others, tail in entities(current_text.words):
                if set(places) <= set(indices_to_modify):
                    for other in random.sample(others, OTHERS):  # the engine seeds it by the example
                        words = [other + tail, *[""] * (len(places) - 1)]
                        made.append(current_text.replace_words_at_indices(places, words))
            return made

    class Numbers(WordSwapChangeNumber):
        def _get_new_number(self, word: str) -> list[Any]:
            odd = word.isdigit() and not (word.isascii() and len(word) <= MAX_DIGITS)
            return [] if odd else super()._get_new_number(word)

    changes = CompositeTransformation([WordSwapExtend(), WordSwapContract(), Entities(), Numbers()])
    goal = UntargetedClassification(victim, model_cache_size=2**14)
    return Attack(goal, [RepeatModification()], changes, GreedySearch())


def _entities(lexicon: Lexicon) -> Callable[[list[str]], Iterator[tuple[list[int], list[str], str]]]:
    """words -> for each name or place found: where its words are, the others of its kind, and "'s" or nothing."""
    from textattack.shared.data import NAMED_ENTITIES, PERSON_NAMES

    common = lexicon.stopwords | lexicon.vectors.index.keys()
    listed: dict[str, list[str]] = {}
    for kind in ("country", "nationality"):
        listed |= dict.fromkeys(NAMED_ENTITIES[kind], NAMED_ENTITIES[kind])
    for table in (PERSON_NAMES["first"], PERSON_NAMES["last"], NAMED_ENTITIES["city"]):  # Allen is a city, too
        for name in table:
            if name.lower() not in common:
                listed.setdefault(name, table)

    def entities(words: list[str]) -> Iterator[tuple[list[int], list[str], str]]:
        i = 0
        while i < len(words):
            for length in range(min(LONGEST_PLACE, len(words) - i), 0, -1):
                text = " ".join(words[i : i + length])
                name = text.removesuffix("'s")
                if name[:1].isupper() and name in listed:
                    yield list(range(i, i + length)), listed[name], text[len(name) :]
                    i += length - 1
                    break
            i += 1

    return entities
