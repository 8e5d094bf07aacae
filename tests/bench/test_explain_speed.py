"""The speed comparison explains the same thing every way, and scores the same numbers with and without a pool."""

from __future__ import annotations

import pytest

from bench.speed import explaining
from explain.inputs import Explainable
from explain.methods import occlusion, random
from tests.explain.conftest import bert, sentences, wordpiece  # noqa: F401


def test_five_ways_agree(bert: Explainable, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    monkeypatch.setattr(explaining, "PADDED", 24)
    bert.module.eval()
    ticks: list[int] = []
    table = explaining.measure(bert, sentences(3, seed=71, low=3, high=6), 1, lambda: ticks.append(1))
    assert len(ticks) == len(explaining.WAYS) == len(table)
    off = table.set_index("way")["difference"]
    assert off["Captum"] == 0.0
    assert max(off["tutorial"], off["ours, 50 points"]) < 5e-6
    assert off["ours"] < 0.02
    worst = table.set_index("way")["error_max"]
    assert worst["ours"] <= 1e-3
    assert worst["ours, to rounding"] < 1e-4
    assert explaining.summary(table).row_count == len(explaining.WAYS)


def test_scoring_from_the_pool_is_scoring_row_by_row(
    bert: Explainable,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(explaining, "SCORED", (occlusion, random))
    found = explaining.scoring(bert, ["good bad film plot not is a"])
    assert found["difference"] < 1e-5
    assert found["alone_rows"] > 2 * found["pool_rows"]
