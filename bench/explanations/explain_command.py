"""`temper explain`: a sentence of the user's own, explained by a checkpoint, on the terminal and as a page."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import numpy as np
import torch
from pydantic import ValidationError
from rich.console import Console
from rich.text import Text
from scipy.special import softmax

from bench.explanations import explainers
from bench.keys import train_key
from bench.record import Record
from bench.spec import Spec
from bench.store import Store
from bench.work import RESULT, Work
from explain import engine, entities
from explain.attribution import Attribution
from explain.faithfulness import curves
from explain.inputs import Explainable, encode
from explain.pictures import canvas, lines, matrices, pages, strips
from training import ner_metrics
from training.errors import UserError
from training.model import Classifier, open_classifier
from training.task import Example, Task

MAX_LENGTH = 256  # pieces read where no run says another number
SIDES = {True: "rgb(33,102,172)", False: "rgb(179,88,6)"}  # the colours of explain.pictures.canvas
UP, DOWN = "▁", "▔"  # the bar lies on the word it belongs to, from above or from below


@dataclass(frozen=True)
class Explained:
    """One text, what the model says of it, and attributions by name: an explainer's, or for a tagger an entity's.

    `supported`: what a positive score speaks for.
    """

    title: str
    answer: str
    supported: str
    rows: tuple[tuple[str, Attribution], ...]
    model: Explainable
    tagger: bool = False


def explain(classifier: Classifier, title: str, text: str, names: Sequence[str]) -> Explained:
    """Explains the predicted class of `text`, or every predicted entity. Raises UserError on what cannot be explained:
    an empty text, an unknown explainer or one that is not for this kind of model, a text without an entity."""
    if not text.strip():
        raise UserError("the text is empty; give a sentence: temper explain --run ID --text 'a fine film'")
    modules = {name: explainers.load(name) for name in dict.fromkeys(names)}
    for name, module in modules.items():
        if classifier.kind not in module.TASKS:
            raise UserError(f"'{name}' is not for {classifier.kind} models (only {', '.join(module.TASKS)}).")
    model = Explainable(classifier.module, classifier.tokenizer, classifier.max_length)
    one = _entities if classifier.kind == "tagging" else _class
    try:
        return one(classifier, model, title, text, modules)
    except ValueError as error:
        raise UserError(f"{error}.") from error


def _class(
    classifier: Classifier, model: Explainable, title: str, text: str, modules: Mapping[str, ModuleType]
) -> Explained:
    rows = tuple((name, engine.explain(model, [text], module)[0]) for name, module in modules.items())
    first = rows[0][1]
    chance = softmax(classifier.logits([text])[0].astype(np.float64))[first.target]
    label, rival = classifier.labels[first.target], classifier.labels[first.other]
    answer = f"predicted: {label} (probability {chance:.3f}); {first.margin:+.2f} logits over {rival}"
    return Explained(title, answer, label, rows, model)


def _entities(
    classifier: Classifier, model: Explainable, title: str, text: str, modules: Mapping[str, ModuleType]
) -> Explained:
    if classifier.span_width is not None:
        raise UserError("this checkpoint scores spans, which no explainer is for; give one with a token head.")
    encoded = encode(model, text)
    (logits,) = entities.tag_logits(model, [encoded])
    found = sorted(ner_metrics.spans([classifier.labels[tag] for tag in logits.argmax(axis=1)]), key=lambda e: e[1])
    if not found:
        raise UserError("the model finds no entity in this text, so there is nothing to explain; give another text.")
    asked = [entities.Entity(first, after - 1, kind) for kind, first, after in found]
    questions = [(entity, entities.question(encoded, logits, entity)) for entity in asked]
    rows = []
    for name, module in modules.items():
        for one in entities.explain_entities(model, questions, module):
            shown = matrices.entity_name(encoded.words, one.entity.first, one.entity.last, one.entity.kind)
            rows.append((shown if len(modules) == 1 else f"{shown}, {name}", one.attribution))
    answer = f"predicted: {len(found)} {'entity' if len(found) == 1 else 'entities'}, explained by {', '.join(modules)}"
    return Explained(title, answer, "the entity's tags", tuple(rows), model, tagger=True)


def open_run(wanted: str, results: Path) -> tuple[str, Classifier]:
    """(spec id, checkpoint) of a run: its id, the beginning of it, or the path of its record.

    Raises UserError when the run is unknown, several begin so, or its checkpoint is gone.
    """
    store = Store(results)
    record = store.read(_spec_id(Path(wanted).name.removesuffix(".json"), store.ids(), results))
    folder = _checkpoint(record, Work(results / "work"))
    if folder is None:
        raise UserError(
            f"the checkpoint of '{record.spec_id}' is not in {results}/work (runs made elsewhere leave theirs there); "
            "run the same `temper run` again, or give the folder of a checkpoint with --model."
        )
    settings = record.spec.get("settings")
    length = settings.get("max_length") if isinstance(settings, dict) else None
    return record.spec_id, open_folder(folder, int(length) if isinstance(length, int) else MAX_LENGTH)


def _spec_id(wanted: str, known: Sequence[str], results: Path) -> str:
    if wanted in known:
        return wanted
    found = [one for one in known if wanted and one.startswith(wanted)]
    if len(found) == 1:
        return found[0]
    if found:
        raise UserError(
            f"{len(found)} runs in '{results}' begin with '{wanted}': {', '.join(found[:5])}; give more of it."
        )
    near = difflib.get_close_matches(wanted, known, n=3, cutoff=0.4)
    if near:
        raise UserError(f"unknown run '{wanted}' in '{results}'. Near: {', '.join(near)}.")
    names = "it holds no records" if not known else f"it holds {len(known)} runs, such as {known[0]}"
    raise UserError(f"unknown run '{wanted}' in '{results}': {names}. Give another folder with --results.")


def _checkpoint(record: Record, work: Work) -> Path | None:
    """The stage folder of today's code, else the one whose stored summary this record repeats word for word."""
    try:
        found = work.done("train", train_key(Spec.model_validate(record.spec)))
    except (ValidationError, UserError):
        found = None
    if found is not None:
        return found
    for path in sorted(work.folder.glob(f"train-*/{RESULT}")):
        summary = json.loads(path.read_text(encoding="utf8"))["result"]
        if "train_seconds" in summary and summary.items() <= record.summary.items():
            return path.parent
    return None


