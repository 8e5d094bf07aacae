"""Reads labelled files (csv, tsv, jsonl, CoNLL) into rows. Texts are data: they come out exactly as they
stand."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from training import rationales
from training.errors import UserError
from training.task import MAX_CHARACTERS

CONLL = (".conll", ".bio", ".iob", ".iob2", ".txt")
SUFFIXES = (".csv", ".tsv", ".jsonl", *CONLL)


@dataclass(frozen=True)
class Columns:
    """The names a column may have, in order of preference."""

    text: tuple[str, ...] = ("text",)
    label: tuple[str, ...] = ("label",)
    words: tuple[str, ...] = ("tokens", "words")
    tags: tuple[str, ...] = ("ner_tags", "tags")
    rationale: tuple[str, ...] = ("rationale",)


@dataclass(frozen=True)
class Row:
    """One labelled text (`label`), or one sentence (`words` and `tags`). Labels and tags are as they stand in
    the file."""

    where: str  # file and line, for messages
    text: str
    label: str | None = None
    words: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    split: str | None = None
    rationale: tuple[int, ...] = ()  # marks, one per white-space word of the text


def read_rows(path: Path, columns: Columns | None = None) -> list[Row]:
    """The rows of a file, chosen by its suffix. Raises UserError: file, line, what was found, what to do."""
    columns = columns or Columns()
    readers: dict[str, Callable[[Path, str, Columns], Iterator[Row]]] = {
        ".csv": _delimited,
        ".tsv": _delimited,
        ".jsonl": _json_lines,
    }
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise UserError(f"{path}: files of type '{suffix}' are not read; give one of {', '.join(SUFFIXES)}")
    rows = list(readers.get(suffix, _conll)(path, decoded(path), columns))
    if not rows:
        raise UserError(f"{path}: the file holds no examples, only a header or blank lines; add some")
    return rows


def row_of(where: str, fields: Mapping[str, Any], columns: Columns) -> Row:
    """A Row from named fields: text and label, or words and tags. Raises UserError for missing or wrong
    ones."""
    text_name, words_name = _first(fields, columns.text), _first(fields, columns.words)
    split = fields.get("split")
    if words_name is not None and (tags_name := _first(fields, columns.tags)) is not None:
        words, tags = fields[words_name], fields[tags_name]
        for name, values in ((words_name, words), (tags_name, tags)):
            if not isinstance(values, Sequence) or isinstance(values, str):
                _refuse(where, f"'{name}' is {shown(values)}", "make it a list with one entry per word")
        return sentence(where, [_word(where, w) for w in words], [_label(where, t) for t in tags], split)
    label_name = _first(fields, columns.label)
    if text_name is None or label_name is None:
        lacking = columns.text if text_name is None else columns.label
        found = ", ".join(map(str, fields)) or "none"
        _refuse(
            where,
            f"there is no column '{' or '.join(lacking)}' (found: {found})",
            "name the columns text and label, or tokens and ner_tags",
        )
    text = _text(where, fields[text_name])
    reason = _first(fields, columns.rationale)
    return Row(
        where,
        text,
        _label(where, fields[label_name]),
        split=None if split is None else str(split),
        rationale=rationales.marks(where, text, fields[reason]) if reason else (),
    )


def sentence(where: str, words: Sequence[str], tags: Sequence[str], split: Any = None) -> Row:
    """A tagged Row; raises UserError when words and tags do not match or the sentence is too long or
    empty."""
    if len(words) != len(tags):
        _refuse(where, f"{len(words)} words but {len(tags)} tags", "give each word exactly one tag")
    text = _text(where, " ".join(words))
    return Row(where, text, None, tuple(words), tuple(tags), None if split is None else str(split))


def shown(value: object) -> str:
    """A value as it can stand in a one-line message."""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def decoded(path: Path) -> str:
    """A file's text. Raises UserError where it is missing, empty or not UTF-8."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise UserError(f"{path}: there is no such file; check the path") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); check its permissions") from error
    if not data.strip():
        raise UserError(f"{path}: the file is empty; it needs a header line and examples, or CoNLL sentences")
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise UserError(f"{path}: the file is UTF-16, only UTF-8 is read; save it again as UTF-8")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        start = error.start
        line = data.count(b"\n", 0, start) + 1
        raise UserError(
            f"{path} line {line}: byte 0x{data[start]:02x} (number {start + 1} of the file) is not UTF-8; "
            "save the file as UTF-8, for instance with: iconv -f WINDOWS-1252 -t UTF-8"
        ) from None


def _delimited(path: Path, content: str, columns: Columns) -> Iterator[Row]:
    delimiter = "\t" if path.suffix.lower() == ".tsv" else ","
    reader = csv.reader(io.StringIO(content, newline=""), delimiter=delimiter, strict=True)
    header: list[str] | None = None
    line = 1
    try:
        for record in reader:
            where, line = f"{path} line {line}", reader.line_num + 1
            if not record or (len(record) == 1 and not record[0].strip()):
                continue
            if header is None:
                header = _header(where, record, delimiter, columns)
            elif len(record) != len(header):
                _refuse(
                    where,
                    f"{len(record)} fields where the header has {len(header)}",
                    f"put quotes around a text that holds the separator {shown(delimiter)} or a line break",
                )
            else:
                yield row_of(where, dict(zip(header, record, strict=True)), columns)
    except csv.Error as error:
        if "field limit" in str(error):
            _too_long(f"{path} line {line}", f"more than {csv.field_size_limit():,}")
        _refuse(f"{path} line {line}", f"{error}", "close every quote, and double a quote inside a quoted text")


