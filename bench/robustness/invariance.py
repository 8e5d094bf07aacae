"""The invariance stage: the attacked texts under changes that must not change the answer, and whether it stayed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from attacks.invariances import suite
from bench.keys import invariance_key
from bench.robustness.tagging_attacks import known_names
from bench.stages import Cell
from bench.work import subset
from training.ner_metrics import spans
from training.task import Example

COLUMNS = ("id", "invariance", "applies", "correct_before", "same_after")


def measure(cell: Cell) -> pd.DataFrame:
    """One row per attacked text and invariance, with COLUMNS.

    `applies`: the invariance changes the text. `correct_before`: the unchanged text gets its class, or for tagging
    exactly its entities. `same_after`: the changed text gets the same; None unless the two before are true.
    """

    def make(_: Path) -> dict[str, Any]:
        examples = subset(cell.task.test, cell.spec.sizes.attacked)
        rows = _classified(cell, examples) if cell.task.kind == "classification" else _tagged(cell, examples)
        cell.tick("invariance", 1, 1)
        return {column: [row[place] for row in rows] for place, column in enumerate(COLUMNS)}

    return pd.DataFrame(cell.work.run("invariance", invariance_key(cell.spec), make)[1])


Row = tuple[str, str, bool, bool, bool | None]


def _classified(cell: Cell, examples: Sequence[Example]) -> list[Row]:
    before = cell.classifier.logits([example.text for example in examples]).argmax(axis=1)
    right = [bool(said == example.label) for said, example in zip(before, examples, strict=True)]
    rows: list[Row] = []
    for name in suite.NAMES:
        changed = [suite.change_text(name, example.text, example.id) for example in examples]
        asked = [i for i, text in enumerate(changed) if text is not None and right[i]]
        after = cell.classifier.logits([str(changed[i]) for i in asked]).argmax(axis=1) if asked else []
        same = {i: bool(said == before[i]) for i, said in zip(asked, after, strict=True)}
        rows += [(e.id, name, changed[i] is not None, right[i], same.get(i)) for i, e in enumerate(examples)]
    return rows


def _tagged(cell: Cell, examples: Sequence[Example]) -> list[Row]:
    gold = [[cell.task.labels[tag] for tag in example.tags] for example in examples]
    before = cell.classifier.tags([example.words for example in examples])
    right = [spans(said) == spans(tags) for said, tags in zip(before, gold, strict=True)]
    entities = {kind: sorted(found) for kind, found in known_names(cell).names.items()}
    rows: list[Row] = []
    for name in suite.NAMES:
        changed = [
            suite.change_sentence(name, example.words, tags, example.id, entities)
            for example, tags in zip(examples, gold, strict=True)
        ]
        asked = {i: found for i, found in enumerate(changed) if found is not None and right[i]}
        after = cell.classifier.tags([words for words, _ in asked.values()]) if asked else []
        same = {i: spans(said) == spans(asked[i][1]) for i, said in zip(asked, after, strict=True)}
        rows += [(e.id, name, changed[i] is not None, right[i], same.get(i)) for i, e in enumerate(examples)]
    return rows
