"""Adversarial examples as a file of their own, which `temper replay` writes, and reads to score them again.

The file is JSON lines, one example each, with the number of its schema first. A text with one label is of schema 1:

    {"schema_version": 1, "task": ..., "recipe": {fingerprint}, "mode": "calibrated" or "raw", "victim": spec id,
     "max_length": pieces the victim reads, "id": ..., "text": ..., "perturbed": ..., "label": class index}

A tagged sentence is of schema 2, has the mode "tags", and in place of the last three

    "words": [...], "gold": [...], "perturbed": [...], "perturbed_gold": [...]

with one BIO tag for each word; the recipe's fingerprint holds the goal of the attack.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError, model_validator

from bench.metrics import MODES, TAGS
from bench.record import Record
from bench.store import Store, write_atomic
from training.errors import UserError

SCHEMA_VERSION = 2
NAME = "adversarial.jsonl"


class Example(BaseModel):
    """One text that fooled its victim. `label` is the gold class as an index; `max_length` in sub-word pieces."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    schema_version: Literal[1] = 1
    task: str
    recipe: dict[str, JsonValue]
    mode: str
    victim: str
    max_length: int = Field(ge=4)
    id: str
    text: str
    perturbed: str
    label: int = Field(ge=0)


class TaggedExample(BaseModel):
    """One sentence that fooled its victim: words and gold tags before and after, one BIO tag for each word."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: Literal[2] = 2
    task: str
    recipe: dict[str, JsonValue]
    mode: Literal["tags"] = "tags"
    victim: str
    max_length: int = Field(ge=4)
    id: str
    words: tuple[str, ...]
    gold: tuple[str, ...]
    perturbed: tuple[str, ...]
    perturbed_gold: tuple[str, ...]

    @model_validator(mode="after")
    def _one_tag_a_word(self) -> TaggedExample:
        if len(self.words) != len(self.gold) or len(self.perturbed) != len(self.perturbed_gold):
            raise ValueError("each word needs one tag")
        return self


KINDS: dict[int, type[Example] | type[TaggedExample]] = {1: Example, 2: TaggedExample}
Found = Example | TaggedExample


@dataclass(frozen=True)
class Source:
    """What was found: the examples, the file they are in, and the records (with their folder) they come from."""

    examples: list[Found]
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


def gather(store: Store, record: Record) -> list[Found]:
    """Every success of a record's attacks, in the order of its tables."""
    found: list[Found] = []
    for name in record.tables:
        prefix, _, subject = name.partition(":")
        recipe, _, mode = subject.rpartition(":")
        if prefix != "attack" or mode not in (*MODES, TAGS):
            continue
        common: dict[str, Any] = {
            "task": str(record.spec["task"]),
            "recipe": record.fingerprints.get(f"recipe:{recipe}") or {"name": recipe},
            "mode": mode,
            "victim": record.spec_id,
            "max_length": int(record.spec["settings"]["max_length"]),  # type: ignore[index, call-overload, arg-type]
        }
        table = store.tables(record, name)
        make = _tagged if mode == TAGS else _classified
        found += [make(row, common) for row in table[table["status"] == "success"].to_dict("records")]
    return found


def _classified(row: dict[Any, Any], common: dict[str, Any]) -> Example:
    text, perturbed = str(row["text"]), str(row["perturbed"])
    return Example(**common, id=str(row["id"]), text=text, perturbed=perturbed, label=int(row["label"]))


def _tagged(row: dict[Any, Any], common: dict[str, Any]) -> TaggedExample:
    """The table joins words and tags by spaces; no attacked word holds one."""
    columns = {"words": "text", "gold": "gold", "perturbed": "perturbed", "perturbed_gold": "perturbed_gold"}
    rows: dict[str, Any] = {name: tuple(filter(None, str(row[column]).split(" "))) for name, column in columns.items()}
    return TaggedExample(**common, **rows, id=str(row["id"]))


def write(path: Path, examples: Iterable[Found]) -> None:
    """Writes the file whole or not at all. Raises UserError when it cannot be written."""
    lines = [json.dumps(example.model_dump(mode="json"), allow_nan=False) + "\n" for example in examples]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, "".join(lines).encode("utf8"))
    except OSError as error:
        raise UserError(f"cannot write '{path}' ({error.strerror}); choose another file with --out.") from error


def read(path: Path) -> list[Found]:
    """The examples of a file. Raises UserError naming the line that is damaged, foreign or of a newer schema."""
    try:
        lines = path.read_text(encoding="utf8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read '{path}' ({error}); give a .jsonl file that `temper replay` wrote.") from error
    found: list[Found] = []
    for number, line in enumerate(lines, start=1):
        where = f"'{path}', line {number}"
        try:
            data = json.loads(line)
            version = data.get("schema_version") if isinstance(data, dict) else None
            if isinstance(version, int) and version > SCHEMA_VERSION:
                raise UserError(f"{where} has schema {version}, this suite reads {SCHEMA_VERSION}; update TemperBench.")
            kind = KINDS.get(version, Example) if isinstance(version, int) else Example
            found.append(kind.model_validate({"schema_version": None, **data}))
        except (json.JSONDecodeError, TypeError) as error:
            raise UserError(f"{where} is no JSON object ({error}); write the file again with temper replay.") from error
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(part) for part in first["loc"])
            raise UserError(f"{where} is no adversarial example ({place}: {first['msg']}).") from error
    if not found:
        raise UserError(f"'{path}' is empty; write it again with temper replay RESULTS.")
    return found
