"""A folder of Records: `<results>/records/<spec_id>.json`, large tables as parquet beside them.

Every file appears whole or not at all. A parquet file is named by its content and written first, so a JSON
file never points at rows that are not its own. Merging the records of two machines is a copy of files.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import os
import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from bench.record import Record, Table, comparable, from_json, is_timing, to_json
from training.errors import UserError

INLINE_ROWS = 1000
Columns = Mapping[str, Sequence[Any]]
_ID = re.compile(r"[A-Za-z0-9_+][A-Za-z0-9_.+-]{0,229}")


class StoreError(UserError):
    """A record that cannot be read, or two that contradict each other; names the file and the way out."""


class Store:
    """Reads and writes the records below `folder`; `write=True` makes the folder and tries it out at once.

    Raises StoreError when `write` is asked and the folder cannot be written to.
    """

    def __init__(self, folder: Path | str, *, write: bool = False) -> None:
        self.folder = Path(folder)
        self.records = self.folder / "records"
        if write:
            self.check_writable()

    def check_writable(self) -> None:
        """Creates the folder and one temporary file in it. Raises StoreError in one clear line."""
        try:
            self.records.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.records):
                pass
        except OSError as error:
            raise StoreError(
                f"cannot write to the results folder '{self.folder}' ({error.strerror}); choose another with --results."
            ) from error

    def ids(self) -> list[str]:
        """The spec ids in the store, sorted; empty when the folder does not exist."""
        return sorted(path.stem for path in self.records.glob("*.json") if not path.name.startswith("."))

    def has(self, spec_id: str) -> bool:
        return self._path(spec_id).is_file()

    def read(self, spec_id: str) -> Record:
        """The Record of a spec id. Raises StoreError when it is missing, torn, foreign or newer."""
        return self.weighed(spec_id)[0]

    def weighed(self, spec_id: str) -> tuple[Record, int]:
        """As `read`, with the bytes of its JSON file."""
        path = self._path(spec_id)
        try:
            with open(path, "rb", buffering=0) as file:  # noqa: PTH123 (of a hundred thousand files, a third sooner)
                data = file.read()
            record = from_json(data, f"'{path}'")
        except FileNotFoundError as error:
            raise StoreError(f"no record '{spec_id}' in '{self.folder}'; `temper run` makes it.") from error
        except UnicodeDecodeError as error:
            raise StoreError(f"'{path}' is torn or no JSON; delete it and run again to redo it.") from error
        except OSError as error:
            raise StoreError(f"cannot read '{path}' ({error.strerror}).") from error
        except UserError as error:
            raise StoreError(str(error)) from error
        if record.spec_id != spec_id:
            raise StoreError(
                f"'{path}' holds the record of '{record.spec_id}'; "
                "give the file that name, or delete it and run again to redo it."
            )
        return record, len(data)

    def __iter__(self) -> Iterator[Record]:
        """The records in the order of their ids, one in memory at a time."""
        return (self.read(spec_id) for spec_id in self.ids())

    def tables(self, record: Record, name: str) -> pd.DataFrame:
        """One table of a record. Raises KeyError for one it does not have, StoreError for a damaged file."""
        inline = record.tables[name].inline
        return self._parquet(record, name) if inline is None else pd.DataFrame(inline)

    def columns(self, record: Record, name: str) -> Columns:
        """As `tables`, as column -> cells with None for what is unknown: no data frame, which takes 1 ms a table."""
        inline = record.tables[name].inline
        return columns_of(self._parquet(record, name)) if inline is None else inline

    def _parquet(self, record: Record, name: str) -> pd.DataFrame:
        table = record.tables[name]
        file = str(table.parquet)
        if not _ID.fullmatch(file):
            raise StoreError(f"'{self._path(record.spec_id)}' points at the file name '{file}', which is not allowed.")
        path = self.records / file
        advice = f"delete '{self._path(record.spec_id).name}' and run again to redo it."
        try:
            data = path.read_bytes()
        except OSError as error:
            raise StoreError(f"cannot read '{path}' ({error.strerror}); {advice}") from error
        if hashlib.sha256(data).hexdigest() != table.sha256:
            raise StoreError(f"'{path}' is not the file its record was written with (sha256 differs); {advice}")
        return pd.read_parquet(io.BytesIO(data))

    def write(self, record: Record, tables: Mapping[str, pd.DataFrame], *, replace: bool = False) -> Record:
        """Stores `record` with `tables` in place of its own, and returns the Record as stored.

        A complete record is never overwritten: the same result again leaves the first one as it is, another
        result raises StoreError naming what differs (unless `replace`). A record with a failure gives way to
        its retry.
        """
        prepared = {name: _table(record.spec_id, name, frame) for name, frame in tables.items()}
        record = record.model_copy(update={"tables": {name: table for name, (table, _) in prepared.items()}})
        record = Record.model_validate(record.model_dump())
        path = self._path(record.spec_id)
        old = self.read(record.spec_id) if self.has(record.spec_id) and not replace else None
        if old is not None and old.complete:
            _refuse_conflict(old, record, path)
            return old
        self.check_writable()
        for table, data in prepared.values():
            if data is not None and table.parquet is not None:
                write_atomic(self.records / table.parquet, data)
        write_atomic(path, to_json(record).encode("utf8"))
        self._sweep(record)
        return record

    def supersede(self, spec_id: str) -> Path:
        """Sets a record aside in `<folder>/superseded`, where nothing reads it; returns its new place.

        For a record made by other code, or a failed one that is tried again. Raises StoreError when there is none.
        """
        path = self._path(spec_id)
        try:
            data = path.read_bytes()
            aside = self.folder / "superseded"
            aside.mkdir(parents=True, exist_ok=True)
            for table in self.records.glob(f"{_stem(spec_id)}.*.parquet"):
                write_atomic(aside / table.name, table.read_bytes())
            kept = aside / f"{_stem(spec_id)}.{hashlib.sha256(data).hexdigest()[:12]}.json"
            write_atomic(kept, data)
            path.unlink()
        except OSError as error:
            raise StoreError(f"cannot set '{path}' aside ({error.strerror}).") from error
        for table in self.records.glob(f"{_stem(spec_id)}.*.parquet"):
            table.unlink(missing_ok=True)
        return kept

    def _sweep(self, record: Record) -> None:
        """Removes parquet files of earlier, replaced versions of this record."""
        wanted = {table.parquet for table in record.tables.values()}
        for path in self.records.glob(f"{_stem(record.spec_id)}.*.parquet"):
            if path.name not in wanted:
                path.unlink(missing_ok=True)

    def _path(self, spec_id: str) -> Path:
        if not _ID.fullmatch(spec_id):
            raise StoreError(f"'{spec_id[:80]}' is no spec id; allowed are letters, digits and _.+-, at most 230.")
        return self.records / f"{spec_id}.json"


def columns_of(table: Columns | pd.DataFrame) -> Columns:
    """A table as column -> cells, None for what is unknown; columns are handed through as they are."""
    if not isinstance(table, pd.DataFrame):
        return table
    return {str(name): table[name].astype(object).where(table[name].notna(), None).tolist() for name in table}


def write_atomic(path: Path, data: bytes) -> None:
    """Writes a file that is the old one or the new one at any moment, also after kill -9 or a power cut."""
    write_parts(path, [data])


def write_parts(path: Path, parts: Iterable[bytes]) -> None:
    """The same of a file that is too large to be held whole."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.writelines(parts)
            stream.flush()
            os.fsync(stream.fileno())
        umask = os.umask(0)
        os.umask(umask)
        Path(temporary).chmod(0o666 & ~umask)
        os.replace(temporary, path)  # noqa: PTH105 (Path.replace says the same; this is the word POSIX uses)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _stem(spec_id: str) -> str:
    """The first part of a parquet file's name: readable, no longer than a file system allows."""
    return f"{spec_id[:100]}.{hashlib.sha256(spec_id.encode()).hexdigest()[:12]}"


