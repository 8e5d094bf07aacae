"""What all pictures share: two colours, the page's style, text that stays text, files that are the same every time.

Blue supports the explained class and orange speaks against it (the two ends of a scale that the common
colour-vision deficiencies keep apart); the length and side of a bar say the same without colour.
"""

from __future__ import annotations

import base64
import csv
import html
import io
import unicodedata
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Protocol

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle


class Scored(Protocol):
    """Words in reading order with a score each, as an Attribution has them; dropped: words the model never saw."""

    @property
    def words(self) -> tuple[str, ...]: ...
    @property
    def scores(self) -> tuple[float, ...]: ...
    @property
    def dropped(self) -> int: ...


SUPPORTS, AGAINST = "#2166ac", "#b35806"
SUFFIXES = (".png", ".svg")
FONT, SIZE = ("DejaVu Sans Mono", "DejaVu Sans"), 11  # the second for scripts the first lacks; points
LETTER = SIZE * 0.602 / 72  # inches a letter of the first is wide
KEY = "blue, bar above: for the class; orange, bar below: against it"

STYLE = f"""<style>
.tb-strip {{ line-height: 2.6; margin: .3em 0; overflow-wrap: anywhere; }}
.tb-name {{ font-weight: 600; margin-right: .7em; }}
.tb-word {{ position: relative; padding: .15em .2em; border-radius: .2em; unicode-bidi: isolate; }}
.tb-word i {{ position: absolute; left: 0; height: 3px; width: calc(var(--tb) * 100%); }}
.tb-up {{ background: color-mix(in srgb, {SUPPORTS} calc(var(--tb) * 45%), transparent); }}
.tb-up i {{ bottom: 100%; background: {SUPPORTS}; }}
.tb-down {{ background: color-mix(in srgb, {AGAINST} calc(var(--tb) * 45%), transparent); }}
.tb-down i {{ top: 100%; background: {AGAINST}; }}
.tb-pair {{ display: flex; flex-wrap: wrap; gap: .1em .35em; margin: .5em 0; }}
.tb-pair > span {{ display: inline-flex; flex-direction: column; gap: .9em; padding: .45em .15em; text-align: center; }}
.tb-pair .tb-name {{ text-align: right; padding: .15em 0; margin-right: .4em; }}
.tb-pair .tb-edit {{ outline: 1px dashed currentColor; outline-offset: -1px; border-radius: .2em; }}
.tb-gap {{ opacity: .5; }}
.tb-scroll {{ overflow-x: auto; }}
.tb-grid {{ border-collapse: collapse; font-size: .85em; }}
.tb-grid caption {{ text-align: left; caption-side: bottom; padding-top: .4em; }}
.tb-grid thead th {{ writing-mode: vertical-rl; transform: rotate(180deg); font-weight: 400; text-align: left;
  padding: .2em 0; unicode-bidi: isolate; }}
.tb-grid tbody th {{ text-align: right; font-weight: 600; padding-right: .6em; white-space: nowrap;
  position: sticky; left: 0; z-index: 1; background: Canvas; }}
.tb-grid + .tb-grid {{ margin-top: .8em; }}
@media (max-width: 34em) {{ .tb-grid tbody th {{ white-space: normal; overflow-wrap: anywhere; max-width: 8em; }} }}
.tb-grid td {{ position: relative; min-width: 2.9em; padding: .35em .2em; text-align: right;
  font-variant-numeric: tabular-nums; border: 1px solid color-mix(in srgb, currentColor 12%, transparent); }}
.tb-grid td i {{ position: absolute; height: 3px; width: calc(var(--tb) * 100%); left: 0; }}
.tb-grid .tb-up i {{ top: 0; bottom: auto; }}
.tb-grid .tb-down i {{ bottom: 0; top: auto; }}
.tb-grid thead td {{ border: 0; }}
.tb-figure {{ margin: .5em 0; }}
.tb-figure img {{ max-width: 100%; height: auto; background: #fff; }}
</style>"""
"""Put once into the page. Text keeps the page's own colour, so light and dark pages both read well."""

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
_JOINERS = {"\u200c", "\u200d"}  # part of words in several scripts, and of emoji