def _header(where: str, record: list[str], delimiter: str, columns: Columns) -> list[str]:
    names = [name.strip().casefold() for name in record]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        _refuse(where, f"the column '{repeated[0]}' stands twice in the header", "rename or remove one")
    for kind in (columns.text, columns.label):
        if _first(dict.fromkeys(names), kind) is None:
            other = next((sign for sign in ";\t,|" if sign != delimiter and sign in "".join(record)), None)
            hint = f"; the columns look separated by {shown(other)}, not {shown(delimiter)}" if other else ""
            _refuse(
                where,
                f"there is no column '{' or '.join(kind)}' (found: {', '.join(map(shown, record))}{hint})",
                "begin the file with a header that names the columns text and label",
            )
    return names


def _json_lines(path: Path, content: str, columns: Columns) -> Iterator[Row]:
    for number, line in enumerate(content.split("\n"), start=1):  # splitlines would also cut at U+2028 in a text
        where = f"{path} line {number}"
        if not line.strip():
            continue
        try:
            fields = json.loads(line, parse_constant=float)
        except (ValueError, RecursionError) as error:
            other = "nested too deeply" if isinstance(error, RecursionError) else "a number of too many digits"
            reason = getattr(error, "msg", other)
            _refuse(where, f"not JSON ({reason}): {shown(line[:40])}", "put one object on each line")
        if not isinstance(fields, dict):
            _refuse(where, f"{shown(fields)} is no object", 'write lines like {"text": "...", "label": "..."}')
        yield row_of(where, fields, columns)


def _conll(path: Path, content: str, columns: Columns) -> Iterator[Row]:
    words: list[str] = []
    tags: list[str] = []
    width = first = 0
    lines = content.replace("\r\n", "\n").replace("\r", "\n").split("\n")  # of Windows, and of old Macs
    for number, line in enumerate([*lines, ""], start=1):
        parts = [part.strip() for part in line.rstrip().split("\t")] if "\t" in line else line.split()
        if not line.strip() or parts[0] == "-DOCSTART-":
            if words:
                yield sentence(f"{path} line {first}", words, tags)
            words, tags = [], []
            continue
        where = f"{path} line {number}"
        if len(parts) < 2 or len(parts) != (width or len(parts)):
            wanted = f"{width} as before" if width else "at least 2"
            _refuse(
                where,
                f"{len(parts)} columns instead of {wanted}: {shown(line)}",
                "each line needs a word and, in the last column, its tag; a blank line ends a sentence",
            )
        width = len(parts)
        first = first if words else number
        words.append(_word(where, parts[0]))
        tags.append(_label(where, parts[-1]))


def _first(fields: Mapping[str, Any], names: Sequence[str]) -> str | None:
    return next((name for name in names if name in fields), None)


def _text(where: str, value: Any) -> str:
    if not isinstance(value, str):
        _refuse(where, f"the text is {shown(value)}", "write the text as a string, or remove the row")
    if not value.strip() or value.strip() in ("nan", "NaN"):
        _refuse(where, f"the text is empty ({shown(value)})", "fill it in or remove the row")
    if len(value) > MAX_CHARACTERS:
        _too_long(where, f"{len(value):,}")
    return _unicode(where, "text", value)


def _word(where: str, value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        _refuse(where, f"a word is {shown(value)}", "words are non-empty strings")
    if " " in value.strip():  # tables keep a sentence as its words with a space between
        _refuse(where, f"the word {shown(value)} holds a space", "give each of its words an entry and a tag of its own")
    return value


def _label(where: str, value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if not isinstance(value, str | int):
        _refuse(where, f"the label is {shown(value)}", "write labels as strings or whole numbers")
    label = str(value).strip()
    if label in ("", "nan", "NaN", "null", "<NA>"):
        _refuse(where, f"the label is empty ({shown(value)})", "fill it in or remove the row")
    return _unicode(where, "label", label)


def _unicode(where: str, what: str, value: str) -> str:
    """JSON can spell half a surrogate pair, which is no character and cannot be written as UTF-8."""
    try:
        value.encode()
    except UnicodeEncodeError as error:
        half = value[error.start]
        _refuse(where, f"the {what} has {shown(half)}, half a character", "write the whole one, or remove it")
    return value


def _too_long(where: str, characters: str) -> NoReturn:
    _refuse(
        where,
        f"the text has {characters} characters, at most {MAX_CHARACTERS:,} are allowed",
        "cut it into pieces or remove the row",
    )


def _refuse(where: str, found: str, advice: str) -> NoReturn:
    raise UserError(f"{where}: {found}; {advice}")
