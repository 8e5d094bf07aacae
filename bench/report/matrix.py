"""The transfer matrix of a board: adversarial texts made against each arm, and how many of them each arm gets right,
or of tagged sentences the strict entity F1 on them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from bench import metrics
from bench.board import Arm, Board
from bench.metrics import Values
from bench.report.sections import UNKNOWN, WIDEST, Cell, Section, number

NOTE = (
    "Accuracy of the row's model, %, on the texts that fooled the column's model of another seed, and how many texts "
    "that were, over all seeds. The hard texts of a column are hard for it alone where the other rows are high."
)
ENTITIES = NOTE.replace("Accuracy", "Strict entity F1").replace("texts", "sentences")
Numbers = dict[str, dict[str, dict[str, dict[str, Any]]]]
PREFIXES = {"transfer_from:": NOTE, "transfer_f1_from:": ENTITIES}


def numbers(board: Board) -> Numbers:
    """recipe -> scored arm -> donor -> {value: mean accuracy or entity F1 in 0..1, n: texts over all seeds, seeds};
    what was not measured is not there."""
    found: Numbers = {}
    for arm in board.arms:
        for name in sorted(one for one in arm.values if one.startswith(tuple(PREFIXES))):
            _, recipe, donor = name.split(":", 2)
            by_seed = arm.values[name]
            value, seeds = _mean(name, [by_seed[seed] for seed in sorted(by_seed)])
            if value is not None:
                texts = sum(len(values.ids or ()) for values in by_seed.values())
                row = found.setdefault(recipe, {}).setdefault(arm.label, {})
                row[donor] = {"value": value, "n": texts, "seeds": seeds}
    return found


def _mean(name: str, seeds: list[Values]) -> tuple[float | None, int]:
    """(value, seeds) as `metrics.summarise` gives them."""
    weights = [values.bottom for values in seeds if values.bottom is not None]
    if seeds and len(weights) == len(seeds):
        top, bottom = (
            float(np.concatenate([values.top for values in seeds]).sum()),
            float(np.concatenate(weights).sum()),
        )
        # sums of counts are exact in any order; with an unknown one they are NaN
        if top.is_integer() and bottom.is_integer() and bottom > 0:
            return top / bottom, len(seeds)
    found = metrics.summarise(name, seeds, None)
    return found.value, found.seeds


def matrices(board: Board, measured: Numbers) -> list[Section]:
    """One matrix for each recipe that `numbers` found something of, in tables of at most `WIDEST` columns.

    None where only one arm made texts.
    """
    sections = []
    order = [_mitigation(arm) for arm in board.arms]
    names = {name for arm in board.arms for name in arm.values}
    note = next((text for prefix, text in PREFIXES.items() if any(name.startswith(prefix) for name in names)), NOTE)
    for recipe, rows in measured.items():
        made = {donor for row in rows.values() for donor in row}
        donors = sorted(made, key=lambda donor: (order.index(donor) if donor in order else len(order), donor))
        if len(donors) < 2:
            continue
        size = math.ceil(len(donors) / math.ceil(len(donors) / (WIDEST - 1)))
        for start in range(0, len(donors), size):
            part = donors[start : start + size]
            table = [(Cell(arm.label), *(_cell(rows.get(arm.label, {}).get(d)) for d in part)) for arm in board.arms]
            title = f"Transfer matrix, {recipe}{', continued' if start else ''}"
            header = ("mitigation", *(f"made against {donor}" for donor in part))
            sections.append(Section(title, header, tuple(table), "" if start else note))
    return sections


def _mitigation(arm: Arm) -> str:
    """How donors are named: as asked for, before labels are told apart."""
    return str(arm.records[0].spec.get("mitigation"))


def _cell(known: dict[str, Any] | None) -> Cell:
    if known is None:
        return Cell(UNKNOWN, None, "not measured: the two were not run together, or nothing was fooled")
    seeds = f"{known['seeds']} seed{'' if known['seeds'] == 1 else 's'}"
    return Cell(number(known["value"], "share"), known["value"], f"{known['n']} texts, {seeds}", f"({known['n']})")
