"""TextAttack imports flair for its taggers. Our recipes use none, so TextAttack can be imported where flair cannot.

flair 0.15.1, the latest, asks for transformers below 5 and fails to import with 5. TextAttack 0.3.11 takes three names
from it when it is imported: the base class of a tokenizer, the sentences that flair tags, and the taggers. In flair's
place come classes of these names that refuse to be made or opened; nothing else of TextAttack differs.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

USED = {"flair.data": ("Tokenizer", "Sentence"), "flair.models": ("SequenceTagger",)}


@contextlib.contextmanager
def importable() -> Iterator[bool]:
    """Inside, `import flair` succeeds as far as TextAttack's own import needs it. Yields whether it is flair itself.

    Where it is not, nothing called flair is left in sys.modules afterwards, so a later import fails as it did before.
    """
    try:
        import flair.models  # noqa: F401
    except (ImportError, AttributeError) as error:
        _forget()
        sys.modules.update(_named(str(error)))
        try:
            yield False
        finally:
            _forget()
    else:
        yield True


def _forget() -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "flair"]:
        del sys.modules[name]


def _named(reason: str) -> dict[str, ModuleType]:
    made = {"flair": ModuleType("flair")}
    for module, classes in USED.items():
        made[module] = ModuleType(module)
        setattr(made["flair"], module.partition(".")[2], made[module])
        for name in classes:
            setattr(made[module], name, _refusing(f"{module}.{name}", reason))
    return made


def _refusing(name: str, reason: str) -> type:
    def refuse(*_: Any, **__: Any) -> None:
        raise ImportError(
            f"{name} is asked for, and flair cannot be imported with transformers "
            f"{importlib.metadata.version('transformers')}: {reason}. Use a recipe without flair's taggers, or install "
            "the versions in constraints.txt."
        )

    return type(name.rpartition(".")[2], (), {"__init__": refuse, "load": staticmethod(refuse)})
