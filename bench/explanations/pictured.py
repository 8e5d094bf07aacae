"""What no record holds: a sentence of the user's own by every arm, curves and layers. Opens the runs' checkpoints."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from bench.explanations import explain_command
from bench.explanations.entity_versions import predicted
from bench.explanations.explain_command import Explained
from bench.report.gallery import drawing
from bench.report.gallery.drawing import Picture
from bench.report.gallery.stored import CONTROL, PREFERRED, Arms, Chosen, View
from explain import entities, layers
from explain.attribution import Attribution
from explain.faithfulness import curves_of
from explain.inputs import encode
from explain.pictures.matrices import Matrix, entity_name
from explain.pool import Pool
from explain.questions import Question
from training.errors import UserError
from training.model import Classifier

SENTENCE = "sentence"


def of_sentence(arms: Arms, sentence: str, explainers: Sequence[str], results: Path) -> Chosen:
    """The sentence explained by every arm whose checkpoint is there. Raises UserError where none is."""
    torch.set_num_threads(1)  # one text: more threads wait for each other longer than they compute
    views, notes = [], []
    for label, tables in arms.tables.items():
        view = View(label, tables.record.spec_id)
        try:
            _, found = _explain(view, sentence, explainers, results)
        except UserError as error:
            notes.append(f"{label}: {error}")
            continue
        if found.tagger:
            for row, one in found.rows:
                name, _, explainer = row.rpartition(", ") if len(explainers) > 1 else (row, "", explainers[0])
                view.entities.setdefault(explainer, {})[name] = one
        else:
            view.clean, view.says = dict(found.rows), _class(found)
        views.append(view)
    if not views:
        raise UserError(f"no arm explains this sentence. {notes[0]}")
    return Chosen(SENTENCE, sentence, f"a sentence given with --sentence; seed {arms.seed}", views, notes)


def of_checkpoints(chosen: Chosen, alone: Sequence[View], results: Path) -> list[Picture]:
    """Curves and layers of the models in `alone`, of a tagger for its first entity; adds to the notes of `chosen` what
    is missing for them."""
    torch.set_num_threads(1)
    made = []
    for view in alone:
        named = [name for name in (*view.entities, *view.clean) if name != CONTROL] or [PREFERRED]
        try:
            classifier, found = _explain(view, chosen.text, named, results)
            what, question, rows = _asked(classifier, found, chosen.text, named)
            pool = Pool(found.model)
            drawn = [(name, curves_of(pool, question, attribution.scores)) for name, attribution in rows]
            (table,) = layers.tables_of(found.model, [question])
            matrix = Matrix(table.words, table.layers, table.values)
            made += [drawing.of_curves(chosen, view, what, drawn), drawing.of_layers(chosen, view, what, matrix)]
        except (UserError, ValueError) as error:
            chosen.notes.append(f"{view.arm}: no curves and no layers: {error}")
    return made


def _explain(view: View, text: str, explainers: Sequence[str], results: Path) -> tuple[Classifier, Explained]:
    _, classifier = explain_command.open_run(view.spec_id, results)
    return classifier, explain_command.explain(classifier, view.arm, text, explainers)


def _asked(
    classifier: Classifier, found: Explained, text: str, explainers: Sequence[str]
) -> tuple[str, Question, list[tuple[str, Attribution]]]:
    """What is looked at in words and as a question, and each explainer's answer to it."""
    encoded = encode(found.model, text)
    if not found.tagger:
        first = found.rows[0][1]
        return _class(found), Question(encoded, (first.target,), (first.other,)), list(found.rows)
    (logits,) = entities.tag_logits(found.model, [encoded])
    entity, *_ = predicted(logits, classifier.labels)
    name = entity_name(encoded.words, entity.first, entity.last, entity.kind)
    answers = dict(found.rows)
    rows = [(one, answers[name if len(explainers) == 1 else f"{name}, {one}"]) for one in explainers]
    return f"the entity {name}", entities.question(encoded, logits, entity), rows


def _class(found: Explained) -> str:
    """`class 1 (positive)`: records know the number, checkpoints the name."""
    return f"class {found.rows[0][1].target} ({found.supported})"
