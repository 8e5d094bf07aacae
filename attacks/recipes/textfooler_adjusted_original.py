"""TextFooler-adjusted with its authors' components: TextFooler under constraints strict enough to keep the meaning.

Morris, Lifland, Lanchantin, Ji and Qi 2020, "Reevaluating adversarial examples in natural language", arXiv 2004.14174.
Order and search are those of `attacks.recipes.textfooler`; over counter-fitted Paragram vectors, the Universal Sentence
Encoder, NLTK's perceptron and LanguageTool (`attacks.originals`), with the paper's thresholds and the windows of the
authors' code, which compare each step with the one before; LanguageTool may find no more errors than in the original.

Deviations:
- the authors' code has no rule of parts of speech; here a word keeps its universal one, as our adjusted recipe asks;
- its stop words are NLTK's, ours TextFooler's, and also left alone when capitalised;
- the encoder is the one that the paper's threshold was found for; the code takes another one where none is named;
- the 50 nearest words by cosine over the whole file; TextAttack brings a table of neighbours.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attacks import originals
from attacks.recipes import textfooler

if TYPE_CHECKING:
    from textattack import Attack

    from attacks.lexicon import Lexicon
    from attacks.victim import Victim

VERSION = 1
TASKS = ("classification",)
COMPONENTS = "original"
ORIGINAL = ()
KIND = "words"
NEEDS = ("stopwords", "counter_fitted", "perceptron", "use", "language_tool")
USES = ("textfooler",)

MIN_COSINE = 0.9
MIN_SIMILARITY = 0.98  # cosine


def build(victim: Victim, lexicon: Lexicon) -> Attack:
    from attacks.constraints import NoNewErrors, SamePartOfSpeech, SimilarSentence

    theirs = originals.Replaced(lexicon, vectors="counter_fitted", tagger="perceptron", encoder="use")
    attack = textfooler.build(victim, theirs, MIN_COSINE)  # type: ignore[arg-type]
    kept = [
        constraint
        for constraint in [*attack.constraints, *attack.pre_transformation_constraints]
        if not isinstance(constraint, SamePartOfSpeech | SimilarSentence)
    ]
    near = SimilarSentence(
        theirs.encoder,
        threshold=MIN_SIMILARITY,
        metric="cosine",
        compare_against_original=False,
        window_size=textfooler.WINDOW,
    )
    strict = [SamePartOfSpeech(theirs.tagger, swaps=False), near, NoNewErrors(originals.opened("language_tool"))]
    return type(attack)(attack.goal_function, [*kept, *strict], attack.transformation, attack.search_method)
