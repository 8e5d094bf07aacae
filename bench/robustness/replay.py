"""`temper replay`: adversarial examples scored again on any checkpoint; artefacts.py has the file they come from."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from attacks.entities import f1, span_counts
from bench import keys
from bench.record import Record
from bench.robustness.artefacts import Example, Found, Source, TaggedExample
from bench.spec import Spec
from bench.store import Store
from bench.work import Work
from training.errors import UserError
from training.model import Classifier, open_classifier
from training.task import Task

MANY = 40
SPEC_PARTS = 6  # of a spec id: task, model, mitigation, seed, tier, hash
Counts = tuple[int, int, int]  # true positives, false positives, false negatives


@dataclass(frozen=True)
class Score:
    """`right` of `n` adversarial texts; `clean` of their `originals` (different texts once each).

    A tagged sentence is right when exactly its entities are found; `entities` and `clean_entities` are strict counts
    over all sentences, None for texts with one label.
    """

    model: str
    made_against: str
    recipe: str
    right: int
    n: int
    clean: int
    originals: int
    entities: Counts | None = None
    clean_entities: Counts | None = None


def open_model(folder: Path, max_length: int) -> Classifier:
    """A checkpoint in Hugging Face layout, or as `temper run` leaves it; a tagger when its labels are BIO tags.

    Raises UserError for what is no fine-tuned checkpoint.
    """
    try:
        known = json.loads((folder / "config.json").read_text(encoding="utf8"))["id2label"]
        labels = tuple(str(known[str(index)]) for index in range(len(known)))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"'{folder}' is no fine-tuned checkpoint: it has no config.json that names its labels (id2label)."
        ) from error
    tags = "O" in labels and all(label == "O" or label.startswith(("B-", "I-")) for label in labels)
    kind: Any = "tagging" if tags else "classification"
    task = Task("replay", kind, labels, (), (), (), {}, licence="", source="", version=1)
    return open_classifier(folder, task, max_length, seed=0)


def checkpoint(store: Store, record: Record) -> Path | None:
    """The checkpoint of a record in the work folder; None when it was deleted, or made by other code than today's."""
    return Work(store.folder / "work").done("train", keys.train_key(Spec.model_validate(record.spec)))


def score(name: str, classifier: Classifier, examples: Sequence[Found]) -> list[Score]:
    """One Score per victim and recipe, all modes together, of the examples that are for this kind of model.

    Raises UserError for labels the model does not have, and when no example is for it.
    """
    tagging = classifier.kind == "tagging"
    mine = [example for example in examples if isinstance(example, TaggedExample) == tagging]
    if not mine:
        kinds = ("texts with one label", "sentences with tags") if tagging else ("sentences with tags", "texts")
        raise UserError(f"these are {kinds[0]}, and '{name}' was fine-tuned for {kinds[1]}; give another checkpoint.")
    judge = _tagged(name, classifier, mine) if tagging else _classified(name, classifier, mine)
    groups: dict[tuple[str, str], list[Found]] = {}
    for example in mine:
        groups.setdefault((example.victim, str(example.recipe.get("name"))), []).append(example)
    return [judge(victim, recipe, members) for (victim, recipe), members in groups.items()]


Judge = Callable[[str, str, Sequence[Any]], Score]


def _classified(name: str, classifier: Classifier, examples: Sequence[Any]) -> Judge:
    if too_high := [e.label for e in examples if e.label >= len(classifier.labels)]:
        raise UserError(
            f"'{name}' has {len(classifier.labels)} classes, and an example has the label {max(too_high)}; replay the "
            "texts of a task on a model of the same task."
        )
    texts = sorted({text for e in examples for text in (e.text, e.perturbed)})
    predicted = dict(zip(texts, classifier.logits(texts).argmax(axis=1), strict=True))

    def judge(victim: str, recipe: str, members: Sequence[Example]) -> Score:
        originals = {(e.text, e.label) for e in members}
        right = sum(bool(predicted[e.perturbed] == e.label) for e in members)
        clean = sum(bool(predicted[text] == label) for text, label in originals)
        return Score(name, victim, recipe, right, len(members), clean, len(originals))

    return judge


def _tagged(name: str, classifier: Classifier, examples: Sequence[Any]) -> Judge:
    gold = {tag for e in examples for tag in (*e.gold, *e.perturbed_gold)}
    if unknown := sorted(gold - set(classifier.labels)):
        raise UserError(
            f"'{name}' does not know the tags {', '.join(unknown)} of the examples; replay the sentences of a task on "
            "a model of the same task."
        )
    sentences = sorted({words for e in examples for words in (e.words, e.perturbed)})
    predicted = dict(zip(sentences, classifier.tags(sentences), strict=True))

    def counted(pairs: Iterable[tuple[tuple[str, ...], tuple[str, ...]]]) -> tuple[int, int, Counts]:
        counts = [span_counts(tags, predicted[words]) for words, tags in pairs]
        hits, invented, missed = (sum(one[i] for one in counts) for i in range(3))
        return sum(not fp and not fn for _, fp, fn in counts), len(counts), (hits, invented, missed)

    def judge(victim: str, recipe: str, members: Sequence[TaggedExample]) -> Score:
        right, n, entities = counted((e.perturbed, e.perturbed_gold) for e in members)
        clean, originals, before = counted(sorted({(e.words, e.gold) for e in members}))
        return Score(name, victim, recipe, right, n, clean, originals, entities, before)

    return judge


