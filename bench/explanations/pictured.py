"""What no record holds: a sentence of the user's own by every arm, curves and layers. Opens the runs' checkpoints."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from bench.explanations import explain_command
from bench.explanations.explain_command import Explained
from bench.report.gallery import drawing
from bench.report.gallery.drawing import Picture
from bench.report.gallery.stored import CONTROL, Arms, Chosen, View
from explain import entities, layers
from explain.faithfulness import curves
from explain.inputs import encode
from explain.layers import LayerTable
from explain.pictures.matrices import Matrix
from training import ner_metrics
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
    """Curves and layers of the models in `alone`; adds to the notes of `chosen` what is missing for them."""
    torch.set_num_threads(1)
    made = []
    for view in alone:
        named = [name for name in (*view.entities, *view.clean) if name != CONTROL]
        try:
            classifier, found = _explain(view, chosen.text, named, results)
            made += [*_curves(chosen, view, found), _layers(chosen, view, classifier, found)]
        except (UserError, ValueError) as error:
            chosen.notes.append(f"{view.arm}: no curves and no layers: {error}")
    if chosen.tagging:
        chosen.notes.append("deletion and insertion curves are drawn for classes of texts, not for entities")
    return made


def _explain(view: View, text: str, explainers: Sequence[str], results: Path) -> tuple[Classifier, Explained]:
    _, classifier = explain_command.open_run(view.spec_id, results)
    return classifier, explain_command.explain(classifier, view.arm, text, explainers)


def _curves(chosen: Chosen, view: View, found: Explained) -> list[Picture]:
    if found.tagger:
        return []
    rows = [(name, curves(found.model, attribution)) for name, attribution in found.rows]
    return [drawing.of_curves(chosen, view, _class(found), rows)]


def _layers(chosen: Chosen, view: View, classifier: Classifier, found: Explained) -> Picture:
    if not found.tagger:
        (table,) = layers.layer_tables(found.model, [chosen.text])
        return drawing.of_layers(chosen, view, _class(found), _matrix(table))
    encoded = encode(found.model, chosen.text)
    (logits,) = entities.tag_logits(found.model, [encoded])
    spans = ner_metrics.spans([classifier.labels[tag] for tag in logits.argmax(axis=1)])
    kind, first, after = min(spans, key=lambda span: span[1])
    asked = entities.question(encoded, logits, entities.Entity(first, after - 1, kind))
    (table,) = layers.tables_of(found.model, [asked])
    what = f"the entity {' '.join(encoded.words[first:after])} ({kind})"
    return drawing.of_layers(chosen, view, what, _matrix(table))


def _class(found: Explained) -> str:
    """`class 1 (positive)`: records know the number, checkpoints the name."""
    return f"class {found.rows[0][1].target} ({found.supported})"


def _matrix(table: LayerTable) -> Matrix:
    return Matrix(table.words, table.layers, table.values)
