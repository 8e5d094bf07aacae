"""Identity: changes nothing. The control whose accuracy under attack must equal the clean accuracy.

No paper. One query per text, to see what the victim answers; no candidates, no constraints, no random choice. Whatever
this recipe reports beyond "failed" (was right) and "skipped" (was wrong) is a fault of the engine or of the victim.
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
KIND = "control"
NEEDS = ()


def build(victim: Victim, lexicon: Lexicon) -> Attack:
    from textattack import Attack
    from textattack.goal_functions import UntargetedClassification
    from textattack.search_methods import SearchMethod
    from textattack.transformations import WordSwap

    class NoSwap(WordSwap):
        def _get_replacement_words(self, word: str) -> list[str]:  # noqa: ARG002 (TextAttack's signature)
            return []

    class NoSearch(SearchMethod):
        is_black_box = True

        def perform_search(self, initial_result: Any) -> Any:
            return initial_result

    return Attack(UntargetedClassification(victim), [], NoSwap(), NoSearch())