def open_folder(folder: Path, max_length: int = MAX_LENGTH) -> Classifier:
    """A fine-tuned checkpoint by its folder alone: the labels are those its config.json names.

    Raises UserError when it is no folder with a fine-tuned model.
    """
    path = folder / "config.json"
    if not path.is_file():
        raise UserError(f"'{folder}' holds no model (no config.json); give the folder of a fine-tuned checkpoint.")
    config = json.loads(path.read_text(encoding="utf8"))
    named = {int(index): str(label) for index, label in (config.get("id2label") or {}).items()}
    if len(named) < 2:
        raise UserError(
            f"the config.json in '{folder}' names no labels (id2label), so there is no fine-tuned head to explain; "
            "give the folder of a fine-tuned checkpoint."
        )
    tags = any("TokenClassification" in str(one) for one in config.get("architectures") or ())
    kind = "tagging" if tags else "classification"
    labels = tuple(named[index] for index in sorted(named))
    none: tuple[Example, ...] = ()
    task = Task(folder.name, kind, labels, none, none, none, {}, "", "", 1)  # type: ignore[arg-type]
    return open_classifier(folder, task, max_length, 0)


def show(found: Explained, console: Console) -> None:
    """The strips on a terminal: a bar above a word supports the class, one below speaks against it."""
    console.print(Text(canvas.visible(found.title), style="bold"))
    console.print(Text(found.answer))
    for name, attribution in found.rows:
        console.print()
        console.print(Text(_heading(name, attribution), style="bold"))
        for line in terminal_strip(attribution, max(20, console.width)):
            console.print(line, no_wrap=True, overflow="crop")
    console.print(
        Text(f"{UP} above a word, blue: for {found.supported}; {DOWN} below, orange: against it", style="dim")
    )