def _table(spec_id: str, name: str, frame: pd.DataFrame) -> tuple[Table, bytes | None]:
    columns = {str(column): [_cell(value) for value in frame[column].tolist()] for column in frame.columns}
    if len(frame) <= INLINE_ROWS:
        return Table(inline=columns), None
    buffer = io.BytesIO()
    pd.DataFrame(columns).to_parquet(buffer, index=False)
    digest = hashlib.sha256(buffer.getvalue()).hexdigest()
    content = json.dumps({c: rows for c, rows in columns.items() if not is_timing(c)}, allow_nan=False)
    slug = re.sub(r"[^A-Za-z0-9_+-]+", "-", name)[:60]
    table = Table(
        parquet=f"{_stem(spec_id)}.{slug}.{digest[:12]}.parquet",
        sha256=digest,
        content_sha256=hashlib.sha256(content.encode()).hexdigest(),
    )
    return table, buffer.getvalue()


def _cell(value: Any) -> Any:
    """A cell as strict JSON knows it; NaN, infinity and pandas' NA are unknown, so None."""
    if value is None or value is pd.NA or value is pd.NaT:
        return None
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, (bool, int, str)):
        return value
    if hasattr(value, "item"):
        return _cell(value.item())
    raise TypeError(f"a table cell is a {type(value).__name__}; numbers, strings, booleans and None can be stored")


def _refuse_conflict(old: Record, new: Record, path: Path) -> None:
    first, second = comparable(old), comparable(new)
    if first == second:
        return
    differing = [key for key in first if first[key] != second[key]]
    names = (
        [
            f"table {n}"
            for n in sorted(first["tables"].keys() | second["tables"].keys())
            if first["tables"].get(n) != second["tables"].get(n)
        ]
        if "tables" in differing
        else []
    )
    listed = ", ".join([key for key in differing if key != "tables"] + names)
    raise StoreError(
        f"'{path}' already holds another result of the same spec (differing: {listed}); "
        "keep one of the two: delete the file, or write to another results folder."
    )
