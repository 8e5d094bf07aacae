"""The cache of finished stages: a stage is done when its folder has its final name.

A stage's key is a hash over everything that can change its result: the code it runs, its settings, the keys of its
inputs, the data and the versions of the libraries that matter. A killed stage leaves a `.partial` folder, which the
next run cleans up or, where the stage can, continues.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from training.errors import UserError

RESULT = "result.json"


class Work:
    """Finished and half-finished stages below one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.seconds = 0.0
        """How long the stage that was run or read last took to compute."""

    def done(self, stage: str, key: str) -> Path | None:
        """The folder of a finished stage, or None."""
        folder = self.folder / f"{stage}-{key}"
        return folder if (folder / RESULT).is_file() else None

    def run(
        self, stage: str, key: str, make: Callable[[Path], dict[str, Any]], *, resumable: bool = False
    ) -> tuple[Path, dict[str, Any]]:
        """The stage's folder and result; unless it is done, `make(folder)` writes its files and returns the result."""
        if folder := self.done(stage, key):
            stored = json.loads((folder / RESULT).read_text(encoding="utf8"))
            self.seconds = stored["seconds"]
            return folder, stored["result"]
        final, partial = self.folder / f"{stage}-{key}", self.folder / f"{stage}-{key}.partial"
        if not resumable:
            shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True, exist_ok=True)
        started = time.perf_counter()
        result = make(partial)
        seconds = round(time.perf_counter() - started, 3)
        report = {"seconds": seconds, "result": result}
        (partial / RESULT).write_text(json.dumps(report, allow_nan=False), encoding="utf8")
        shutil.rmtree(final, ignore_errors=True)
        partial.rename(final)
        self.seconds = seconds
        return final, result


def append_line(path: Path, row: dict[str, Any]) -> None:
    """Appends one JSON line and flushes it to disk, so that a kill loses at most the row being written."""
    with path.open("a", encoding="utf8") as stream:
        stream.write(json.dumps(row, allow_nan=False) + "\n")
        stream.flush()


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of a JSON-lines file; a torn last line is cut off the file, anything else broken is a UserError."""
    if not path.exists():
        return
    content = path.read_bytes()
    lines = content.split(b"\n")
    if lines[-1]:  # cut in place: a kill while the whole file is written again would lose all of it
        os.truncate(path, len(content) - len(lines[-1]))
    for number, line in enumerate(lines[:-1], start=1):
        try:
            yield json.loads(line)
        except json.JSONDecodeError as error:
            raise UserError(
                f"{path.name}, line {number} is damaged ({error.msg}); delete the file to redo it."
            ) from error


class Row(Protocol):
    """A finished example."""

    @property
    def id(self) -> str: ...

    def to_dict(self) -> dict[str, Any]: ...


Kept = TypeVar("Kept", bound=Row)


class Journal(Generic[Kept]):
    """The finished examples of a stage, in a file of JSON lines: kill -9 loses those in flight and no others.

    `finished`: id -> example, as `read` makes one of a row, in the order of the file. `tick` hears how many are there
    after each further one. Raises UserError for a damaged file.
    """

    def __init__(
        self, path: Path, read: Callable[[dict[str, Any]], Kept], tick: Callable[[int], None] | None = None
    ) -> None:
        self.path, self._tick = path, tick
        self.finished: dict[str, Kept] = {row["id"]: read(row) for row in read_lines(path)}

    def append(self, example: Kept) -> None:
        append_line(self.path, example.to_dict())
        self.finished[example.id] = example
        if self._tick:
            self._tick(len(self.finished))


def subset(items: Sequence[Any], count: int | None) -> list[Any]:
    """The first `count` items in the order of a hash of their ids: equal for every arm, nested for every size."""
    ordered = sorted(items, key=lambda item: hashlib.sha256(f"subset:{item.id}".encode()).digest())
    return ordered if count is None else ordered[:count]


@contextmanager
def locked(results: Path) -> Iterator[None]:
    """One run per results folder; the lock goes with the process, also after kill -9."""
    try:
        results.mkdir(parents=True, exist_ok=True)
        stream = (results / ".lock").open("w")
    except OSError as error:
        raise UserError(
            f"cannot write to the results folder '{results}' ({error.strerror}); choose another with --results."
        ) from error
    with stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise UserError(
                f"another run is writing to '{results}'; wait for it or choose another folder with --results."
            ) from error
        yield
