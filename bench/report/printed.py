"""Numbers as they are printed, many at a time: a board has tens of thousands."""

from __future__ import annotations

import re
from collections.abc import Sequence

DIGITS = {"share": 1, "score": 3, "x": 2, "gap": 3, "tau": 3, "s": 1, "s/text": 3, "nats": 2}  # after the point, else 1
NEGATIVE_ZERO = re.compile(r"^-(?=0\.0+$)", re.MULTILINE)


def numbers(values: Sequence[float], unit: str) -> list[str]:
    """Values of one unit as printed."""
    if not values:
        return []
    scaled = [100 * value for value in values] if unit == "share" else values
    texts = "\n".join([f"%.{DIGITS.get(unit, 1)}f"] * len(scaled)) % tuple(scaled)
    return NEGATIVE_ZERO.sub("", texts).split("\n")
