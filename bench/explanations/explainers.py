"""Opens explainers by name; one that is absent on purpose says why."""

from __future__ import annotations

from types import ModuleType

from explain.methods import _absent
from training import registry
from training.errors import UserError

PACKAGE = "explain.methods"


def load(name: str) -> ModuleType:
    """The module of explainer `name`. Raises UserError: the reason for an absent one, the known ones otherwise."""
    if name not in registry.names(PACKAGE) and (reason := _absent.why(name)):
        raise UserError(f"'{name}' is left out on purpose: {reason}")
    return registry.load(PACKAGE, name)
