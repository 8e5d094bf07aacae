"""The attack benchmark: three ways that must find the same, text by text, on a really fine-tuned victim."""

from __future__ import annotations

import pandas as pd
import pytest

from bench import sources
from bench.speed import attacking


@pytest.fixture(scope="module")
def victim(resources):
    return attacking.victim("bert-tiny", steps=150, count=16)


@pytest.mark.parametrize("recipe", ["deepwordbug", "textfooler"])
def test_ours_finds_what_stock_finds(recipe: str, victim, resources) -> None:
    classifier, samples = victim
    ticks = []
    table = attacking.measure(classifier, sources.open_lexicon(resources), recipe, samples, 20, lambda: ticks.append(1))
    assert len(ticks) == 3
    ways = dict(list(table.groupby("way")))
    assert set(ways["stock"]["status"]) >= {"success", "skipped"}  # else there is little to compare
    for way in attacking.WAYS[1:]:
        assert attacking.equal(ways["stock"], ways[way]).all()
    assert attacking.summary(table).row_count == 3


def test_a_difference_in_status_text_or_queries_is_seen() -> None:
    one = pd.DataFrame([("success", "a", 3), ("failed", None, 9), ("success", "b", 4), ("failed", None, 7)])
    two = pd.DataFrame([("success", "a", 3), ("failed", None, 9), ("success", "c", 4), ("skipped", None, 7)])
    for table in (one, two):
        table.columns = ["status", "perturbed", "queries"]
    assert attacking.equal(one, two).tolist() == [True, True, False, False]
    assert attacking.equal(one, two.assign(queries=8)).tolist() == [False] * 4
