from __future__ import annotations

import csv
import io
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from explain.attribution import Attribution
from explain.metrics import Curves
from explain.pictures import canvas, lines, matrices, pairs, strips

HOSTILE = (
    "<script>alert(1)</script>",
    "=cmd()",
    "\"'><b",
    "&amp;",
    "$x^",
    "日本",
    "\\frac{",
    "javascript:0",
    "+1",
    "@x",
)
TURNED = "\u202egnorw\u202c"  # right-to-left override and its end
SEEN = "<202E>gnorw<202C>"


def _attribution(words: tuple[str, ...], dropped: int = 0) -> Attribution:
    scores = tuple((-1.0) ** i * (i + 1) for i in range(len(words)))
    return Attribution(" ".join(words), words, scores, 1, 0, 1.0, 0.0, None, None, dropped)


class _Reader(HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.text: list[str] = []
        self.titles: list[str] = []
        self.others: set[str] = set()
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.titles += [value or "" for name, value in attrs if name == "title"]
        self.others |= {name for name, _ in attrs} - {"class", "style", "title", "dir", "scope", "alt", "src"}

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def _curves(words: int = 3) -> Curves:
    fall = np.linspace(1, 0, words + 1)
    return Curves(fall, fall[::-1], fall - 0.1, fall + 0.1, fall[::-1] - 0.1, fall[::-1] + 0.1)


def _pages() -> dict[str, tuple[str, set[str]]]:
    """Every HTML picture of hostile words, and the tags it may have."""
    one = _attribution((*HOSTILE, TURNED))
    name = "<img src=x onerror=alert(1)>"
    grid = matrices.mitigation_grid([(name, one)])
    return {
        "strip": (strips.word_strip(one, name), {"div", "span", "i"}),
        "pair": (pairs.attack_pair(one, _attribution(HOSTILE[::-1]), (name, "b")), {"div", "span", "i", "b"}),
        "matrix": (
            matrices.matrix_html(grid, name),
            {"div", "table", "caption", "thead", "tbody", "tr", "th", "td", "i"},
        ),
        "curves": (lines.curves_html([(name, _curves())], name), {"figure", "img"}),
    }


@pytest.mark.parametrize("kind", ["strip", "pair", "matrix", "curves"])
def test_hostile_text_stays_text(kind: str) -> None:
    page, allowed = _pages()[kind]
    reader = _Reader(page)
    assert reader.tags <= allowed
    assert reader.others == set()
    assert "\u202e" not in page
    if kind != "curves":
        assert all(word in reader.text for word in (*HOSTILE, SEEN))
        assert any("onerror=alert(1)>" in text for text in reader.text)


def test_hostile_text_is_no_formula_in_a_spreadsheet() -> None:
    one = _attribution((*HOSTILE, TURNED))
    texts = {
        "strips": strips.strips_csv([("=name", one)]),
        "pair": pairs.pair_csv(one, one),
        "matrix": matrices.matrix_csv(matrices.mitigation_grid([("@name", one)]), "-corner"),
        "curves": lines.curves_csv([("=name", _curves())]),
    }
    for text in texts.values():
        cells = [cell for row in csv.reader(io.StringIO(text)) for cell in row]
        words = [cell for cell in cells if not _number(cell)]
        assert words
        assert not [cell for cell in words if cell.startswith(("=", "+", "-", "@", "\t", "\r"))]
    assert "'=cmd()" in texts["strips"]
    assert SEEN in texts["strips"]


def _number(cell: str) -> bool:
    # a score may begin with a minus, and is no formula; a word that looks like a number is not one of ours
    try:
        float(cell)
    except ValueError:
        return False
    return cell not in HOSTILE


def test_csv_holds_every_number_in_full() -> None:
    one = _attribution(("a", "b"))
    assert strips.strips_csv([("m", one)]).splitlines() == ["name,position,word,score", "m,0,a,1.0", "m,1,b,-2.0"]
    assert matrices.matrix_csv(matrices.mitigation_grid([("m", one)])).splitlines() == [",a,b", "m,1.0,-2.0"]
    changed = pairs.pair_csv(one, _attribution(("a", "X", "Y"))).splitlines()
    assert changed[1:] == ["a,1.0,a,1.0,no", "b,-2.0,X,-2.0,yes", ",,Y,3.0,yes"]
    assert lines.curves_csv([("m", _curves(1))]).splitlines()[2].startswith("m,1.0,0.0,1.0,-0.1")


def test_bars_side_and_shared_scale() -> None:
    page = strips.word_strips([("one", _attribution(("a", "b"))), ("two", _attribution(("a", "b", "c", "d"), 7))])
    assert page.count("tb-up") == page.count("tb-down") == 3
    assert "--tb:0.500" in page
    assert "--tb:1.000" in page
    assert "7 words not read" in page
    apart = strips.word_strips(
        [("one", _attribution(("a", "b"))), ("two", _attribution(("a", "b", "c", "d")))], shared=False
    )
    assert apart.count("--tb:1.000") == 2
    assert _Reader(strips.word_strip(_attribution(("a", "b")))).titles == ["+1.0000", "-2.0000"]
    assert "<style>" in canvas.STYLE
    assert "<style>" not in page


def test_a_pair_is_aligned_word_over_word() -> None:
    before, after = _attribution(("a", "dull", "film", "x")), _attribution(("a", "so", "dull", "movie"))
    assert pairs.aligned(before, after) == [
        (0, 0, False), (None, 1, True), (1, 2, False), (2, 3, True), (3, None, True),
    ]  # fmt: skip
    page = pairs.attack_pair(before, after)
    assert page.count("tb-edit") == 3
    assert page.count(pairs.GAP) == 2


def test_a_grid_is_of_one_sentence_and_scales_its_rows() -> None:
    small = Attribution("a b", ("a", "b"), (0.01, -0.02), 1, 0, 1.0, 0.0, None, None)
    apart = matrices.mitigation_grid([("one", _attribution(("a", "b"))), ("two", small)])
    assert [apart.largest(row) for row in (0, 1)] == [2.0, 0.02]
    assert matrices.mitigation_grid([("one", _attribution(("a", "b"))), ("two", small)], shared=True).largest(1) == 2.0
    page = matrices.matrix_html(apart)
    assert page.count("+50") == page.count("−100") == 2
    assert 'title="-0.02"' in page
    with pytest.raises(ValueError, match="different words"):
        matrices.mitigation_grid([("one", _attribution(("a", "b"))), ("two", _attribution(("a", "c")))])
    with pytest.raises(ValueError, match="one row and one word"):
        matrices.mitigation_grid([])
    with pytest.raises(ValueError, match="2 x"):
        matrices.Matrix(("a",), ("layer 1",), ((1.0,), (2.0,)))
    zero = matrices.Matrix(("a",), ("layer 1",), ((0.0,),))
    assert zero.largest(0) == 1.0


def test_curves_of_several_texts_are_averaged_by_share_of_words() -> None:
    mean = lines.over_texts([_curves(2), _curves(10)])
    assert mean.deletion == pytest.approx(np.linspace(1, 0, lines.PLACES))
    with pytest.raises(ValueError, match="one at least"):
        lines.over_texts([])


@pytest.mark.parametrize("count", [1, 7, 8, 23])
def test_names_below_the_curves_leave_the_labels_alone(count: int) -> None:
    figure = lines._figure([(f"explainer number {number}", _curves()) for number in range(count)], "x")
    figure.draw_without_rendering()
    names = figure.legends[0].get_window_extent()
    assert names.y0 >= 0
    for axes in figure.axes:
        assert names.y1 <= axes.xaxis.label.get_window_extent().y0


def test_room_of_letters() -> None:
    assert [canvas.letters(text) for text in ("abc", "日本", "e\u0301", TURNED)] == [3, 4, 1, len(SEEN)]
    assert strips.shortened("日本語", 4) == "日…"
    assert strips.shortened("abcde\u0301f", 6) == "abcde\u0301f"
    assert strips.shortened("abcde\u0301fg", 6) == "abcde\u0301…"
    assert strips.shortened("x" * 300_000, 4) == "xxx…"  # in proportion to its length, not to the square of it


@pytest.mark.parametrize("suffix", [".png", ".svg"])
def test_pictures_are_drawn_and_repeatable(tmp_path: Path, suffix: str) -> None:
    many = _attribution(("word",) * 27)  # more than a panel of a matrix holds
    rows = [("<b>base", _attribution((*HOSTILE, TURNED))), ("", many), ("", _attribution(("x" * 300,)))]
    grid = matrices.mitigation_grid([("base " * 20, many), ("$x^", many)])
    for draw in (
        lambda path: strips.save_strips(rows, path),
        lambda path: pairs.save_pair(rows[0][1], many, path, ("<b>", "$x^")),
        lambda path: matrices.save_matrix(grid, path, "caption $x^"),
        lambda path: lines.save_curves([("<b>", _curves()), ("$x^", _curves(9))], path, "$y_"),
    ):
        drawn = draw(tmp_path / f"one{suffix}").read_bytes()
        assert len(drawn) > 1000
        assert b"<script" not in drawn
    assert drawn == draw(tmp_path / f"two{suffix}").read_bytes()
    assert strips.save_strips(rows, tmp_path / "a.svg").read_bytes() == (
        strips.save_strips(rows, tmp_path / "b.svg").read_bytes()
    )


def test_pictures_refuse_what_they_cannot_draw(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"\.png or \.svg"):
        strips.save_strips([("a", _attribution(("a",)))], tmp_path / "a.jpg")
    with pytest.raises(ValueError, match="no rows"):
        strips.save_strips([], tmp_path / "a.png")
    with pytest.raises(ValueError, match="no curves"):
        lines.save_curves([], tmp_path / "a.png")
