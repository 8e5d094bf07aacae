"""The user's own data as a Task: one file, or a folder with a file per split.

Files: .csv, .tsv, .jsonl with the columns text and label (and split, if wanted); CoNLL files (word first, tag
last, blank line between sentences); .jsonl with tokens and ner_tags. Tag schemes IOB1, IOBES and BILOU are
converted to BIO (IOB2), and the task's notes say so. A column `rationale` marks the words that justify the label
(training/rationales.py). Folders of ERASER and HateXplain are read as published (training/rationale_layouts.py).

A text occurs once in a Task. Repeats are dropped, from train before validation before test; a text with two
labels inside a split goes altogether. Where no split is given it is made by the text's hash: 70/10/20.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from training.errors import UserError
from training.rationale_layouts import published
from training.rows import SUFFIXES, Row, read_rows, shown
from training.task import Example, Task, classified, split_by_text, tagged, without_duplicates

SPLIT_NAMES = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev", "development"),
    "test": ("test", "testing"),
}
ALL = {"train": 0.7, "validation": 0.1, "test": 0.2}
HELD_OUT = {"train": 0.9, "validation": 0.1}
_PREFIXES = {"B": "B", "I": "I", "S": "B", "U": "B", "E": "I", "L": "I"}


def load_file(path: Path, *, seed: int = 0, name: str | None = None) -> Task:
    """The Task in a file or folder; `seed` chooses another hashed split, `name` defaults to the file's.

    Raises UserError, one line with file, line, what was found and what to do, for anything that is not right.
    """
    path = Path(path)
    splits = (published(path) or _folder(path)) if path.is_dir() else _columns_split(read_rows(path))
    name = name or (path.resolve().name if path.is_dir() else path.stem)
    return assemble(name, splits, source=path.name or str(path), seed=seed)


def assemble(
    name: str,
    splits: Mapping[str, Sequence[Row]],
    *,
    source: str,
    licence: str = "the user's own data",
    labels: Sequence[str] | None = None,
    notes: Sequence[str] = (),
    seed: int = 0,
) -> Task:
    """A checked Task from rows by split (`train` and maybe `validation`, `test`; missing ones are made from
    train).

    `labels` fixes names and order; by default they are train's, sorted (numbers by value).
    """
    notes = list(notes)
    parts = {split: list(rows) for split, rows in splits.items()}
    kinds = {row.label is None: row.where for rows in parts.values() for row in rows}
    if len(kinds) > 1:
        raise UserError(f"{kinds[True]} has tagged words, but {kinds[False]} has a text with a label; keep to one kind")
    if tagging := True in kinds:
        parts = {split: _as_bio(rows, notes) for split, rows in parts.items()}
    parts = _complete(parts, notes, f"{source}: ", seed)
    names = tuple(labels) if labels is not None else _label_names(parts["train"], tagging)
    index = {label: i for i, label in enumerate(names)}
    examples = {split: [_example(row, index, split) for row in rows] for split, rows in parts.items()}
    distinct = _distinct(examples, notes)
    for split, rows in distinct.items():
        if reasons := sum(bool(example.rationale) for example in rows):
            notes.append(f"{split}: {reasons} of {len(rows)} texts have a human rationale")
    return Task(
        name=name,
        kind="tagging" if tagging else "classification",
        labels=names,
        train=tuple(distinct["train"]),
        validation=tuple(distinct["validation"]),
        test=tuple(distinct["test"]),
        out_of_domain={},
        licence=licence,
        source=source,
        version=1,
        notes=tuple(notes),
    ).check()


def split_name(given: str) -> str | None:
    """`train`, `validation` or `test` from any usual spelling; None for another word."""
    plain = given.strip().casefold()
    return next((split for split, spellings in SPLIT_NAMES.items() if plain in spellings), None)


def _folder(path: Path) -> dict[str, list[Row]]:
    files: dict[str, Path] = {}
    for file in sorted(path.iterdir()):
        split = split_name(file.stem)
        if split is None or file.suffix.lower() not in SUFFIXES or not file.is_file():
            continue
        if split in files:
            raise UserError(f"{path}: {files[split].name} and {file.name} are both the {split} split; keep one of them")
        files[split] = file
    if "train" not in files:
        found = ", ".join(sorted(file.name for file in path.iterdir())[:6]) or "nothing"
        raise UserError(
            f"{path}: the folder has no train file (found: {found}); it needs train, and may have "
            f"validation and test, each as one of {', '.join(SUFFIXES)}"
        )
    return {split: read_rows(file) for split, file in files.items()}


def _columns_split(rows: list[Row]) -> dict[str, list[Row]]:
    if all(row.split is None for row in rows):
        return {"train": rows}
    splits: dict[str, list[Row]] = {}
    for row in rows:
        split = split_name(row.split or "")
        if split is None:
            raise UserError(f"{row.where}: the split is {shown(row.split)}; write train, validation or test")
        splits.setdefault(split, []).append(row)
    if "train" not in splits:
        raise UserError(f"{rows[0].where}: no row has the split 'train'; mark the rows to train on")
    return splits


def _complete(parts: dict[str, list[Row]], notes: list[str], where: str, seed: int) -> dict[str, list[Row]]:
    """Adds the splits that are missing."""
    fractions = HELD_OUT
    if "test" not in parts and "validation" in parts:
        parts["test"] = parts.pop("validation")
        notes.append("no test split was given: the validation split is the test, validation is made from train")
    elif "test" not in parts:
        fractions = ALL
    if "validation" in parts:
        return parts
    rows = parts["train"]
    cut: dict[str, list[Row]] = {split: [] for split in fractions}
    salt = f"seed {seed}" if seed else ""
    for row, split in zip(rows, split_by_text((row.text for row in rows), fractions, salt), strict=True):
        cut[split].append(row)
    for split, chosen in cut.items():
        if not chosen:
            raise UserError(
                f"{where}{len(rows)} rows are too few to make a {split} split from; add rows, or say which "
                "row is for what in a column split (train, validation, test)"
            )
    return parts | cut


def _label_names(train: Sequence[Row], tagging: bool) -> tuple[str, ...]:
    if tagging:
        types = sorted({tag.partition("-")[2] for row in train for tag in row.tags} - {""})
        return ("O", *(f"{prefix}-{kind}" for kind in types for prefix in "BI"))
    labels = {row.label for row in train if row.label is not None}
    try:
        return tuple(sorted(labels, key=int))
    except ValueError:
        return tuple(sorted(labels))


def _example(row: Row, index: Mapping[str, int], split: str) -> Example:
    for label in row.tags if row.label is None else (row.label,):
        if label not in index:
            known = ", ".join(list(index)[:12])
            raise UserError(
                f"{row.where}: the {split} split has the label {shown(label)}, which train lacks (known: "
                f"{known}); correct it, or add training examples of it"
            )
    if row.label is None:
        return tagged(row.words, [index[tag] for tag in row.tags])
    return classified(row.text, index[row.label], row.rationale)


def _distinct(examples: Mapping[str, list[Example]], notes: list[str]) -> dict[str, list[Example]]:
    distinct: dict[str, list[Example]] = {}
    taken: set[str] = set()
    for split in ("test", "validation", "train"):
        once, repeats, contradicted = without_duplicates(examples[split])
        distinct[split] = [example for example in once if example.id not in taken]
        elsewhere = len(once) - len(distinct[split])
        taken |= {example.id for example in once}
        for count, what in (
            (repeats, "repeats"),
            (contradicted, "texts with contradicting labels"),
            (elsewhere, "texts that a held-out split has too"),
        ):
            if count:
                notes.append(f"{split}: {count} {what} dropped")
    return distinct


def _as_bio(rows: Sequence[Row], notes: list[str]) -> list[Row]:
    converted, changed = [], 0
    for row in rows:
        tags = bio(row.tags, row.where)
        changed += sum(old != new for old, new in zip(row.tags, tags, strict=True))
        converted.append(Row(row.where, row.text, None, row.words, tuple(tags), row.split))
    if changed:
        notes.append(f"{changed} tags rewritten to BIO (IOB2) from IOB1, IOBES or BILOU")
    return converted


def bio(tags: Sequence[str], where: str) -> list[str]:
    """IOB2 tags from IOB1, IOB2, IOBES or BILOU. Raises UserError for a tag of no such form."""
    out: list[str] = []
    before = closed = ""
    for tag in tags:
        prefix, dash, kind = tag.partition("-")
        if tag != "O" and (prefix not in _PREFIXES or not dash or not kind):
            raise UserError(
                f"{where}: unknown tag {shown(tag)}; tags are O, or one of B- I- (also E- S-, L- U-) and a "
                "type, as B-PER"
            )
        plain = _PREFIXES.get(prefix, "O")
        if plain == "I" and (kind != before or closed):
            plain = "B"  # IOB1, or the continuation of an entity that E-, S-, L- or U- has ended
        out.append("O" if tag == "O" else f"{plain}-{kind}")
        before, closed = kind, "yes" if prefix in ("E", "S", "L", "U") else ""
    return out
