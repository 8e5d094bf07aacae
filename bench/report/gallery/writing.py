"""Pictures -> `pictures.html` and, beside it, every picture as .png, .svg and .csv."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from bench.report.gallery.drawing import Picture
from bench.report.gallery.stored import Chosen
from bench.store import write_atomic
from explain.pictures import canvas, pages
from training.errors import UserError

PAGE = "pictures.html"
SUFFIXES = (".png", ".svg", ".csv")


def write(chosen: Chosen, board: str, pictures: Sequence[Picture], folder: Path) -> Path:
    """Writes all files and then the page; returns the page. Each file is the old one or the new one at any moment.

    Raises UserError when the folder cannot be written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        building = Path(tempfile.mkdtemp(dir=folder, prefix=".pictures-", suffix=".tmp"))
        try:
            for picture in pictures:
                for suffix in canvas.SUFFIXES:
                    picture.draw(building / f"{picture.stem}{suffix}")
                (building / f"{picture.stem}.csv").write_text(picture.csv, encoding="utf8")
            for path in sorted(building.iterdir()):
                os.replace(path, folder / path.name)  # noqa: PTH105 (Path.replace says the same; POSIX's word)
        finally:
            shutil.rmtree(building, ignore_errors=True)
        write_atomic(folder / PAGE, page(chosen, board, pictures).encode("utf8"))
    except OSError as error:
        raise UserError(f"cannot write to '{folder}' ({error.strerror}); choose another folder with --out.") from error
    return folder / PAGE


def page(chosen: Chosen, board: str, pictures: Sequence[Picture]) -> str:
    """The gallery; whatever stands in the text, in a label or a name stays text."""
    sections = [
        f"<section><h2>{canvas.escaped(one.title)}</h2><p class='tb-note'>{canvas.escaped(one.note)} {_files(one)}</p>"
        f"{one.html}</section>"
        for one in pictures
    ]
    lacking = "".join(f"<li>{canvas.escaped(note)}</li>" for note in chosen.notes)
    head = f"<h1>{canvas.escaped(board)}</h1><p>{canvas.escaped(chosen.about)}</p>"
    quoted = f"<blockquote dir='auto'>{canvas.escaped(chosen.text)}</blockquote>"
    rest = [f"<h2>Not drawn</h2><ul>{lacking}</ul>"] if lacking else []
    return pages.page(f"{board}: pictures", [head, quoted, *sections, *rest])


def _files(picture: Picture) -> str:
    # stems hold letters, digits and ._+- alone
    links = (f'<a href="{canvas.escaped(picture.stem)}{suffix}">{suffix[1:].upper()}</a>' for suffix in SUFFIXES)
    return f"As {', '.join(links)}."
