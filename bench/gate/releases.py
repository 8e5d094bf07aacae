"""Named sets of records below `<results>/releases/<name>`, and how the arms moved from one to the next."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from bench import metrics
from bench.board import Arm, Board
from bench.leaderboard import build
from bench.stats import Interval
from bench.store import Store
from training.errors import UserError

FOLDER = "releases"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}")
NOW = "now"
Order = tuple[tuple[int, int | str], ...]


@dataclass(frozen=True)
class Point:
    """One metric of one arm in one release; `apart` says that its board differs from the newest one's, and in what."""

    release: str
    interval: Interval
    apart: tuple[str, ...] = ()


@dataclass(frozen=True)
class Line:
    """The history of one metric of one arm over the releases, oldest first."""

    board: str
    arm: str
    metric: str
    points: tuple[Point, ...]


def save(results: Path, name: str) -> Path:
    """Copies the records of a results folder to `<results>/releases/<name>`; the new folder is there whole or not.

    Every record and table is read and verified on the way. Raises UserError for a name that is not letters, digits and
    ._+- (at most 64), for one that exists, for a folder without records and where nothing can be written.
    """
    check_name(name)
    store = Store(results)
    ids = store.ids()
    if not ids:
        raise UserError(
            f"'{results}' holds no records; give a folder that `temper run` wrote (it has records/ inside)."
        )
    parent = results / FOLDER
    place = parent / name
    if parent.is_symlink() or place.is_symlink() or place.exists():
        raise UserError(f"'{place}' exists already; a release never changes, so choose another name.")
    try:
        parent.mkdir(exist_ok=True)
        building = Path(tempfile.mkdtemp(dir=parent, prefix=".", suffix=".tmp"))
        try:
            copy = Store(building, write=True)
            for spec_id in ids:
                record = store.read(spec_id)
                copy.write(record, {table: store.tables(record, table) for table in record.tables})
            building.chmod(0o755)
            building.rename(place)
        finally:
            shutil.rmtree(building, ignore_errors=True)
    except OSError as error:
        raise UserError(f"cannot write '{place}' ({error.strerror}).") from error
    return place


def check_name(name: str) -> str:
    """Raises UserError for a name that could leave the folder or that means today's records."""
    if not NAME.fullmatch(name) or ".." in name or name == NOW:
        raise UserError(
            f"'{name[:80]}' is no name for a release; take letters, digits and ._+- (not first, at most 64 in all), "
            f"no '..', and not '{NOW}'."
        )
    return name


def names(results: Path) -> list[str]:
    """The releases of a results folder, v2 before v10."""
    folder = results / FOLDER
    found = [p.name for p in folder.iterdir() if (p / "records").is_dir()] if folder.is_dir() else []
    return sorted((name for name in found if NAME.fullmatch(name)), key=natural)


def natural(name: str) -> Order:
    """The order of release names in time: numbers in them count as numbers."""
    return tuple((0, int(part)) if part.isdigit() else (1, part) for part in re.split(r"([0-9]+)", name) if part)


def history(results: Path, boards: Iterable[Board], wanted: Iterable[str] = ()) -> list[Line]:
    """The lines of the boards' arms over all releases and today's records; those with a single point are left out.

    `wanted`: base names of metrics; by default the ranked one and clean accuracy or entity F1. A release's board is the
    one of the same task, model and tier; where it shares neither data nor attacks with today's, its points say so.
    """
    some = tuple(wanted)
    older = [(name, build(Store(results / FOLDER / name))) for name in names(results)]
    lines = []
    for board in boards:
        found = [(name, _same(board, theirs)) for name, theirs in older]
        for arm in board.arms:
            for metric in _shown(board, some):
                points = [p for name, other in found if other and (p := _point(name, other, arm.label, metric, board))]
                if points and (today := _point(NOW, board, arm.label, metric, board)):
                    lines.append(Line(board.name, arm.label, metric, (*points, today)))
    return lines


def _shown(board: Board, wanted: tuple[str, ...]) -> list[str]:
    bases = wanted or (board.score, "clean_accuracy", "entity_f1")
    return [name for name in board.metrics if name.partition(":")[0] in bases]


def _same(board: Board, theirs: list[Board]) -> Board | None:
    """Of the boards of the same name, the one that differs from today's in the fewest things."""
    alike = [b for b in theirs if (b.task, b.model, b.tier, b.labelled) == _name(board)]
    return min(alike, key=lambda other: (len(apart(board, other)), other.asked != board.asked), default=None)


def _name(board: Board) -> tuple[str, str, str, float]:
    return board.task, board.model, board.tier, board.labelled


def apart(board: Board, other: Board) -> tuple[str, ...]:
    """What keeps the numbers of two boards from meaning the same."""
    shared = board.fingerprint.keys() & other.fingerprint.keys()
    return tuple(sorted(key for key in shared if board.fingerprint[key] != other.fingerprint[key]))


def _point(release: str, board: Board, label: str, metric: str, today: Board) -> Point | None:
    arm: Arm | None = next((one for one in board.arms if one.label == label), None)
    cell = arm.cells.get(metric) if arm is not None else None
    if not isinstance(cell, Interval) or cell.value is None:
        return None
    return Point(release, cell, apart(today, board))


def titled(line: Line) -> str:
    return f"{line.arm}: {metrics.title(line.metric)}"
