"""What a success did to its text: measured with the lexicon and LanguageTool, stored, and read as metrics."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from attacks import original_models, originals
from attacks.lexicon import Lexicon
from attacks.outcome import Outcome
from bench import extraction, metrics
from bench.record import Table
from bench.robustness.attacking import CHECKER, judge_texts, outcome_table
from tests.attacks.conftest import inputs, made, small_lexicon  # noqa: F401 (fixtures)
from tests.bench.conftest import make_record


def success(name: str, text: str, perturbed: str) -> Outcome:
    return made("success", id=name, text=text, perturbed=perturbed, words=len(text.split()))


SUCCESSES = (
    success("kept", "The movie was good.", "The film was good."),
    success("broken", "The movie was good.", "The boring was good."),
    success("both", "The movie was boring.", "The film was acting."),
    success("inserted", "The movie was good.", "The movie was so good."),
)


@pytest.fixture
def lexicon(small_lexicon: Lexicon, monkeypatch: pytest.MonkeyPatch) -> Lexicon:  # noqa: F811
    monkeypatch.setenv("LTP_PATH", str(small_lexicon.folder))  # no LanguageTool there
    return Lexicon(small_lexicon.folder)


def test_words_that_break_with_their_place_are_counted_by_text(lexicon: Lexicon) -> None:
    found = judge_texts(lexicon, SUCCESSES)
    counts = {name: (row["replaced"], row["retagged"]) for name, row in found.items()}
    assert counts == {"kept": (1, 0), "broken": (1, 1), "both": (2, 1), "inserted": (0, 0)}
    assert "errors_after" not in found["kept"]  # unknown, not zero


def test_language_tool_counts_where_it_is(lexicon: Lexicon, monkeypatch: pytest.MonkeyPatch) -> None:
    checker = original_models.LanguageTool("6.8")
    monkeypatch.setattr(checker, "_check", lambda text: text.count("The boring was"))
    tool = originals.Resource("LanguageTool", lambda: [lexicon.folder], lambda _: checker)
    monkeypatch.setitem(originals.RESOURCES, CHECKER, tool)
    originals._opened.cache_clear()
    found = judge_texts(Lexicon(lexicon.folder), SUCCESSES)
    assert [(row["errors_before"], row["errors_after"]) for row in found.values()] == [(0, 0), (0, 1), (0, 0), (0, 0)]


def read(table: pd.DataFrame) -> dict[str, metrics.Values]:
    tables = {"attack:textfooler:calibrated": table}
    record = make_record(recipes=["textfooler"], tables={name: Table(inline={}) for name in tables})
    return extraction.extract(record, tables.__getitem__)


def test_the_share_is_of_words_and_the_errors_are_of_texts(lexicon: Lexicon) -> None:
    judged = judge_texts(lexicon, SUCCESSES)
    for row, (before, after) in zip(judged.values(), ((0, 2), (1, 1), (3, 1), (0, 2)), strict=True):
        row |= {"errors_before": before, "errors_after": after}
    outcomes = [*SUCCESSES, made("failed", id="held"), made("skipped", id="wrong")]
    found = read(outcome_table(outcomes, judged))
    share = metrics.summarise("retagged:textfooler", [found["retagged:textfooler"]])
    assert share.value == pytest.approx(2 / 4)  # of four replaced words; the insertion and the survivors say nothing
    added = metrics.summarise("errors_added:textfooler", [found["errors_added:textfooler"]])
    assert added.value == pytest.approx((2 + 0 - 2 + 2) / 4)
    assert metrics.of("errors_added:textfooler").range[0] == -np.inf
    assert (metrics.of("retagged").direction, metrics.of("retagged").unit) == (None, "share")


def test_without_a_tagger_or_a_replaced_word_there_is_no_share() -> None:
    outcomes = [made("success"), made("failed", id="held")]
    assert not [name for name in read(outcome_table(outcomes)) if name.startswith(("retagged", "errors_added"))]
    judged = {"a": {"replaced": 0, "retagged": 0}}
    assert "retagged:textfooler" not in read(outcome_table(outcomes, judged))
