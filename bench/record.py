"""What happened: the Record of one Spec, immutable, strict JSON, schema number first.

Unknown is `None` with a status beside it, never 0. NaN and infinity do not exist in a Record.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from typing import Annotated, Any, Literal, Self

import pydantic_core
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    ValidationError,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    field_validator,
    model_validator,
)

from training.errors import UserError

SCHEMA_VERSION = 1
Status = Literal["ok", "failed", "not_applicable"]
Cell = str | int | float | bool | None
INFINITE = frozenset((math.inf, -math.inf))
PARSED = "parsed"  # the context of a check of what a JSON parser gave, so of no types but its own

# The one place that says what is a measurement of this machine and moment rather than of the model: summary
# entries and table columns whose name ends so. `comparable` leaves them out.
TIMING_SUFFIXES = ("seconds", "_bytes", "per_second")


def is_timing(name: str) -> bool:
    """True for the name of a summary entry or a table column that two equal runs may differ in."""
    return name.endswith(TIMING_SUFFIXES)


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class StageResult(_Frozen):
    """How one stage (train, evaluate, attack:<recipe>:<mode>, ...) ended; a reason is due unless it is ok."""

    status: Status
    reason: str | None = None
    seconds: float | None = Field(default=None, ge=0)

    @model_validator(mode="after")
    def _says_why(self) -> Self:
        if self.status != "ok" and not self.reason:
            raise ValueError(f"status '{self.status}' needs a reason")
        return self


def _inline(columns: Any, check: ValidatorFunctionWrapHandler, info: ValidationInfo) -> Any:
    """Looks cell by cell only into the columns that need it: most are nothing but text, or nothing but numbers."""
    if info.context != PARSED or not isinstance(columns, dict):
        return check(columns)
    for cells in columns.values():
        if type(cells) is not list or not _plain(cells):
            return check(columns)
    return columns


def _plain(cells: Sequence[Any]) -> bool:
    """True where it is sure that among cells from JSON none is nested or infinite, mostly at the speed of a sum."""
    try:
        if cells and type(cells[0]) is str:
            "".join(cells)
            return True
        return math.isfinite(sum(cells))
    except (TypeError, OverflowError):  # some are None, or a number is huge
        return _flat(cells)


def _flat(cells: Sequence[Any]) -> bool:
    """The same of any cells from JSON, at the speed of a set."""
    try:
        return INFINITE.isdisjoint(set(cells))
    except TypeError:  # of what JSON knows, only what is nested cannot be hashed
        return False


class Table(_Frozen):
    """Where the rows of a table are: in the Record itself, or in a parquet file beside it.

    `content_sha256` is over the columns that are no timings, so that `comparable` needs no second file.
    """

    inline: Annotated[dict[str, list[Cell]], WrapValidator(_inline)] | None = None
    parquet: str | None = None
    sha256: str | None = Field(default=None, pattern="^[0-9a-f]{64}$")
    content_sha256: str | None = Field(default=None, pattern="^[0-9a-f]{64}$")

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if (self.inline is None) == (self.parquet is None):
            raise ValueError("a table is either inline or in a parquet file")
        if self.parquet is not None and (self.sha256 is None or self.content_sha256 is None):
            raise ValueError("a parquet table needs sha256 and content_sha256")
        if self.inline is not None and len(set(map(len, self.inline.values()))) > 1:
            raise ValueError("the columns of an inline table differ in length")
        return self


class Record(_Frozen):
    """One cell: task x model x mitigation x seed. `results/README.md` describes every field."""

    schema_version: Literal[1] = 1
    spec_id: str = Field(min_length=1)
    spec: dict[str, JsonValue]
    status: Literal["ok", "failed"]
    reason: str | None = None
    created: str = Field(description="UTC, ISO 8601")
    environment: dict[str, JsonValue]
    fingerprints: dict[str, JsonValue]
    stages: dict[str, StageResult]
    summary: dict[str, JsonValue]
    tables: dict[str, Table]

    @field_validator("created")
    @classmethod
    def _utc(cls, value: str) -> str:
        offset = datetime.fromisoformat(value).utcoffset()
        if offset is None or offset.total_seconds() != 0:
            raise ValueError(f"'{value}' is not a UTC time; write for example 2026-01-31T12:00:00+00:00")
        return value

    @model_validator(mode="after")
    def _says_why(self) -> Self:
        if self.status == "failed" and not self.reason:
            raise ValueError("status 'failed' needs a reason")
        return self

    @property
    def complete(self) -> bool:
        """True when the run and every stage of it ended without failure."""
        return self.status == "ok" and all(stage.status != "failed" for stage in self.stages.values())


def to_json(record: Record) -> str:
    """Strict JSON with the schema number first; the same Record gives the same text."""
    return json.dumps(record.model_dump(mode="json"), indent=1, ensure_ascii=True, allow_nan=False) + "\n"


def from_json(text: str | bytes, source: str = "the record") -> Record:
    """Parses and checks. Raises UserError naming `source` when it is torn, foreign or of another schema.

    Raises UnicodeDecodeError for bytes that are not UTF-8.
    """
    with suppress(ValueError):  # what the faster parser refuses, the other one explains
        return Record.model_validate(pydantic_core.from_json(text, allow_inf_nan=False), context=PARSED)

    if isinstance(text, bytes):
        text = text.decode("utf8")

    def refuse(constant: str) -> None:
        raise ValueError(f"{constant} is no JSON number")

    try:
        data = json.loads(text, parse_constant=refuse)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{source} is torn or no JSON ({error}); delete it and run again to redo it.") from error
    version = data.get("schema_version") if isinstance(data, dict) else None
    if isinstance(version, int) and version > SCHEMA_VERSION:
        raise UserError(f"{source} has schema {version}, this suite reads up to {SCHEMA_VERSION}; update TemperBench.")
    try:
        return Record.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise UserError(
            f"{source} is no TemperBench record ({where}: {first['msg']}); "
            "move it elsewhere, or delete it and run again to redo it."
        ) from error


def comparable(record: Record) -> dict[str, Any]:
    """What must be equal between two runs of one Spec: all but times, memory and environment."""
    tables: dict[str, Any] = {}
    for name, table in record.tables.items():
        if table.inline is None:
            tables[name] = table.content_sha256
        else:
            tables[name] = {column: rows for column, rows in table.inline.items() if not is_timing(column)}
    return {
        "spec_id": record.spec_id,
        "spec": record.spec,
        "status": record.status,
        "reason": record.reason,
        "fingerprints": record.fingerprints,
        "stages": {name: (stage.status, stage.reason) for name, stage in record.stages.items()},
        "summary": {name: value for name, value in record.summary.items() if not is_timing(name)},
        "tables": tables,
    }