def replay(source: Source, model: Path | None) -> tuple[list[Score], list[str]]:
    """Scores the examples on `model`, or on every arm of the source's results folder; and what could not be scored.

    Each model reads as many pieces as its own victim did: `model` the most that any victim did. Raises UserError when
    nothing is left to score on.
    """
    if model is not None:
        opened = open_model(model, max(example.max_length for example in source.examples))
        others = sum(isinstance(one, TaggedExample) != (opened.kind == "tagging") for one in source.examples)
        notes = [f"{others} examples are not for a {opened.kind} model, and are not scored"] if others else []
        return score(model.name, opened, source.examples), notes
    if source.store is None:
        raise UserError("a .jsonl file holds texts and no model; say what to score with --model CHECKPOINT.")
    scores: list[Score] = []
    notes = []
    for record in source.store:
        mine = [e for e in source.examples if e.task == record.spec.get("task")]
        if not mine:
            continue
        folder = checkpoint(source.store, record)
        if folder is None:
            notes.append(f"{record.spec_id}: its checkpoint is not in work/ (deleted, or made by other code)")
            continue
        settings: Any = record.spec["settings"]
        scores += score(record.spec_id, open_model(folder, int(settings["max_length"])), mine)
    if not scores:
        raise UserError(
            f"none of the models of '{source.store.folder}' is in its work folder; `temper run` makes them again, or "
            "give another checkpoint with --model."
        )
    return scores, notes


def broken(scores: Iterable[Score]) -> list[str]:
    """Sentences about models that get texts right which are stored as having fooled them."""
    return [
        f"{s.model}: gets {s.right} of {s.n} texts right that {s.recipe} made against it: not its own attack"
        for s in scores
        if s.model == s.made_against and s.right
    ]


def table(scores: Sequence[Score]) -> Table:
    """One row per model, victim and recipe, accuracy in percent with the number of texts; the victims a model is not
    are pooled when there are more than MANY rows."""
    if len(scores) > MANY:
        scores = _pooled(scores)
    made = Table(title="adversarial texts, scored again", title_justify="left", header_style="bold")
    tagged = any(s.entities is not None for s in scores)
    columns = ["model", "made against", "recipe", "right, originals", "right, adversarial"]
    for column in (*columns, *(["entity F1, originals", "entity F1, adversarial"] if tagged else [])):
        made.add_column(column, justify="left" if column in columns[:3] else "right", overflow="fold")
    short = _short({name for s in scores for name in (s.model, s.made_against)})
    for s in scores:
        against = "itself" if s.model == s.made_against else short.get(s.made_against, s.made_against)
        numbers = [_percent(s.clean, s.originals), _percent(s.right, s.n)]
        numbers += [_f1(s.clean_entities), _f1(s.entities)] if tagged else []
        made.add_row(*(Text(text) for text in (short.get(s.model, s.model), against, s.recipe, *numbers)))
    return made


def _short(runs: Iterable[str]) -> dict[str, str]:
    """`baseline s0` for the id of each run that is the only one of that name."""
    named: dict[str, list[str]] = {}
    for run in runs:
        parts = run.split("--")
        if len(parts) == SPEC_PARTS:
            named.setdefault(f"{parts[2]} {parts[3]}", []).append(run)
    return {members[0]: name for name, members in named.items() if len(members) == 1}


def _pooled(scores: Sequence[Score]) -> list[Score]:
    """Per model and recipe the texts made against itself, and those made against all others together."""
    groups: dict[tuple[str, str, bool], list[Score]] = {}
    for s in scores:
        groups.setdefault((s.model, s.recipe, s.model == s.made_against), []).append(s)
    return [
        Score(
            model,
            model if own else f"{len(members)} other models",
            recipe,
            right=sum(s.right for s in members),
            n=sum(s.n for s in members),
            clean=sum(s.clean for s in members),
            originals=sum(s.originals for s in members),
            entities=_summed([s.entities for s in members]),
            clean_entities=_summed([s.clean_entities for s in members]),
        )
        for (model, recipe, own), members in groups.items()
    ]


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} % of {whole}"


def _summed(counts: Sequence[Counts | None]) -> Counts | None:
    known = [one for one in counts if one is not None]
    return (sum(c[0] for c in known), sum(c[1] for c in known), sum(c[2] for c in known)) if known else None


def _f1(counts: Counts | None) -> str:
    return "" if counts is None else f"{f1(counts):.3f}"
