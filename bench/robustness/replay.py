"""`temper replay`: adversarial examples as a file of their own, scored again on any checkpoint.

The file is JSON lines, one example each, with the number of its schema first:

    {"schema_version": 1, "task": ..., "recipe": {fingerprint}, "mode": "calibrated" or "raw", "victim": spec id,
     "max_length": pieces the victim reads, "id": ..., "text": ..., "perturbed": ..., "label": class index}
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError
from rich.table import Table
from rich.text import Text

from bench import keys
from bench.record import Record
from bench.spec import Spec
from bench.store import Store, write_atomic
from bench.work import Work
from training.errors import UserError
from training.model import Classifier, open_classifier
from training.task import Task

SCHEMA_VERSION = 1
NAME = "adversarial.jsonl"
MANY = 40


class Example(BaseModel):
    """One text that fooled its victim. `label` is the gold class as an index; `max_length` in sub-word pieces."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    schema_version: int = SCHEMA_VERSION
    task: str
    recipe: dict[str, JsonValue]
    mode: str
    victim: str
    max_length: int = Field(ge=4)
    id: str
    text: str
    perturbed: str
    label: int = Field(ge=0)


@dataclass(frozen=True)
class Score:
    """`right` of `n` adversarial texts; `clean` of their `originals` (different texts once each)."""

    model: str
    made_against: str
    recipe: str
    right: int
    n: int
    clean: int
    originals: int


@dataclass(frozen=True)
class Source:
    """What was found: the examples, the file they are in, and the records (with their folder) they come from."""

    examples: list[Example]
    file: Path
    store: Store | None


def open_source(path: Path, out: Path | None) -> Source:
    """Reads a .jsonl file, or gathers the successes of a record or a results folder and writes them to `out`.

    `out` defaults to `adversarial.jsonl` in the results folder, `<spec id>.adversarial.jsonl` there for one record.
    Raises UserError when there is nothing to replay, or the file is not one of ours.
    """
    if path.suffix == ".jsonl":
        return Source(read(path), path, None)
    if path.is_dir() and (path / "records").is_dir():
        store, ids, name = Store(path), Store(path).ids(), NAME
    elif path.suffix == ".json" and path.is_file() and path.parent.name == "records":
        store, ids, name = Store(path.parent.parent), [path.stem], f"{path.stem}.{NAME}"
    else:
        raise UserError(
            f"'{path}' is nothing to replay; give a results folder (with records/ inside), one of its records "
            "(records/<spec id>.json) or a .jsonl file that `temper replay` wrote."
        )
    found = [example for spec_id in ids for example in gather(store, store.read(spec_id))]
    if not found:
        raise UserError(f"no attack fooled a model in '{path}', so there are no adversarial examples to replay.")
    file = out or store.folder / name
    write(file, found)
    return Source(found, file, store)


def gather(store: Store, record: Record) -> list[Example]:
    """Every success of a record's attacks on texts with one label, in the order of its tables."""
    found = []
    for name in record.tables:
        prefix, _, subject = name.partition(":")
        recipe, _, mode = subject.rpartition(":")
        if prefix != "attack" or mode not in ("calibrated", "raw"):
            continue
        table = store.tables(record, name)
        for row in table[table["status"] == "success"].to_dict("records"):
            found.append(
                Example(
                    task=str(record.spec["task"]),
                    recipe=record.fingerprints.get(f"recipe:{recipe}") or {"name": recipe},  # type: ignore[arg-type]
                    mode=mode,
                    victim=record.spec_id,
                    max_length=int(record.spec["settings"]["max_length"]),  # type: ignore[index, call-overload, arg-type]
                    id=str(row["id"]),
                    text=str(row["text"]),
                    perturbed=str(row["perturbed"]),
                    label=int(row["label"]),
                )
            )
    return found


def write(path: Path, examples: Iterable[Example]) -> None:
    """Writes the file whole or not at all. Raises UserError when it cannot be written."""
    lines = [json.dumps(example.model_dump(mode="json"), allow_nan=False) + "\n" for example in examples]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, "".join(lines).encode("utf8"))
    except OSError as error:
        raise UserError(f"cannot write '{path}' ({error.strerror}); choose another file with --out.") from error


