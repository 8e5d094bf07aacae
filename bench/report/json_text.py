"""Boards as strict JSON with full precision, indented as json.dumps does it."""

from __future__ import annotations

import functools
import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from bench import metrics
from bench.board import Arm, Board
from bench.metrics import Missing
from bench.report import cards
from bench.report.shown import INTERVAL, Exact, Shown
from bench.stats import Difference, Interval


def piece(shown: Shown) -> str:
    board = shown.board
    arms = [_whole_arm(*one) for one in zip(board.arms, shown.cards, shown.exact, strict=True)]
    interactions = [vars(one) | {"difference": _numbers(one.difference)} for one in board.interactions]
    fields = _fields(_about(board), 3)
    fields |= {"arms": _array(arms, 3), "interactions": indented(interactions, 3)}
    return _object(fields | {"transfer_matrix": indented(shown.transfers, 3)}, 2)


def _whole_arm(arm: Arm, card: cards.Card, exact: Exact) -> str:
    form = _object({"status": '"ok"', **dict.fromkeys(INTERVAL, "%s")}, 6)
    cells = {
        name: form % tuple(exact[name].split(",")) if name in exact else indented(_numbers(cell), 6)
        for name, cell in arm.cells.items()
    }
    fields = _fields(_arm(arm), 5)
    return _object(fields | {"cells": _object(cells, 5), "card": indented(vars(card), 5)}, 4)


def whole(_: Sequence[Board], pieces: Sequence[str]) -> str:
    return f'{{\n "schema_version": 1,\n "boards": {_array(pieces, 1)}\n}}\n'


def indented(value: Any, depth: int) -> str:
    """json.dumps with an indent of 1, several times as fast."""
    if not value or not isinstance(value, (dict, list, tuple)):
        return _encoder("").encode(value)
    if isinstance(value, dict):
        return _object(_fields(value, depth + 1), depth)
    return _array(_texts(value, depth + 1), depth)


def _fields(value: Mapping[str, Any], depth: int) -> dict[str, str]:
    return dict(zip(map(str, value), _texts(value.values(), depth), strict=True))


def _texts(values: Collection[Any], depth: int) -> list[str]:
    nested = [bool(one) and isinstance(one, (dict, list, tuple)) for one in values]
    if all(nested):
        return [indented(one, depth) for one in values]
    plain = [one for one, has_parts in zip(values, nested, strict=True) if not has_parts]
    # encoded as one; no encoded text holds a line end, so there they are parted again
    encoded = iter(_encoder("\n").encode(plain)[1:-1].split(",\n"))
    return [indented(one, depth) if has_parts else next(encoded) for one, has_parts in zip(values, nested, strict=True)]


def _object(fields: Mapping[str, str], depth: int) -> str:
    """An object of fields that are encoded already."""
    return _between("{}", [f"{_key(name)}: {text}" for name, text in fields.items()], depth)


def _array(parts: Sequence[str], depth: int) -> str:
    """An array of elements that are encoded already."""
    return _between("[]", parts, depth)


def _between(brackets: str, parts: Sequence[str], depth: int) -> str:
    if not parts:
        return brackets
    pad, end = "\n" + " " * (depth + 1), "\n" + " " * depth
    # joined once: of a board's arms every copy is a megabyte
    lines = [text for part in parts for text in (f",{pad}", part)]
    lines[0] = brackets[0] + pad
    return "".join([*lines, end, brackets[1]])


@functools.lru_cache(4096)
def _key(name: str) -> str:
    return _encoder("").encode(name)


@functools.cache
def _encoder(pad: str) -> json.JSONEncoder:
    return json.JSONEncoder(allow_nan=False, separators=(f",{pad}", ": "))


def _about(board: Board) -> dict[str, Any]:
    about = {
        name: {
            "title": metrics.title(name),
            "unit": metrics.of(name).unit,
            "direction": metrics.of(name).direction,
            "smallest_difference": metrics.of(name).smallest_difference,
        }
        for name in board.metrics
    }
    return {
        "name": board.name,
        "task": board.task,
        "model": board.model,
        "tier": board.tier,
        "fingerprint": board.fingerprint,
        "ranked_by": board.score,
        "notes": board.notes,
        "metrics": about,
    }


def _arm(arm: Arm) -> dict[str, Any]:
    return {
        "mitigation": arm.label,
        "rank": arm.rank,
        "ranks": list(arm.ranks) if arm.ranks else None,
        "group": arm.group or None,
        "pareto": arm.front,
        "no_rank": arm.no_rank or None,
        "verdict": arm.verdict or None,
        "difference": _numbers(arm.difference),
        "p_holm": arm.p_adjusted,
        "masking": arm.masking,
        "masking_signs": [vars(sign) for sign in arm.signs],
        "seeds": arm.seeds,
        "failures": arm.failures,
        "unhealthy": arm.unhealthy,
        "learning_rate": arm.fact("learning_rate"),
        "learning_rate_source": arm.fact("learning_rate_source"),
        "records": [record.spec_id for record in arm.records],
    }


def _numbers(value: Interval | Missing | Difference | None) -> dict[str, Any] | None:
    if value is None:
        return None
    if isinstance(value, Missing):
        return {"value": None, "status": value.status, "reason": value.reason}
    return {"status": "ok", **vars(value)}
