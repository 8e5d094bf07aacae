"""Deletion and insertion curves over many texts: the stored attributions of an arm, run through its checkpoint.

Nothing is explained again, so the curves are those of the very scores that the board's numbers are about. A sentence
counts once, with the mean over its entities.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence, Sized
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.explanations import explain_command
from bench.report.gallery import drawing, stored
from bench.report.gallery.drawing import Picture
from bench.report.gallery.stored import CLEAN, CONTROL, ENTITIES, TEXTS, Arms
from bench.report.page.source import Tables
from explain import entities
from explain.entities import Entity
from explain.faithfulness import curves_of
from explain.inputs import Encoded, Explainable, encode, encode_words
from explain.metrics import Curves
from explain.pictures.lines import over_texts
from explain.pool import Pool
from explain.questions import Question
from training.errors import UserError

Answer = tuple[str, Question, list[float]]
"""An explainer, what it was asked, its score of each word."""


def of_arms(arms: Arms, labels: Sequence[str], count: int, results: Path) -> tuple[list[Picture], list[str]]:
    """A picture for each of the arms `labels`, over the first `count` texts that were explained; and what is missing.

    Needs their checkpoints in `results`.
    """
    try:
        known = stored.explained(arms)
    except UserError as error:
        return [], [f"no mean curves: {error}"]
    chosen, made, notes = known[:count], [], []
    if len(chosen) < count:
        notes.append(f"mean curves are over {_counted(chosen, 'text')}: no more were explained")
    texts = {one: stored.text_of(arms.tables.values(), one)[0] for one in chosen}
    for label in labels:
        try:
            made.append(_of_arm(label, arms.tables[label], texts, results))
        except (UserError, ValueError) as error:
            notes.append(f"{label}: no mean curves: {error}")
    return made, notes


def _of_arm(label: str, tables: Tables, texts: Mapping[str, str], results: Path) -> Picture:
    _, classifier = explain_command.open_run(tables.record.spec_id, results)
    model = Explainable(classifier.module, classifier.tokenizer, classifier.max_length)
    tagger = classifier.kind == "tagging"
    asked = _of_entities(model, tables, texts) if tagger else _of_texts(model, tables, texts)
    means: dict[str, list[Curves]] = {}
    for answers in asked.values():
        pool, each = Pool(model), dict[str, list[Curves]]()
        pool.expect([question for _, question, _ in answers])
        for explainer, question, scores in answers:
            each.setdefault(explainer, []).append(curves_of(pool, question, scores))
        for explainer, found in each.items():
            means.setdefault(explainer, []).append(over_texts(found))
    if not means:
        raise UserError(f"none of these texts has an attribution by another explainer than '{CONTROL}' here")
    rows = [(name, over_texts(found)) for name, found in means.items()]
    if not tagger:
        return drawing.of_mean_curves(
            label, _counted(asked, "text"), "the first that were explained", "the explained class", rows
        )
    which = f"those of the first {len(texts)} in which the model finds an entity"
    return drawing.of_mean_curves(label, _counted(asked, "sentence"), which, "the entities' tags", rows)


def _counted(found: Sized, one: str) -> str:
    return f"{len(found)} {one}{'' if len(found) == 1 else 's'}"


def _of_texts(model: Explainable, tables: Tables, texts: Mapping[str, str]) -> dict[str, list[Answer]]:
    """By text what each explainer answered about the class that was predicted then."""
    asked: dict[tuple[str, str], tuple[int, int]] = {}
    for explainer, columns in tables.starting("explain"):
        classes = zip(columns["id"], columns["target"], columns["other"], strict=True)
        asked |= {(explainer, str(one)): (int(target), int(other)) for one, target, other in classes}
    found: dict[str, list[Answer]] = {}
    for one, rows in _rows(tables, TEXTS, texts).items():
        encoded = encode(model, texts[one] or " ".join(rows[0].words))
        for row in rows:
            target, other = asked[row.explainer, one]
            question = Question(_same(encoded, row), (target,), (other,))
            found.setdefault(one, []).append((row.explainer, question, row.scores))
    return found


def _of_entities(model: Explainable, tables: Tables, texts: Mapping[str, str]) -> dict[str, list[Answer]]:
    """By sentence what each explainer answered about each of its entities."""
    found: dict[str, list[Answer]] = {}
    for one, rows in _rows(tables, ENTITIES, texts).items():
        # the words that the model saw, at whose places the entities stand
        encoded = encode_words(model, rows[0].words)
        (logits,) = entities.tag_logits(model, [encoded])
        for row in rows:
            entity = Entity(int(row.cells["first"]), int(row.cells["last"]), str(row.cells["kind"]))
            question = entities.question(_same(encoded, row), logits, entity)
            found.setdefault(one, []).append((row.explainer, question, row.scores))
    return found


@dataclass(frozen=True)
class Row:
    """A stored attribution with the cells of its row."""

    explainer: str
    cells: dict[str, Any]
    words: tuple[str, ...]
    scores: list[float]


def _rows(tables: Tables, kind: str, texts: Mapping[str, str]) -> dict[str, list[Row]]:
    """The attributions of the clean texts by every explainer but the control, in the order of `texts`."""
    found: dict[str, list[Row]] = {one: [] for one in texts}
    for explainer, columns in tables.starting(kind):
        for place, one in enumerate(columns.get("id", ()) if explainer != CONTROL else ()):
            cells = {name: column[place] for name, column in columns.items()}
            if str(one) in found and cells.get("version", CLEAN) == CLEAN:
                row = Row(explainer, cells, tuple(json.loads(cells["words"])), json.loads(cells["scores"]))
                found[str(one)].append(row)
    return {one: rows for one, rows in found.items() if rows}


def _same(encoded: Encoded, row: Row) -> Encoded:
    if encoded.words != row.words:
        raise ValueError(
            f"the checkpoint reads other words of '{encoded.text[:40]}' than were explained; make the run again"
        )
    return encoded