def _heading(name: str, attribution: Attribution) -> str:
    text = name
    if attribution.completeness_error is not None:
        text += f", completeness error {100 * attribution.completeness_error:.1f} %"
    return text + (f", {attribution.dropped} words not read" if attribution.dropped else "")


def terminal_strip(attribution: Attribution, width: int) -> list[Text]:
    """Three lines a row of words: bars for, the words on their colour, bars against."""
    largest = max(map(abs, attribution.scores)) or 1.0
    above, words, below = Text(), Text(), Text()
    made: list[Text] = []
    for word, score in zip(attribution.words, attribution.scores, strict=True):
        shown = strips.shortened(word, width - 1)
        room, share = canvas.letters(shown), score / largest
        if len(words) and words.cell_len + room > width:
            made += [above, words, below]
            above, words, below = Text(), Text(), Text()
        bar = round(abs(share) * room)
        side = SIDES[share >= 0]
        above.append((UP * bar if share > 0 else "").ljust(room) + " ", style=side)
        below.append((DOWN * bar if share < 0 else "").ljust(room) + " ", style=side)
        words.append(shown, style=f"{side} bold" if abs(share) >= 0.5 else side if abs(share) >= 0.1 else "")
        words.append(" ")
    return [*made, above, words, below]


def write_page(found: Explained, path: Path) -> Path:
    """One page without scripts, links or files beside it; whatever stands in the text stays text.

    Raises UserError when it cannot be written.
    """
    parts = [
        f"<h1>{canvas.escaped(found.title)}</h1><p>{canvas.escaped(found.answer)}</p>",
        strips.word_strips(found.rows, shared=False),
        f"<p>{canvas.escaped(canvas.KEY)}. Each row has its own scale; a word's value, in logits, shows on hover.</p>",
        *(_matrix(found) if found.tagger else _curves(found)),
    ]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(pages.page(found.title, parts), encoding="utf8")
    except OSError as error:
        raise UserError(f"cannot write '{path}' ({error.strerror}); choose another file with --out.") from error
    return path


def _curves(found: Explained) -> list[str]:
    drawn = [(name, curves(found.model, attribution)) for name, attribution in found.rows]
    return [
        lines.curves_html(drawn, found.supported),
        "<p>The grey band is what random orders of the words give. An attribution whose curve stays in it knows no "
        "more than chance; how far it leaves it also depends on how confident the model is.</p>",
    ]


def _matrix(found: Explained) -> list[str]:
    return [matrices.matrix_html(matrices.mitigation_grid(found.rows), "entities and the words they rest on")]


def run(
    wanted: str | None,
    model: Path | None,
    text: str,
    names: Sequence[str],
    results: Path,
    out: Path,
    console: Console,
) -> None:
    """The command. Raises UserError on whatever the user can mend."""
    if (wanted is None) == (model is None):
        raise UserError(
            "give either --run ID (see the records of a results folder) or --model FOLDER, and one of them."
        )
    torch.set_num_threads(1)  # one text: more threads wait for each other longer than they compute
    if not text.strip():
        raise UserError("the text is empty; give a sentence: temper explain --run ID --text 'a fine film'")
    for name in names:
        explainers.load(name)
    title, classifier = open_run(wanted, results) if wanted is not None else (str(model), open_folder(Path(str(model))))
    found = explain(classifier, title, text, names)
    show(found, console)
    console.print(f"page: {write_page(found, out)}", highlight=False, markup=False, soft_wrap=True)
