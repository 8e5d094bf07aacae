"""Input reduction: delete words, the least important first, for as long as the prediction stays. No robustness attack.

Feng, Wallace, Grissom, Iyyer, Rodriguez and Boyd-Graber 2018, "Pathologies of neural models make interpretations
difficult", arXiv 1804.07781. Its goal is the reverse of the other recipes': the victim is NOT fooled into another
class, it keeps the right one on a text that no longer says why.

What an outcome means here. "success": the text was reduced to one word and the victim still gives the gold label;
`perturbed` is that word (with what punctuation is left), `probabilities_after` how sure it is of it, `words_changed`
the number of words deleted. "failed": more words were needed, or the text had one word or none. Accuracy under attack
is then the share of all texts that are right and cannot be reduced to one word. Expect it near 0: on a BERT-tiny all
of 40 short film reviews fell, 34 of them with as much confidence as before or more, which is the paper's point. It says
nothing about an adversary, and one word can be reason enough ("boring"). Hence RANKED is False: this recipe counts in
no worst case, its texts are not scored on other victims, and they are not expected to fool anyone.

At each step every word is left out in turn; the deletion that leaves the gold label most probable stays. Deviations:
- stop words may be deleted, too, as in the paper; TextAttack's recipe keeps them, and few texts could reach one word;
- the goal is TextAttack's default of one word; its recipe sets "maximizable", by which no result is a success;
- one text is followed (the paper: a beam), but words are ranked anew at each step, as in the paper. TextAttack ranks
  them once and then, as every deletion moves the words behind it, deletes others than it ranked;
- a search ends where every deletion changes the prediction.
A text of n words takes about n * n / 2 queries: at 20 a word, texts of up to 39 words can be searched to the end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from textattack import Attack

    from attacks.lexicon import Lexicon
    from attacks.victim import Victim

VERSION = 1
TASKS = ("classification",)
COMPONENTS = "stock"
ORIGINAL = ()
KIND = "reduction"
NEEDS = ()
RANKED = False
REPLACES_WORDS = False  # it removes them

WORDS_LEFT = 1


def build(victim: Victim, lexicon: Lexicon) -> Attack:
    from textattack import Attack
    from textattack.goal_function_results import GoalFunctionResultStatus
    from textattack.goal_functions import InputReduction
    from textattack.search_methods import SearchMethod
    from textattack.transformations import WordDeletion

    class FewWords(InputReduction):
        def _is_goal_complete(self, model_output: Any, attacked_text: Any) -> bool:
            shorter = attacked_text.num_words < self.initial_attacked_text.num_words
            return shorter and super()._is_goal_complete(model_output, attacked_text)

        def _get_score(self, model_output: Any, attacked_text: Any) -> float:
            # TextAttack divides by the number of words
            return super()._get_score(model_output, attacked_text) if self.initial_attacked_text.num_words else 0.0

    class Reduction(SearchMethod):
        is_black_box = True

        def perform_search(self, initial_result: Any) -> Any:
            best, over = initial_result, False
            while not over and best.goal_status != GoalFunctionResultStatus.SUCCEEDED:
                shorter = self.get_transformations(best.attacked_text, original_text=initial_result.attacked_text)
                results, over = self.get_goal_results(shorter)
                chosen = max(results, key=lambda result: result.score, default=best)
                if chosen.score <= best.score:  # a text that lost the gold label scores 0, one less word is more
                    break
                best = chosen
            kept = best.attacked_text.attack_attrs
            # TextAttack forgets a place when its word is deleted
            kept["modified_indices"] = {i for i, now in enumerate(kept["original_index_map"]) if now == -1}
            return best

    goal = FewWords(victim, target_num_words=WORDS_LEFT, model_cache_size=2**14)
    return Attack(goal, [], WordDeletion(), Reduction())
