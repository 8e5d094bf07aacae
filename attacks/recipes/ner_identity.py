"""Identity on a tagger: changes nothing. The control whose entity F1 under attack must equal the clean one.

No paper. One query per sentence, to see what the victim answers; see `identity`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attacks.recipes import identity

if TYPE_CHECKING:
    from textattack import Attack

    from attacks.gazetteer import Gazetteer
    from attacks.lexicon import Lexicon
    from attacks.tagging_victim import TaggingVictim

VERSION = 1
TASKS = ("tagging",)
COMPONENTS = "stock"
ORIGINAL = identity.ORIGINAL
ORIGINAL = ()
KIND = "control"
NEEDS = identity.NEEDS
USES = ("identity",)


def build(victim: TaggingVictim, lexicon: Lexicon, gazetteer: Gazetteer, goal: str) -> Attack:
    from attacks.tagged_text import in_context

    return in_context(identity.build(victim, lexicon), victim, goal)  # type: ignore[arg-type]
