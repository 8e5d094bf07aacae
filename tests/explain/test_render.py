from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path

import pytest

from explain.attribution import Attribution
from explain.render import STYLE, save_strips, word_strip, word_strips

HOSTILE = ("<script>alert(1)</script>", "=cmd()", "\"'><b", "&amp;", "$x^", "日本", "\\frac{", "javascript:0")


def _attribution(words: tuple[str, ...], dropped: int = 0) -> Attribution:
    scores = tuple((-1.0) ** i * (i + 1) for i in range(len(words)))
    return Attribution(" ".join(words), words, scores, 1, 0, 1.0, 0.0, None, None, dropped)


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.text: list[str] = []
        self.titles: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.titles += [value or "" for name, value in attrs if name == "title"]

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def test_hostile_text_stays_text() -> None:
    reader = _Reader()
    reader.feed(word_strip(_attribution(HOSTILE), name="<img src=x onerror=alert(1)>"))
    assert reader.tags == {"div", "span", "i"}
    assert [text for text in reader.text if text in HOSTILE] == list(HOSTILE)
    assert "<img src=x onerror=alert(1)>" in reader.text
    assert reader.titles[:2] == ["+1.0000", "-2.0000"]


def test_bars_side_and_shared_scale() -> None:
    page = word_strips([("one", _attribution(("a", "b"))), ("two", _attribution(("a", "b", "c", "d"), 7))])
    assert page.count("tb-up") == page.count("tb-down") == 3
    assert "--tb:0.500" in page
    assert "--tb:1.000" in page
    assert "7 words not read" in page
    apart = word_strips([("one", _attribution(("a", "b"))), ("two", _attribution(("a", "b", "c", "d")))], shared=False)
    assert apart.count("--tb:1.000") == 2
    assert "<style>" in STYLE
    assert "<style>" not in page


@pytest.mark.parametrize("suffix", [".png", ".svg"])
def test_pictures_are_drawn_and_repeatable(tmp_path: Path, suffix: str) -> None:
    rows = [("<b>base", _attribution(HOSTILE)), ("", _attribution(("word",) * 60)), ("", _attribution(("x" * 300,)))]
    first = save_strips(rows, tmp_path / f"one{suffix}").read_bytes()
    assert len(first) > 1000
    assert first == save_strips(rows, tmp_path / f"two{suffix}").read_bytes()
    assert b"<script" not in first


def test_pictures_refuse_what_they_cannot_draw(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"\.png or \.svg"):
        save_strips([("a", _attribution(("a",)))], tmp_path / "a.jpg")
    with pytest.raises(ValueError, match="no rows"):
        save_strips([], tmp_path / "a.png")