def visible(text: str) -> str:
    """The text with control and direction characters shown by their code: what is not seen cannot turn a line round."""
    return "".join(
        f"<{ord(c):04X}>" if unicodedata.category(c) in ("Cc", "Cf") and c not in _JOINERS else c for c in text
    )


def letters(text: str) -> int:
    """How many letters' room the visible text takes: two for wide characters, none for marks upon others."""
    room = {"W": 2, "F": 2}
    return sum(room.get(unicodedata.east_asian_width(c), not unicodedata.combining(c)) for c in visible(text))


def escaped(text: str) -> str:
    """`visible` text for HTML, quotes included."""
    return html.escape(visible(text))


def to_csv(header: Sequence[str], rows: Iterable[Sequence[str | float]]) -> str:
    """CSV with full-precision numbers. Text that a spreadsheet would run gets an apostrophe (OWASP, CSV injection)."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    for row in (header, *rows):
        writer.writerow([_guarded(visible(cell)) if isinstance(cell, str) else repr(cell) for cell in row])
    return stream.getvalue()


def _guarded(text: str) -> str:
    return f"'{text}" if text.startswith(_FORMULA) else text


def new_figure(width: float, height: float) -> Figure:
    """A figure of so many inches that belongs to no window."""
    figure = Figure(figsize=(width, height))
    FigureCanvasAgg(figure)
    return figure


def blank_axes(figure: Figure, left: float, bottom: float, width: float, height: float) -> Axes:
    """Axes without a frame whose units are inches; the numbers are inches too."""
    whole_width, whole_height = figure.get_size_inches()
    box = (left / whole_width, bottom / whole_height, width / whole_width, height / whole_height)
    axes = figure.add_axes(box)
    axes.set_axis_off()
    axes.set_xlim(0, width)
    axes.set_ylim(0, height)
    return axes


def write(axes: Axes, x: float, y: float, text: str, **how: object) -> None:
    """Text in FONT, never read as mathematics."""
    style = {"family": list(FONT), "size": SIZE} | how
    axes.text(x, y, visible(text), parse_math=False, **style)  # type: ignore[arg-type]


def draw_word(axes: Axes, x: float, y: float, word: str, share: float) -> None:
    """One word at (x, y) in inches; share: score over the largest, in [-1, 1]."""
    colour, width = SUPPORTS if share >= 0 else AGAINST, letters(word) * LETTER
    axes.add_patch(Rectangle((x, y), width, 0.21, color=colour, alpha=0.45 * abs(share), linewidth=0))
    low = y + 0.22 if share >= 0 else y - 0.045
    axes.add_patch(Rectangle((x, low), width * abs(share), 0.035, color=colour, linewidth=0))
    write(axes, x, y + 0.06, word)


def save(figure: Figure, path: Path) -> Path:
    """Writes a .png or .svg; the same figure gives the same bytes. Raises ValueError on another suffix."""
    if path.suffix not in SUFFIXES:
        raise ValueError(f"{path.name}: give a name that ends in .png or .svg")
    path.write_bytes(drawn(figure, path.suffix[1:]))
    return path


def drawn(figure: Figure, kind: str) -> bytes:
    """The figure as "png" or "svg" bytes."""
    stream = io.BytesIO()
    metadata = {"Date": None} if kind == "svg" else {"Software": None}
    with warnings.catch_warnings():
        # words in scripts the font lacks are drawn as boxes: a picture with a box beats no picture
        warnings.filterwarnings("ignore", message="Glyph .* missing from", category=UserWarning)
        # hinted letters are some pixels wider, and a long name would run into the word behind it
        with rc_context({"svg.hashsalt": "temperbench", "svg.fonttype": "path", "text.hinting": "none"}):
            figure.savefig(stream, format=kind, dpi=150, metadata=metadata)
    return stream.getvalue()


def fragment(figure: Figure, description: str) -> str:
    """The figure as an HTML fragment that needs no file beside it; `description` is what a screen reader says."""
    code = base64.b64encode(drawn(figure, "svg")).decode()
    return (
        f'<figure class="tb-figure"><img alt="{escaped(description)}" src="data:image/svg+xml;base64,{code}"></figure>'
    )
