"""PGD in embedding space: how far the model's geometry lets the prediction be moved, with no text behind it.

Madry et al. 2018, arXiv 1706.06083: the loss is raised by projected gradient steps inside a ball around the input,
d <- P(d + alpha * direction of dL/dd). Here the input are the embeddings of the text's pieces, special tokens stay, and
the ball is one per piece: an L2 norm of at most RADIUS times the mean norm of the vocabulary's embeddings, or with
NORM "linf" at most that over the root of the dimension in each number. The first start is the text itself, the second
is drawn on the ball's surface. It needs the victim's gradients (`attacks.white_box`); every pass counts as a query.

No text comes out. A "success" says that a point in the ball is classified otherwise: `perturbed` is the original text,
no word is changed, and the probabilities are those at that point, so a stored text cannot be scored again. It bounds
nothing that is done with words, whose embeddings mostly lie outside such a ball; it compares models with one radius.
Therefore RANKED is False: shown, in no worst case, not transferred, not explained.

Deviations: the paper's inputs are pixels and its ball L-infinity; the loss is the margin of the logits instead of the
cross-entropy, which stands still where a victim's softmax saturates; radius and steps are ours.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

from attacks.white_box import WhiteBox, required, spend

if TYPE_CHECKING:
    from textattack import Attack
    from torch import Tensor

    from attacks.lexicon import Lexicon
    from attacks.victim import Victim

VERSION = 2
TASKS = ("classification",)
COMPONENTS = "stock"
ORIGINAL = ()
KIND = "gradient"
NEEDS = ()
RANKED = False

NORM = "l2"
# Of the mean norm of the embeddings. At 0.05, 18 of 50 film reviews of a fine-tuned BERT-tiny hold, at 0.02 37, at 0.1
# one. Its one-piece words have their neighbours (cosine >= 0.7 of word vectors) at 0.45 or more, at 0.98 in the median.
RADIUS = 0.05
STEPS = 10
STEP_SIZE = 0.25  # of the radius: ten steps can cross the ball
STARTS = 2
TIMES = 4  # it attacks so many times the texts of the others: passes cost less than a search, and 50 texts tell little


def build(victim: Victim, lexicon: Lexicon) -> Attack:
    from textattack import Attack
    from textattack.goal_functions import UntargetedClassification
    from textattack.transformations import WordSwap

    white_box = required(victim, "embedding_pgd")

    class NoSwap(WordSwap):
        def _get_replacement_words(self, word: str) -> list[str]:  # noqa: ARG002 (TextAttack's signature)
            return []

    return Attack(UntargetedClassification(victim), [], NoSwap(), _climb(white_box, victim.temperature))


def project(shift: Tensor, radius: float, norm: str) -> Tensor:
    """Each row of (t, d) back into its ball of `radius`: "l2", or "linf" with radius / sqrt(d) for each number."""
    if norm == "linf":
        return shift.clamp(-radius / shift.shape[1] ** 0.5, radius / shift.shape[1] ** 0.5)
    return shift * (radius / shift.norm(dim=1, keepdim=True).clamp_min(1e-12)).clamp_max(1.0)


def ascend(shift: Tensor, gradient: Tensor, length: float, norm: str) -> Tensor:
    """Each row of (t, d) moved by `length` in the direction in which the loss rises fastest under the norm."""
    if norm == "linf":
        return shift + gradient.sign() * length / shift.shape[1] ** 0.5
    return shift + length * gradient / gradient.norm(dim=1, keepdim=True).clamp_min(1e-12)


def _climb(white_box: WhiteBox, temperature: float) -> Any:
    import torch
    from textattack.goal_function_results import ClassificationGoalFunctionResult, GoalFunctionResultStatus
    from textattack.search_methods import SearchMethod

    class Climb(SearchMethod):
        is_black_box = False

        def perform_search(self, initial_result: Any) -> Any:
            goal, text = self.goal_function, initial_result.attacked_text
            pieces = white_box.pieces(text.text)
            here, fixed = white_box.embed(pieces.ids), pieces.special[:, None]
            radius = RADIUS * white_box.mean_norm
            draw = torch.Generator().manual_seed(random.getrandbits(48))  # the engine seeds `random` by the example
            for start in range(STARTS):
                noise = torch.randn(here.shape, generator=draw) * radius * bool(start)
                fixed, shift = fixed.to(here.device), project(noise.to(here.device), radius, NORM)
                for _ in range(STEPS + 1):
                    if pieces.special.all() or not spend(goal):
                        return initial_result
                    shift = shift.masked_fill(fixed, 0.0)
                    found = white_box.gradient((here + shift)[None], goal.ground_truth_output)
                    probabilities = torch.softmax(found.logits[0] / temperature, dim=0).cpu()
                    if goal._is_goal_complete(probabilities, text):
                        status, score = GoalFunctionResultStatus.SUCCEEDED, goal._get_score(probabilities, text)
                        known = (goal.num_queries, goal.ground_truth_output)
                        shown = int(probabilities.argmax())
                        return ClassificationGoalFunctionResult(text, probabilities, shown, status, score, *known)
                    shift = project(ascend(shift, found.embeddings[0], STEP_SIZE * radius, NORM), radius, NORM)
            return initial_result

    return Climb()
