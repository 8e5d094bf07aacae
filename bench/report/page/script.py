"""Data as scripts: a page opened from disk may not fetch files, but it may load scripts."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from types import NoneType
from typing import Any


def write(folder: Path, name: str, value: Any) -> None:
    """Writes `<folder>/<name>.js`, which hands `value` (strict JSON) to the page under its name."""
    (folder / f"{name}.js").write_bytes(f"temper.data({encode(name)},{encode(value)});\n".encode("ascii"))


def encode(value: Any) -> str:
    """Strict JSON that stays text wherever a browser reads it: ASCII, and no `<` that could close or open a tag."""
    text = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c")


def shorts(column: Sequence[Any], digits: int = 4) -> Sequence[Any]:
    """`short` of every cell; what holds whole numbers alone is handed through."""
    return column if {*map(type, column)} <= {int, bool, NoneType} else [short(value, digits) for value in column]


def short(value: Any, digits: int = 4) -> float | int | None:
    """A number with so many significant digits, None for what is no finite number."""
    if isinstance(value, int):
        return value
    if not isinstance(value, float) or not math.isfinite(value):
        return None
    rounded = float(f"{value:.{digits}g}")
    return int(rounded) if rounded.is_integer() and abs(rounded) < 1e15 else rounded
