"""Data sets with human rationales, in the files their authors publish: the ERASER benchmark's and HateXplain's.

ERASER (DeYoung et al. 2020, arXiv 1911.03429): a folder with train.jsonl, val.jsonl, test.jsonl and `docs/`, one file
of white-space tokens per document; a line has `classification`, `evidences` (groups of spans, `start_token` inclusive
and `end_token` exclusive, in the document `docid`) and a `query`. HateXplain (Mathew et al. 2021, arXiv 2012.10289):
`dataset.json` and `post_id_divisions.json`; three annotators give a label each, and those who call a post hateful or
offensive mark its words.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from training.errors import UserError
from training.rationales import majority
from training.rows import Row, decoded, shown
from training.task import MAX_CHARACTERS

ERASER = {"train": "train.jsonl", "validation": "val.jsonl", "test": "test.jsonl"}
HATEXPLAIN = {"train": "train", "validation": "val", "test": "test"}
POSTS, DIVISIONS, DOCUMENTS = "dataset.json", "post_id_divisions.json", "docs"
Splits = dict[str, list[Row]]


def published(folder: Path) -> Splits | None:
    """The splits of a folder in one of the two layouts; None where it is in neither. Raises UserError."""
    if (folder / DOCUMENTS).is_dir():
        return _eraser(folder)
    if (folder / POSTS).is_file() and (folder / DIVISIONS).is_file():
        return _hatexplain(folder)
    return None


def posts(found: Iterable[tuple[str, Mapping[str, Any]]]) -> list[Row]:
    """HateXplain's posts with the label that two annotators agree on; where all three differ, the post is left out, as
    its authors do. A word is marked by more than half of those who marked any. Raises UserError."""
    rows = []
    for where, fields in found:
        try:
            labels, tokens = _labels(fields["annotators"]), list(fields["post_tokens"])
            every = [list(marked) for marked in fields["rationales"]]
        except (KeyError, TypeError) as error:
            lacking = "it needs annotators, post_tokens and rationales"
            raise UserError(f"{where}: no post of HateXplain ({error}); {lacking}") from None
        if any(len(marked) != len(tokens) for marked in every):
            raise UserError(f"{where}: {len(tokens)} tokens, but a rationale of another length; get the file again")
        label, votes = Counter(labels).most_common(1)[0]
        if 2 * votes > len(labels):
            rows.append(_row(where, tokens, label, majority(every)))
    return rows


def _labels(annotators: Any) -> list[str]:
    """A list of objects in the authors' file, an object of lists in the hub's."""
    given = annotators["label"] if isinstance(annotators, Mapping) else [one["label"] for one in annotators]
    return [str(label) for label in given]


def _row(where: str, tokens: list[str], label: str, marked: tuple[int, ...]) -> Row:
    text = " ".join(tokens)
    if len(text) > MAX_CHARACTERS:
        raise UserError(f"{where}: the text has {len(text):,} characters, at most {MAX_CHARACTERS:,} are allowed")
    # a token may hold white space, and a text's words are what stands between it
    spread = tuple(mark for token, mark in zip(tokens, marked, strict=True) for _ in token.split()) if marked else ()
    return Row(where, text, label, rationale=spread)


def _hatexplain(folder: Path) -> Splits:
    every, divisions = _json(folder / POSTS), _json(folder / DIVISIONS)
    splits: Splits = {}
    for split, name in HATEXPLAIN.items():
        ids = divisions.get(name)
        if not isinstance(ids, list) or (lacking := next((one for one in ids if one not in every), None)):
            found = "no such list" if not isinstance(ids, list) else f"{shown(lacking)} is no post of {POSTS}"
            raise UserError(f"{folder / DIVISIONS}: {name}: {found}; get both files again")
        splits[split] = posts((f"{folder / POSTS}, post {one}", every[one]) for one in ids)
    return splits


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(decoded(path))
    except ValueError as error:
        raise UserError(f"{path}: not JSON ({error}); get the file again") from None
    if not isinstance(found, dict):
        raise UserError(f"{path}: {shown(found)} is no object; get the file again")
    return found


def _eraser(folder: Path) -> Splits:
    documents: dict[str, list[str]] = {}
    splits: Splits = {}
    for split, name in ERASER.items():
        lines = [line for line in decoded(folder / name).split("\n") if line.strip()]
        asked = [_line(f"{folder / name} line {number}", line) for number, line in enumerate(lines, start=1)]
        # a question that is the same everywhere says nothing; others stand before the document
        varied = len({str(fields.get("query")) for _, fields in asked}) > 1
        splits[split] = [_answer(where, fields, varied, folder, documents) for where, fields in asked]
    return splits


def _line(where: str, line: str) -> tuple[str, dict[str, Any]]:
    try:
        fields = json.loads(line)
    except ValueError as error:
        raise UserError(f"{where}: not JSON ({error}); get the file again") from None
    if not isinstance(fields, dict) or not {"classification", "evidences", "annotation_id"} <= fields.keys():
        raise UserError(f"{where}: no annotation of ERASER; it needs annotation_id, classification and evidences")
    return where, fields


def _answer(where: str, fields: Mapping[str, Any], asks: bool, folder: Path, documents: dict[str, list[str]]) -> Row:
    try:
        spans = [
            (s["docid"], int(s["start_token"]), int(s["end_token"])) for group in fields["evidences"] for s in group
        ]
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{where}: an evidence without docid, start_token or end_token ({error}); repair it") from None
    names = fields.get("docids") or sorted({name for name, _, _ in spans}) or [fields["annotation_id"]]
    tokens = str(fields.get("query") or "").split() if asks else []
    marked = [0] * len(tokens)
    for name in names:
        words = documents.setdefault(name, _document(where, folder, str(name)))
        own = [0] * len(words)
        for _, start, end in (span for span in spans if span[0] == name):
            if not 0 <= start < end <= len(words):
                raise UserError(f"{where}: the span {start} to {end} lies outside '{name}', of {len(words)} tokens")
            own[start:end] = [1] * (end - start)
        tokens, marked = tokens + words, marked + own
    return _row(where, tokens, str(fields["classification"]), tuple(marked) if any(marked) else ())


def _document(where: str, folder: Path, name: str) -> list[str]:
    home = (folder / DOCUMENTS).resolve()
    path = (home / name).resolve()
    if not path.is_relative_to(home) or not path.is_file():
        raise UserError(f"{where}: there is no document {shown(name)} in {folder / DOCUMENTS}; get the data again")
    return decoded(path).split()