def read(path: Path) -> list[Example]:
    """The examples of a file. Raises UserError naming the line that is damaged, foreign or of a newer schema."""
    try:
        lines = path.read_text(encoding="utf8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read '{path}' ({error}); give a .jsonl file that `temper replay` wrote.") from error
    found = []
    for number, line in enumerate(lines, start=1):
        where = f"'{path}', line {number}"
        try:
            data = json.loads(line)
            version = data.get("schema_version") if isinstance(data, dict) else None
            if isinstance(version, int) and version > SCHEMA_VERSION:
                raise UserError(f"{where} has schema {version}, this suite reads {SCHEMA_VERSION}; update TemperBench.")
            found.append(Example.model_validate({"schema_version": None, **data}))
        except (json.JSONDecodeError, TypeError) as error:
            raise UserError(f"{where} is no JSON object ({error}); write the file again with temper replay.") from error
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(part) for part in first["loc"])
            raise UserError(f"{where} is no adversarial example ({place}: {first['msg']}).") from error
    if not found:
        raise UserError(f"'{path}' is empty; write it again with temper replay RESULTS.")
    return found


def open_model(folder: Path, max_length: int) -> Classifier:
    """A classification checkpoint in Hugging Face layout, or as `temper run` leaves it. Raises UserError for others."""
    try:
        known = json.loads((folder / "config.json").read_text(encoding="utf8"))["id2label"]
        labels = tuple(str(known[str(index)]) for index in range(len(known)))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"'{folder}' is no fine-tuned checkpoint: it has no config.json that names its labels (id2label)."
        ) from error
    task = Task("replay", "classification", labels, (), (), (), {}, licence="", source="", version=1)
    return open_classifier(folder, task, max_length, seed=0)


def checkpoint(store: Store, record: Record) -> Path | None:
    """The checkpoint of a record in the work folder; None when it was deleted, or made by other code than today's."""
    return Work(store.folder / "work").done("train", keys.train_key(Spec.model_validate(record.spec)))


def score(name: str, classifier: Classifier, examples: Sequence[Example]) -> list[Score]:
    """One Score per victim and recipe, both modes together. Raises UserError for labels the model does not have."""
    if too_high := [e.label for e in examples if e.label >= len(classifier.labels)]:
        raise UserError(
            f"'{name}' has {len(classifier.labels)} classes, and an example has the label {max(too_high)}; replay the "
            "texts of a task on a model of the same task."
        )
    texts = sorted({text for e in examples for text in (e.text, e.perturbed)})
    predicted = dict(zip(texts, classifier.logits(texts).argmax(axis=1), strict=True))
    groups: dict[tuple[str, str], list[Example]] = {}
    for example in examples:
        groups.setdefault((example.victim, str(example.recipe.get("name"))), []).append(example)
    scores = []
    for (victim, recipe), members in groups.items():
        originals = {(e.text, e.label) for e in members}
        right = sum(bool(predicted[e.perturbed] == e.label) for e in members)
        clean = sum(bool(predicted[text] == label) for text, label in originals)
        scores.append(Score(name, victim, recipe, right, len(members), clean, len(originals)))
    return scores


def replay(source: Source, model: Path | None) -> tuple[list[Score], list[str]]:
    """Scores the examples on `model`, or on every arm of the source's results folder; and what could not be scored.

    Each model reads as many pieces as its own victim did: `model` the most that any victim did. Raises UserError when
    nothing is left to score on.
    """
    if model is not None:
        opened = open_model(model, max(example.max_length for example in source.examples))
        return score(model.name, opened, source.examples), []
    if source.store is None:
        raise UserError("a .jsonl file holds texts and no model; say what to score with --model CHECKPOINT.")
    scores, notes = [], []
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
    for column in ("model", "made against", "recipe", "right, originals", "right, adversarial"):
        made.add_column(column, justify="right" if column.startswith("right") else "left", overflow="fold")
    for s in scores:
        against = "itself" if s.model == s.made_against else s.made_against
        numbers = (_percent(s.clean, s.originals), _percent(s.right, s.n))
        made.add_row(*(Text(text) for text in (s.model, against, s.recipe, *numbers)))
    return made


def _pooled(scores: Sequence[Score]) -> list[Score]:
    """Per model and recipe the texts made against itself, and those made against all others together."""
    groups: dict[tuple[str, str, bool], list[Score]] = {}
    for s in scores:
        groups.setdefault((s.model, s.recipe, s.model == s.made_against), []).append(s)
    return [
        Score(
            model, model if own else f"{len(members)} other models", recipe,
            *(sum(getattr(s, name) for s in members) for name in ("right", "n", "clean", "originals")),
        )
        for (model, recipe, own), members in groups.items()
    ]  # fmt: skip


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} % of {whole}"
