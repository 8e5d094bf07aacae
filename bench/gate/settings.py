"""What `[tool.temperbench.gate]` of ./pyproject.toml asks of the gate, and the size that is assumed of a set."""

from __future__ import annotations

import tomllib
from pathlib import Path

from training.errors import UserError

SECTION = "[tool.temperbench.gate]"
ARMS, COMPARISONS = 7, 49  # what `temper plan` assumes: `quick`, seven arms with seven judged metrics each


def gate_thresholds(folder: Path | None = None) -> dict[str, float]:
    """Metric (`clean_accuracy`) or full name (`"aua_raw:textfooler"`) -> the smallest difference that matters.

    In the metric's unit (shares: 0.05 is 5 points), from pyproject.toml in `folder`, the working directory by default;
    empty where there is none. Raises UserError for a file that is no TOML and for what is no number >= 0.
    """
    path = (folder or Path()) / "pyproject.toml"
    if not path.is_file():
        return {}
    try:
        found = tomllib.loads(path.read_text(encoding="utf8")).get("tool", {}).get("temperbench", {}).get("gate", {})
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read '{path}' ({error}); mend it to compare.") from error
    if not isinstance(found, dict):
        raise UserError(f'{SECTION} must be a table of metrics and numbers, like "aua_raw:textfooler" = 0.05.')
    for name, value in found.items():
        if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value < float("inf"):
            raise UserError(f"{SECTION} {name} = {value!r}: a threshold is a number >= 0.")
    return {name: float(value) for name, value in found.items()}
