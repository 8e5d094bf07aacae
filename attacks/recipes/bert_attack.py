"""BERT-Attack with offline components: swap words for what a masked language model, seeing them, finds as likely.

Li, Ma, Guo, Xue and Qiu 2020, "BERT-ATTACK: adversarial attack against BERT using BERT", arXiv 2004.09984. The
structure is TextAttack 0.3.11's recipe: words ranked by the fall of the gold label's probability when they become
[UNK]; the model reads the text as it is, nothing masked, and its likeliest answers in a word's place are candidates; a
word of several pieces gets the combinations of pieces with the lowest perplexity; at most 40 % of the words change;
the whole text must stay somewhat similar to the original; no word twice, no stop word.

TextAttack's own recipe is broken: it calls `sorted()` on the combinations and throws the result away, so it takes the
first ones in the order of the first piece instead of the best; and since it makes all of them, 8 to the power of the
number of pieces, it went down from the authors' 48 candidates to 8. Ours finds exactly the best combinations without
making all, and keeps the 48.

Deviations, so results are NOT comparable with the paper's:
- masked language model: our BERT-tiny trained on film reviews (`attacks.masked_lm_training`) instead of BERT-base;
- a piece that begins a word is replaced by one that begins a word, one that goes on by one that goes on, hyphens and
  apostrophes stay; a word of one piece becomes a whole word of letters. Stock mixes them. Words put together from
  pieces are often no words, here as there;
- sentence encoder: all-MiniLM-L6-v2 instead of the Universal Sentence Encoder, with its own threshold (below);
- a word behind the model's window is read among the pieces around it; TextAttack proposes nothing there;
- upper case and capitals are kept; stop words (NLTK's, TextAttack's default) are left alone when capitalised too.
Of 40 short film reviews on a fine-tuned bert-tiny it flips 39 (our TextFooler 32), often by an opposite: "lifeless"
-> "beautifully".
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
ORIGINAL = ("BERT-base masked language model", "Universal Sentence Encoder")
KIND = "masked language model"
NEEDS = ("stopwords", "encoder", "masked_lm")

CANDIDATES = 48
MAX_SHARE = 0.4
# Cosine of whole texts. Stock has 0.2 for the Universal Sentence Encoder, a value that 60 % of pairs of different film
# reviews reach in ours: 0.5 is what 1 % of them reach, and 72 % of reviews with 40 % of their words swapped for random
# candidates.
MIN_SIMILARITY = 0.5


def build(victim: Victim, lexicon: Lexicon, min_similarity: float = MIN_SIMILARITY) -> Attack:
    from textattack import Attack
    from textattack.constraints.overlap import MaxWordsPerturbed
    from textattack.constraints.pre_transformation import RepeatModification, StopwordModification
    from textattack.goal_functions import UntargetedClassification
    from textattack.search_methods import GreedyWordSwapWIR

    from attacks.constraints import SimilarSentence
    from attacks.infilling import Respell

    constraints = [
        RepeatModification(),
        StopwordModification(stopwords=lexicon.stopwords | {word.capitalize() for word in lexicon.stopwords}),
        MaxWordsPerturbed(max_percent=MAX_SHARE),
        SimilarSentence(lexicon.encoder, threshold=min_similarity, metric="cosine"),
    ]
    goal = UntargetedClassification(victim, model_cache_size=2**14)
    transformation = Respell(lexicon.masked_lm, CANDIDATES)
    return Attack(goal, constraints, transformation, GreedyWordSwapWIR(wir_method="unk"))
