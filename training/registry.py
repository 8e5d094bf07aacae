"""The folder is the registry: a plug-in's file name is its name.

`training/mitigations/fgm.py` IS the mitigation `fgm`; the same holds for recipes, explainers and tasks. Packages
installed beside the suite add theirs through entry points of the groups in `GROUPS`. Finding names imports nothing.
"""

from __future__ import annotations

import dataclasses
import difflib
import importlib
import importlib.metadata
import math
import pkgutil
from collections.abc import Mapping
from types import ModuleType
from typing import Any

from training.errors import UserError

GROUPS = {
    "training.tasks": "temperbench.tasks",
    "training.mitigations": "temperbench.mitigations",
    "attacks.recipes": "temperbench.recipes",
    "explain.methods": "temperbench.explainers",
}


def names(package: str) -> list[str]:
    """All plug-in names of `package` (a key of `GROUPS`), sorted. Imports no plug-in."""
    folder = importlib.import_module(package)
    own = {info.name for info in pkgutil.iter_modules(folder.__path__) if not info.name.startswith("_")}
    foreign = {point.name for point in importlib.metadata.entry_points(group=GROUPS[package])}
    if clash := own & foreign:
        raise UserError(
            f"{', '.join(sorted(clash))}: an installed package offers a {_noun(package)} under a name that the suite "
            "already has; rename its entry point."
        )
    return sorted(own | foreign)


def load(package: str, name: str) -> ModuleType:
    """The plug-in module `name`. Raises UserError with the nearest known name when there is none."""
    known = names(package)
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
        hint = f" Did you mean '{near[0]}'?" if near else ""
        raise UserError(f"unknown {_noun(package)} '{name}'.{hint} Known: {', '.join(known)}.")
    for point in importlib.metadata.entry_points(group=GROUPS[package], name=name):
        return point.load()
    return importlib.import_module(f"{package}.{name}")


def configure(module: ModuleType, values: Mapping[str, Any]) -> Any:
    """`module.Config(**values)`; an unknown field or a refused value is a UserError that lists the fields."""
    plugin = module.__name__.rpartition(".")[2]
    if not hasattr(module, "Config"):
        if values:
            raise UserError(f"'{plugin}' has no settings, but {', '.join(values)} was given.")
        return None
    fields = {field.name: field for field in dataclasses.fields(module.Config)}
    for key in values:
        if key not in fields:
            raise UserError(f"'{plugin}' has no setting '{key}'. It has: {', '.join(fields)}.")
        if wrong := _unfit(fields[key].type, values[key]):
            raise UserError(f"'{plugin}': {key} is {values[key]!r}; it must be {wrong}.")
    try:
        return module.Config(**values)
    except (TypeError, ValueError) as error:
        raise UserError(f"'{plugin}': {error}") from error


def _unfit(declared: Any, value: Any) -> str | None:
    """What a value must be and is not; None where it fits, or its field is declared as something else than these."""
    kind = declared if isinstance(declared, str) else getattr(declared, "__name__", "")
    number = isinstance(value, int | float) and not isinstance(value, bool)
    fits = {
        "float": (number and math.isfinite(value), "a finite number"),
        "int": (number and isinstance(value, int), "a whole number"),
        "bool": (isinstance(value, bool), "true or false"),
        "str": (isinstance(value, str), "a word"),
    }
    right, wanted = fits.get(kind, (True, ""))
    return None if right else wanted


def _noun(package: str) -> str:
    return {
        "training.tasks": "task",
        "training.mitigations": "mitigation",
        "attacks.recipes": "recipe",
        "explain.methods": "explainer",
    }[package]
