"""Step times beside the baseline's."""

from __future__ import annotations

import pytest

from training.stack import Stack
from training.throughput import measure


def test_rows_alternate_and_count_real_tokens(make_context, sentiment_task):
    task = sentiment_task(train=64)
    classifier, context = make_context(task)

    def build():
        return make_context(task)[0]

    table = measure(build, Stack([]), context, rounds=4)
    assert list(table["arm"]) == ["baseline", "this"] * 4
    assert list(table["round"]) == [0, 0, 1, 1, 2, 2, 3, 3]
    assert (table["seconds"] > 0).all()
    tokens = table.pivot_table(index="round", columns="arm", values="tokens")
    assert (tokens["baseline"] == tokens["this"]).all()
    assert tokens.max().max() <= 8 * max(len(classifier.tokenizer(e.text)["input_ids"]) for e in task.train)


def test_refuses_no_rounds(make_context, sentiment_task):
    classifier, context = make_context(sentiment_task())
    with pytest.raises(ValueError, match="rounds is 0"):
        measure(lambda: classifier, Stack([]), context, rounds=0)
