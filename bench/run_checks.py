"""What must hold before anything starts; imports nothing heavy."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from training.errors import UserError

HOUSE = Path(__file__).resolve().parent.parent


def check_not_shadowed() -> None:
    """Raises UserError when another distribution's `attacks`, `explain`, `training` or `bench` would be imported."""
    for name in ("attacks", "explain", "training", "bench"):
        spec = importlib.util.find_spec(name)
        places = list(spec.submodule_search_locations or []) if spec else []
        if not places or Path(places[0]).resolve() != HOUSE / name:
            raise UserError(
                f"another installed package provides '{name}' and hides TemperBench's; use an environment of its own "
                "(`make setup` makes one in .venv)."
            )
