"""Boards and their records -> `index.html` and `page-<hash>/` beside it: one page, complete or not there.

The folder is written under another name, renamed when it is whole, and only then does `index.html` (replaced in one
step) point to it; a kill at any moment leaves the old page or the new one. The folder is named by its content, so the
same records give the same bytes and a browser never mixes two reports.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import jinja2

from bench.board import Board
from bench.gate.releases import Line
from bench.record import Record
from bench.report import curves
from bench.report.page import history, script, table
from bench.report.page.budget import Budget
from bench.report.page.examples import Examples
from bench.report.page.health import Health
from bench.report.page.reliability import Reliability
from bench.report.page.runs import Runs
from bench.report.page.source import Part, Tables
from bench.report.page.transfer import Transfer
from bench.report.shown import Shown
from bench.store import Store, write_atomic
from training.errors import UserError

TEMPLATES = Path(__file__).parent / "templates"
STYLES = ("colours.css", "page.css", "controls.css", "tables.css", "charts.css", "history.css", "examples.css")
# in the order in which a browser must run them
SCRIPTS = (
    "core.js", "chart.js", "table.js", "card.js", "forest.js", "pareto.js", "picker.js", "budget.js", "health.js",
    "reliability.js", "transfer.js", "history.js", "examples.js", "example.js", "runs.js", "app.js",
)  # fmt: skip
NAME = re.compile(r"page-[0-9a-f]{12}")
DATA = "data"
ABANDONED = 3600  # seconds after which an unfinished folder is taken for one of a killed process


def begin(folder: Path) -> Path:
    """An unfinished page below `folder`, hidden, with its styles and scripts. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    building = Path(tempfile.mkdtemp(dir=folder, prefix=".page-", suffix=".tmp"))
    for name in (*STYLES, *SCRIPTS):
        shutil.copyfile(TEMPLATES / name, building / name)
    (building / DATA).mkdir()
    return building


def clear(data: Path) -> None:
    """Takes the files of all boards out of an unfinished page."""
    shutil.rmtree(data)
    data.mkdir()


def finish(
    building: Path, folder: Path, boards: Sequence[Board], names: Sequence[str], lines: Sequence[Line] = ()
) -> Path:
    """Makes an unfinished page the page of `folder`; returns the path of its `index.html`.

    `names`: of each board the name that `write_board` wrote its files under. `lines`: the history over releases
    (releases.history), drawn where there is one. Raises OSError.
    """
    data, listed = building / DATA, []
    for board, name, key in zip(boards, names, table.keys(boards), strict=True):
        moved = history.data(board, lines)
        if moved is not None:
            script.write(data, f"history-{name}", moved)
        listed.append(table.summary(board, key) | {"file": name, "history": moved is not None})
    labels = [table.columns(section) for section in curves.fewer_labels(boards)]
    script.write(data, "manifest", {"boards": listed, "labels": labels})
    place = _settle(building, folder)
    write_atomic(folder / "index.html", _index(place.name, boards).encode("utf8"))
    _sweep(folder, place)
    return folder / "index.html"


def write_board(data: Path, name: str, shown: Shown, records: Iterable[tuple[int, Record]], store: Store) -> None:
    """Writes all files of a board but its history, `<part>-<name>.js` and more; each record is looked at once.

    `records`: (place of its arm, record) of all records of the board, arm by arm; `store` has their tables. Raises
    UserError when a table is not as it should be, and OSError.
    """
    board = shown.board
    examples = Examples(data, name, sum(len(arm.records) for arm in board.arms))
    parts: dict[str, Part] = {
        "budget": Budget(), "reliability": Reliability(), "health": Health(), "transfer": Transfer(),
        "runs": Runs(board),
    }  # fmt: skip
    for place, record in records:
        tables = Tables(store, record)
        try:
            for part in (examples, *parts.values()):
                part.add(place, tables)
        except (KeyError, ValueError, TypeError) as error:
            raise UserError(
                f"record '{record.spec_id}': a table is not as this suite writes it ({error}); "
                "delete the record and run again to redo it."
            ) from error
    present = []
    for part_name, part in parts.items():
        if (value := part.data()) is not None:
            script.write(data, f"{part_name}-{name}", value)
            present.append(part_name)
    script.write(data, f"board-{name}", {**table.content(shown), "parts": present, "examples": examples.data()})


def _settle(building: Path, folder: Path) -> Path:
    """Renames the finished folder after its content; an equal one that is already there stays."""
    made = digest(building)
    place = folder / f"page-{made}"
    building.chmod(0o777 & ~_umask())
    if place.exists():
        if digest(place) == made:
            return place
        shutil.rmtree(place)
    building.rename(place)
    return place


def digest(folder: Path) -> str:
    """12 hex digits over the names and contents of all files below a folder."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    found = hashlib.sha256()
    with ThreadPoolExecutor() as pool:  # what reads and digests lets the others go on
        for path, content in zip(paths, pool.map(_digest_of, paths), strict=True):
            found.update(f"{path.relative_to(folder).as_posix()}\0".encode() + content)
    return found.hexdigest()[:12]


def _digest_of(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def _umask() -> int:
    umask = os.umask(0)
    os.umask(umask)
    return umask


def _index(place: str, boards: Sequence[Board]) -> str:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES), autoescape=True, undefined=jinja2.StrictUndefined
    )
    names = [board.name for board in boards]
    template = environment.get_template("index.html")
    return template.render(place=place, styles=STYLES, scripts=SCRIPTS, boards=names) + "\n"


def _sweep(folder: Path, place: Path) -> None:
    """Removes the folders of earlier pages, and unfinished ones that nobody is writing any more."""
    for path in folder.glob("page-*"):
        if path != place and NAME.fullmatch(path.name) and (path / "data" / "manifest.js").is_file():
            shutil.rmtree(path, ignore_errors=True)
    for path in folder.glob(".page-*.tmp"):
        if time.time() - path.stat().st_mtime > ABANDONED:
            shutil.rmtree(path, ignore_errors=True)
