"""All that a report writes of a store, in one pass: each record is read once.

A process makes the boards of one task, model and tier from their records, what each file of the leaderboard says of
them, and their files of the page; what is left for the end is to put the pieces together.
"""

from __future__ import annotations

import functools
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench import leaderboard, reading
from bench.board import Board
from bench.gate import releases
from bench.gate.releases import Line
from bench.record import Record
from bench.report import formats
from bench.report.page import write
from bench.report.shown import shown_of
from bench.store import Store
from training.errors import UserError


@dataclass(frozen=True)
class Made:
    """What was written: the boards, their history over releases, and the path of the page's `index.html`.

    The boards' arms are without their values, of which every text is made.
    """

    boards: list[Board]
    lines: list[Line]
    page: Path


@dataclass(frozen=True)
class Piece:
    """A board and the name in the names of its files: those of the page, and its pieces of the leaderboard's."""

    board: Board
    name: str


def make(store: Store, folder: Path, workers: int | None = None) -> Made:
    """Writes the leaderboard's files and the report page of `store` into `folder`.

    `workers`: processes, the same files with any number; by default as many as pay. Raises UserError when a record
    cannot be read or the folder not be written to; the page is then the old one.
    """
    try:
        building = write.begin(folder)
        try:
            # named as what write.finish clears away, should this process be killed
            with tempfile.TemporaryDirectory(dir=folder, prefix=".page-", suffix=".tmp") as texts:
                pieces = _pieces(store, building / write.DATA, Path(texts), workers)
                boards, names = [piece.board for piece in pieces], [piece.name for piece in pieces]
                leaderboard.save(_assembled(boards, names, Path(texts)), folder)
            lines = releases.history(store.folder, boards)
            page = write.finish(building, folder, boards, names, lines)
        finally:
            shutil.rmtree(building, ignore_errors=True)
    except OSError as error:
        raise UserError(f"cannot write to '{folder}' ({error.strerror}); choose another folder with --out.") from error
    return Made(boards, lines, page)


def _assembled(boards: Sequence[Board], names: Sequence[str], texts: Path) -> Iterator[tuple[str, Iterable[bytes]]]:
    """(File suffix, parts of its text), the pieces from their files: together they can have hundreds of megabytes."""
    if not boards:
        yield from ((suffix, [text.encode()]) for suffix, text in formats.render([]).items())
        return
    for suffix, frame in formats.framed(boards):
        yield suffix, _parts(frame, [texts / f"{name}.{suffix}" for name in names])


def _parts(frame: tuple[str, str, str], files: Sequence[Path]) -> Iterator[bytes]:
    space, between, after = frame
    for file in files:
        yield space.encode()
        yield file.read_bytes()
        space = between
    yield after.encode()


def _pieces(store: Store, data: Path, texts: Path, workers: int | None) -> list[Piece]:
    """The pieces of every board, in the order of the boards."""
    ids = store.ids()
    parts = list(enumerate(reading.partitions(ids)))
    made = list(reading.each(functools.partial(_of_part, store.folder, data, texts), parts, len(ids), workers))
    if leaderboard.torn([piece.board for piece in part] for part in made):
        write.clear(data)
        made = [_of_part(store.folder, data, texts, (0, ids))]
    return sorted((piece for part in made for piece in part), key=lambda piece: leaderboard.order(piece.board))


def _of_part(folder: Path, data: Path, texts: Path, numbered: tuple[int, list[str]]) -> list[Piece]:
    number, ids = numbered
    store, held = Store(folder), reading.Held()
    pieces = []
    for place, board in enumerate(leaderboard.of_part(folder, ids, held)):
        name = f"{number}-{place}" if place else str(number)
        shown = shown_of(board)
        write.write_board(data, name, shown, _again(board, store, held), store)
        for suffix, text in formats.pieces(shown).items():
            (texts / f"{name}.{suffix}").write_bytes(text.encode())
        pieces.append(Piece(board, name))
        for arm in board.arms:  # many small arrays, which take half as long to send as all the rest
            arm.values = {}
    return pieces


def _again(board: Board, store: Store, held: reading.Held) -> Iterator[tuple[int, Record]]:
    """(place of the arm, whole record) of a board's records, from memory where they still are."""
    for place, arm in enumerate(board.arms):
        for record in arm.records:
            yield place, held.take(record.spec_id) or store.read(record.spec_id)
