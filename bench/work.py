"""The cache of finished stages: a stage is done when its folder has its final name.

A stage's key is a hash over everything that can change its result: the code it runs, its settings, the keys of its
inputs, the data and the versions of the libraries that matter. A killed stage leaves a `.partial` folder, which the
next run cleans up or, where the stage can, continues.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

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
    lines = path.read_bytes().split(b"\n")
    if lines[-1]:
        path.write_bytes(b"".join(line + b"\n" for line in lines[:-1]))
    for number, line in enumerate(lines[:-1], start=1):
        try:
            yield json.loads(line)
        except json.JSONDecodeError as error:
            raise UserError(
                f"{path.name}, line {number} is damaged ({error.msg}); delete the file to redo it."
            ) from error


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
