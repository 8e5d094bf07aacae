"""Data as scripts: a page opened from disk may not fetch files, but it may load scripts."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from types import NoneType
from typing import Any

import pydantic_core

WHOLE = 1e15  # smaller whole numbers are printed as such


def write(folder: Path, name: str, value: Any) -> None:
    """Writes `<folder>/<name>.js`, which hands `value` (strict JSON) to the page under its name."""
    (folder / f"{name}.js").write_bytes(f"temper.data({encode(name)},{encode(value)});\n".encode("ascii"))


def encode(value: Any) -> str:
    """Strict JSON that stays text wherever a browser reads it: ASCII, and no `<` that could close or open a tag."""
    try:
        text = pydantic_core.to_json(value, inf_nan_mode="constants").decode("utf8")
    except ValueError:  # half a surrogate pair, which is no UTF-8
        text = ""
    # the other one writes ASCII alone and refuses what is no number, and takes four times as long
    if not text or not text.isascii() or "NaN" in text or "Infinity" in text:
        text = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c")


def shorts(column: Sequence[Any], digits: int = 4) -> Sequence[Any]:
    """`short` of every cell; what holds whole numbers alone is handed through."""
    kinds = {*map(type, column)}
    if kinds <= {int, bool, NoneType}:
        return column
    if not kinds <= {float, NoneType}:
        return [short(value, digits) for value in column]
    known = [value for value in column if value is not None]
    # printed together, as one at a time takes half as long again; what is not finite is left to `short`
    printed = (f"%.{digits}g " * len(known) % tuple(known)).split()
    if "nan" in printed or "inf" in printed or "-inf" in printed:
        return [short(value, digits) for value in column]
    rounded = [int(x) if x.is_integer() and -WHOLE < x < WHOLE else x for x in map(float, printed)]
    if len(known) == len(column):
        return rounded
    left = iter(rounded)
    return [None if value is None else next(left) for value in column]


def short(value: Any, digits: int = 4) -> float | int | None:
    """A number with so many significant digits, None for what is no finite number."""
    if isinstance(value, int):
        return value
    if not isinstance(value, float) or not math.isfinite(value):
        return None
    rounded = float(f"{value:.{digits}g}")
    return int(rounded) if rounded.is_integer() and -WHOLE < rounded < WHOLE else rounded
