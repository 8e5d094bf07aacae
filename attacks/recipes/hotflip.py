"""HotFlip with offline components: swap the words whose gradients promise the largest rise of the loss.

Ebrahimi, Rao, Lowd and Dou 2018, "HotFlip: white-box adversarial examples for text classification", arXiv 1712.06751,
the word-level attack as TextAttack 0.3.11 has it: the loss rises by about (e_new - e_old) . dL/de_old when a word is
swapped (their equation 1); a beam of 10 texts takes one more swap a step; the new word is near the old one by the
cosine of word vectors, has its part of speech, and no stop word and no word twice is touched. It needs the victim's
gradients (`attacks.white_box`). Each gradient counts as one query, like each text that is asked.

Deviations, so NOT comparable with the paper's results:
- their victims read words, ours pieces: only words that are one piece are proposed, and a word of several pieces is
  valued by the gradient at its first (that the others vanish is not seen by the estimate);
- the estimate chooses the 10 swaps that are tried, and the victim's answer to them makes the next beam;
- the loss is the margin of the logits, for two classes a positive multiple of their cross-entropy's gradient;
- word vectors: GloVe-6B-50d counter-fitted to WordNet (`attacks.vectors`), of the 50 nearest words those with the
  authors' cosine of 0.8, but in another space (1.4 of them for a frequent word);
- parts of speech by Brill's rules (`attacks.pos`) instead of NLTK's perceptron, as Penn tags instead of universal ones;
- stop words are also left alone when capitalised.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attacks.white_box import WhiteBox, required, spend

if TYPE_CHECKING:
    from textattack import Attack

    from attacks.lexicon import Lexicon
    from attacks.victim import Victim

VERSION = 1
TASKS = ("classification",)
COMPONENTS = "offline"
ORIGINAL = ("word-level LSTM victim", "counter-fitted Paragram vectors", "NLTK perceptron tagger")
KIND = "gradient"
NEEDS = ("stopwords", "vectors", "pos")
USES = ("textfooler_adjusted",)
BEAM = 10
MIN_COSINE = 0.8
MAX_WORDS = 2  # the authors' examples have one or two flips


def build(victim: Victim, lexicon: Lexicon) -> Attack:
    from textattack import Attack
    from textattack.constraints.overlap import MaxWordsPerturbed
    from textattack.constraints.pre_transformation import (
        InputColumnModification,
        RepeatModification,
        StopwordModification,
    )
    from textattack.goal_functions import UntargetedClassification
    from textattack.transformations import WordSwap
    from textattack.transformations.word_swaps.word_swap_embedding import recover_word_case

    from attacks.recipes.textfooler_adjusted import _strict_part_of_speech

    white_box = required(victim, "hotflip")
    vectors, index = lexicon.vectors, lexicon.vectors.index

    class OnePieceNeighbours(WordSwap):
        def _get_replacement_words(self, word: str) -> list[str]:
            row = index.get(word.lower())
            if row is None:
                return []
            # the cosine stands here and not in a constraint, which would see fifty texts for each word
            near = [i for i in vectors.neighbours[row, 1:] if i != row]
            close = [i for i in near if vectors.matrix[row] @ vectors.matrix[i] >= MIN_COSINE]
            found = [recover_word_case(vectors.words[i], word) for i in close]
            return [new for new in found if white_box.one_piece(new) is not None]

    constraints = [
        RepeatModification(),
        StopwordModification(stopwords=lexicon.stopwords | {word.capitalize() for word in lexicon.stopwords}),
        InputColumnModification(["premise", "hypothesis"], {"premise"}),
        MaxWordsPerturbed(max_num_words=MAX_WORDS),
        _strict_part_of_speech(lexicon.tagger),
    ]
    goal = UntargetedClassification(victim, model_cache_size=2**14)
    return Attack(goal, constraints, OnePieceNeighbours(), _beam_of_flips(white_box))


def _beam_of_flips(white_box: WhiteBox) -> Any:
    from textattack.goal_function_results import GoalFunctionResultStatus
    from textattack.search_methods import SearchMethod

    class BeamOfFlips(SearchMethod):
        is_black_box = False

        def perform_search(self, initial_result: Any) -> Any:
            best, beam, start = initial_result, [initial_result.attacked_text], initial_result.attacked_text
            while best.goal_status != GoalFunctionResultStatus.SUCCEEDED:
                flips: dict[str, tuple[float, Any]] = {}
                for text in beam:
                    options = self.get_transformations(text, original_text=start)
                    # options that leave nothing to ask for with them are not worth a gradient
                    if options and spend(self.goal_function):
                        for value, option in _valued(white_box, text, options, self.goal_function.ground_truth_output):
                            flips.setdefault(option.text, (value, option))
                chosen = sorted(flips.values(), key=lambda flip: (-flip[0], flip[1].text))[:BEAM]
                results = self.get_goal_results([option for _, option in chosen])[0] if chosen else []
                if not results:  # no swap is left, or the budget is spent
                    break
                best = max(results, key=lambda result: float(result.score))
                beam = [result.attacked_text for result in results]
            return best

    return BeamOfFlips()


def _valued(white_box: WhiteBox, text: Any, options: list[Any], label: int) -> list[tuple[float, Any]]:
    """(estimated loss, option) for each one-word change of `text` that the model sees."""
    starts, position = [], 0
    for word in text.words:
        starts.append(text.text.index(word, position))
        position = starts[-1] + len(word)
    places = [next(iter(option.attack_attrs["newly_modified_indices"])) for option in options]
    swaps = [(starts[place], option.words[place]) for place, option in zip(places, options, strict=True)]
    values = white_box.swap_losses(text.text, swaps, label)
    return [(value, option) for value, option in zip(values, options, strict=True) if value is not None]
