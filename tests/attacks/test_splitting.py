"""Remembered word splitting gives TextAttack's own answers and leaves nothing behind."""

from __future__ import annotations

import pytest

from attacks import splitting
from attacks.lexicon import minimal, prepare_textattack

STRINGS = ["film", "don't", "'quoted'", "two words", "", "--", "a" * 60, "naïve-ish", "x@y.com", "1,000", "film"]


@pytest.fixture(scope="module")
def attacked_text(tmp_path_factory: pytest.TempPathFactory):
    prepare_textattack(minimal(tmp_path_factory.mktemp("splitting") / "lexicon").folder)
    from textattack.shared import attacked_text as module

    return module


def test_the_answers_are_those_of_before_and_cannot_be_spoilt(attacked_text) -> None:
    before = attacked_text.words_from_text
    expected = [before(text) for text in STRINGS]
    with splitting.remembered():
        assert attacked_text.words_from_text is not before
        for _ in range(2):
            found = [attacked_text.words_from_text(text) for text in STRINGS]
            assert found == expected
            for words in found:
                words.append("spoilt")
    assert attacked_text.words_from_text is before


def test_each_short_string_is_split_once(attacked_text, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(attacked_text, "words_from_text", lambda text: asked.append(text) or text.split())
    with splitting.remembered():
        text = attacked_text.AttackedText("a good film and a good cast")
        for word in ("fine", "nice"):
            assert text.replace_word_at_index(1, word).text == f"a {word} film and a good cast"
    assert sorted(word for word in asked if " " not in word) == ["a", "and", "cast", "film", "fine", "good", "nice"]


def test_an_error_inside_restores_it_too(attacked_text) -> None:
    before = attacked_text.words_from_text
    with pytest.raises(RuntimeError), splitting.remembered():
        raise RuntimeError
    assert attacked_text.words_from_text is before
