"""Data as scripts: a page opened from disk may not fetch files, but it may load scripts."""

from __future__ import annotations

import codecs
import functools
import json
import math
from collections.abc import Sequence
from pathlib import Path
from types import NoneType
from typing import Any

import pydantic_core

WHOLE = 1e15  # smaller whole numbers are printed as such
# what the encoder does with characters that are not in ASCII; a search for them takes ten times as long
_AS_JSON = "temper.json"


def write(folder: Path, name: str, value: Any, *, unknown: bool = False) -> None:
    """Writes `<folder>/<name>.js`, which hands `value` (strict JSON) to the page under its name; `unknown`: encode."""
    text = f"temper.data({encode(name)},{encode(value, unknown=unknown)});\n"
    (folder / f"{name}.js").write_bytes(text.encode("ascii"))


def encode(value: Any, *, unknown: bool = False) -> str:
    """Strict JSON that stays text wherever a browser reads it: ASCII, and no `<` that could close or open a tag.

    What is no finite number is null where `unknown` says so, else it raises ValueError.
    """
    try:
        text = pydantic_core.to_json(value, inf_nan_mode="null" if unknown else "constants").decode("utf8")
    except ValueError:  # half a surrogate pair, which is no UTF-8
        text = ""
    # the other one refuses what is no number, and takes four times as long
    if not text or (not unknown and ("NaN" in text or "Infinity" in text)):
        text = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    if not text.isascii():
        text = text.encode("ascii", _AS_JSON).decode("ascii")
    return text.replace("<", "\\u003c")


@functools.lru_cache(4096)
def _escaped(characters: str) -> str:
    return json.dumps(characters)[1:-1]


def _as_json(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return _escaped(error.object[error.start : error.end]), error.end


codecs.register_error(_AS_JSON, _as_json)


def shorts(column: Sequence[Any], digits: int = 4) -> Sequence[Any]:
    """`short` of every cell; what holds whole numbers alone is handed through."""
    kinds = {*map(type, column)}
    if kinds <= {int, bool, NoneType}:
        return column
    if not kinds <= {float, NoneType}:
        return [short(value, digits) for value in column]
    # printed and read together, as one at a time takes half as long again; None stays where it is
    one = f"%.{digits}g"
    pattern = ",".join(["null" if value is None else one for value in column])
    text = f"[{pattern}]" % tuple([value for value in column if value is not None])
    if "nan" in text or "inf" in text or "e+" in text:  # no JSON, or a whole number that would be a float
        return [short(value, digits) for value in column]
    return pydantic_core.from_json(text)


def short(value: Any, digits: int = 4) -> float | int | None:
    """A number with so many significant digits, None for what is no finite number."""
    if isinstance(value, int):
        return value
    if not isinstance(value, float) or not math.isfinite(value):
        return None
    rounded = float(f"{value:.{digits}g}")
    return int(rounded) if rounded.is_integer() and -WHOLE < rounded < WHOLE else rounded
