"""All that a report writes of a store, in one pass: each record is read once.

A process makes the boards of one task, model and tier from their records, what each file of the leaderboard says of
them, and their files of the page; what is left for the end is to put the pieces together.
"""

from __future__ import annotations

import functools
import shutil
from collections.abc import Iterator, Mapping
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
    """A board, the name in its page files' names, and what it contributes to each file of the leaderboard."""

    board: Board
    name: str
    texts: Mapping[str, str]


def make(store: Store, folder: Path, workers: int | None = None) -> Made:
    """Writes the leaderboard's files and the report page of `store` into `folder`.

    `workers`: processes, the same files with any number; by default as many as pay. Raises UserError when a record
    cannot be read or the folder not be written to; the page is then the old one.
    """
    try:
        building = write.begin(folder)
        try:
            pieces = _pieces(store, building / write.DATA, workers)
            boards = [piece.board for piece in pieces]
            lines = releases.history(store.folder, boards)
            leaderboard.save(formats.assembled(boards, [piece.texts for piece in pieces]), folder)
            page = write.finish(building, folder, boards, [piece.name for piece in pieces], lines)
        finally:
            shutil.rmtree(building, ignore_errors=True)
    except OSError as error:
        raise UserError(f"cannot write to '{folder}' ({error.strerror}); choose another folder with --out.") from error
    return Made(boards, lines, page)


def _pieces(store: Store, data: Path, workers: int | None) -> list[Piece]:
    """The pieces of every board, in the order of the boards."""
    ids = store.ids()
    parts = list(enumerate(reading.partitions(ids)))
    made = list(reading.each(functools.partial(_of_part, store.folder, data), parts, len(ids), workers))
    if leaderboard.torn([piece.board for piece in part] for part in made):
        write.clear(data)
        made = [_of_part(store.folder, data, (0, ids))]
    return sorted((piece for part in made for piece in part), key=lambda piece: leaderboard.order(piece.board))


def _of_part(folder: Path, data: Path, numbered: tuple[int, list[str]]) -> list[Piece]:
    number, ids = numbered
    store, held = Store(folder), reading.Held()
    pieces = []
    for place, board in enumerate(leaderboard.of_part(folder, ids, held)):
        name = f"{number}-{place}" if place else str(number)
        shown = shown_of(board)
        write.write_board(data, name, shown, _again(board, store, held), store)
        pieces.append(Piece(board, name, formats.pieces(shown)))
        for arm in board.arms:  # many small arrays, which take half as long to send as all the rest
            arm.values = {}
    return pieces


def _again(board: Board, store: Store, held: reading.Held) -> Iterator[tuple[int, Record]]:
    """(place of the arm, whole record) of a board's records, from memory where they still are."""
    for place, arm in enumerate(board.arms):
        for record in arm.records:
            yield place, held.take(record.spec_id) or store.read(record.spec_id)
