"""Constraint regimes: rules on top of a recipe's own, the same for every recipe, so that recipes can be compared.

default: the recipe's own rules. fixed: the recipe's candidates, but at most a quarter of the words changed, the text
similar in the sentence encoder at our TextFooler's threshold, and 50 queries a word. strict: what our
TextFooler-adjusted asks (near words, the same Penn tag, a very similar sentence) of every recipe that replaces words;
misspellings have no vector and no part of speech, so recipes of characters are held to the similar sentence alone, and
to near words where they replace one by a known one. A recipe that swaps the entities of tagged sentences puts a name in
place of a name: no encoder and no vector says whether it is as good a one, so `fixed` holds it to the share of words
(by edit distance, as names differ in length) and the budget, and `strict` has no rule for it.

A regime only ever forbids: whatever succeeds under it is an example its recipe might have made. It does not change the
order in which a recipe tries things, except that a search which prefers the most similar of several successes has a
similarity to go by. The thresholds are calibrated for our data (see the two recipes), so results are not comparable
with published ones of other encoders.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attacks.recipes import textfooler, textfooler_adjusted

if TYPE_CHECKING:
    from types import ModuleType

    from attacks.lexicon import Lexicon

VERSION = 1
NAMES = ("default", "fixed", "strict")
NEEDS: dict[str, tuple[str, ...]] = {"default": (), "fixed": ("encoder",), "strict": ("vectors", "pos", "encoder")}
SHARE = 0.25  # of the words, rounded up; inserting or removing a word changes all that follow it
BUDGET = 50  # queries a word, in the regime fixed


def budget_per_word(name: str, asked: int) -> int:
    """The budget a regime runs with: `fixed` has its own, the others take what is asked."""
    return BUDGET if check(name) == "fixed" else asked


def check(name: str) -> str:
    """The name itself. Raises ValueError for an unknown one."""
    if name not in NAMES:
        raise ValueError(f"the regime is {name!r}; allowed: {', '.join(NAMES)}")
    return name


def judges(name: str, recipe: ModuleType) -> bool:
    """Whether the regime has rules for a recipe, a module of attacks/recipes/; raises ValueError for an unknown regime.

    `strict` compares each word with the one it replaces, so it judges no recipe with REPLACES_WORDS = False, which
    inserts or removes some.
    """
    return check(name) != "strict" or bool(getattr(recipe, "REPLACES_WORDS", True))


def regime_constraints(name: str, lexicon: Lexicon, kind: str = "words") -> list[Any]:
    """TextAttack constraints to append to a recipe's own; `kind` is the recipe's KIND.

    Import TextAttack first (`attacks.lexicon.prepare_textattack`). Raises ValueError for an unknown regime,
    LexiconMissing when the lexicon lacks a part of NEEDS.
    """
    if check(name) == "default":
        return []
    from textattack.constraints.overlap import MaxWordsPerturbed
    from textattack.constraints.semantics import WordEmbeddingDistance

    from attacks.constraints import FewWords, SimilarSentence, word_embedding

    if name == "fixed" and kind == "entities":
        return [FewWords(SHARE)]
    if name == "fixed":
        similar = SimilarSentence(
            lexicon.encoder,
            threshold=textfooler.MIN_SIMILARITY,
            metric="angular",
            compare_against_original=True,
            window_size=textfooler.WINDOW,
            skip_text_shorter_than_window=True,
        )
        return [MaxWordsPerturbed(max_percent=SHARE), similar]
    embedding = word_embedding(lexicon.vectors)
    near = WordEmbeddingDistance(embedding=embedding, min_cos_sim=textfooler_adjusted.MIN_COSINE)
    alike = SimilarSentence(
        lexicon.encoder,
        threshold=textfooler_adjusted.MIN_SIMILARITY,
        metric="angular",
        window_size=textfooler_adjusted.WINDOW,
    )
    if "characters" in kind:
        return [near, alike]
    return [near, textfooler_adjusted._strict_part_of_speech(lexicon.tagger), alike]


def constrain(attack: Any, name: str, lexicon: Lexicon, kind: str) -> Any:
    """Appends the regime's constraints to a built TextAttack Attack and returns it.

    Raises ValueError when its transformation cannot be held to one: a word that is inserted has no word it stands for.
    """
    for constraint in regime_constraints(name, lexicon, kind):
        if not constraint.check_compatibility(attack.transformation):
            raise ValueError(
                f"the regime '{name}' cannot judge this recipe: {type(constraint).__name__} compares a word with the "
                f"one it replaces, and {type(attack.transformation).__name__} inserts or removes some; leave it out"
            )
        attack.constraints.append(constraint)
    return attack


def fingerprint(name: str) -> dict[str, str]:
    """What the regime adds to a recipe's fingerprint: nothing for the default, as it was before there were regimes."""
    return {} if check(name) == "default" else {"regime": f"{name} {VERSION}"}
