"""What makes a large report quick changes none of its numbers."""

from __future__ import annotations

import copy
import functools
import json
import math
import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bench import leaderboard, metrics, reading, stats, summaries
from bench.board import Board
from bench.extraction import equal_mass, extract, extract_all
from bench.metrics import Values
from bench.record import Table
from bench.report import formats, json_text, making
from bench.report.page import script
from bench.report.shown import shown_of
from bench.stats import paired
from bench.store import Store, columns_of
from tests.bench.conftest import make_record, make_tables
from training.errors import UserError

Fill = Callable[..., Store]
STRONG = {"aua": {"deepwordbug": 0.9, "textfooler": 0.85}}


def arms_of(rng: np.random.Generator, n: int, seeds: int, kind: str) -> list[dict[int, Values]]:
    """Four arms on the same examples; of `gaps` the second one has an unknown outcome, and the third lacks a seed."""
    ids = tuple(f"text-{i}" for i in rng.permutation(n))
    arms = []
    for rate in (0.0, 0.3, 0.9, 1.0):
        arm = {}
        for seed in range(seeds):
            top = rng.random(n) if kind == "mean" else (rng.random(n) < rate).astype(float)
            bottom = (rng.random(n) < rng.choice([0.0, 0.5, 1.0])).astype(float) if kind == "ratio" else None
            arm[seed] = Values(top if bottom is None else top * bottom, bottom, ids)
        arms.append(arm)
    if kind == "gaps":
        arms[1][0].top[0] = np.nan
        arms[2].pop(0)
    return arms


@pytest.mark.parametrize(
    ("name", "kind"),
    [("clean_accuracy", "binary"), ("brier_raw", "mean"), ("asr:x", "ratio"), ("clean_accuracy", "gaps")],
)
def test_intervals_of_all_arms_at_once_are_those_of_each(name: str, kind: str) -> None:
    rng = np.random.default_rng(0)
    for n, seeds in ((1, 1), (1, 3), (2, 2), (7, 5), (20, 1), (40, 5), (130, 3), (300, 4)):
        arms = arms_of(rng, n, seeds, kind)
        alone = [metrics.summarise(name, [arm[seed] for seed in sorted(arm)]) for arm in arms]
        assert [repr(one) for one in summaries.summarise(name, arms)] == [repr(one) for one in alone]


@pytest.mark.parametrize("kind", ["binary", "gaps"])
def test_a_value_alone_is_the_interval_s(kind: str) -> None:
    rng = np.random.default_rng(4)
    for n, seeds in ((1, 1), (7, 5), (40, 3)):
        for arm in arms_of(rng, n, seeds, kind):
            ordered = [arm[seed] for seed in sorted(arm)]
            assert metrics.value("clean_accuracy", ordered) == metrics.summarise("clean_accuracy", ordered).value
    assert metrics.value("clean_accuracy", []) is None


def test_arms_of_one_size_are_taken_together(monkeypatch: pytest.MonkeyPatch) -> None:
    arms = arms_of(np.random.default_rng(1), 30, 3, "binary")
    monkeypatch.setattr(metrics, "summarise", lambda *_: pytest.fail("an arm was summarised by itself"))
    assert len(summaries.summarise("clean_accuracy", arms)) == 4


def everything(boards: list[Board]) -> dict[str, str]:
    return formats.render(boards)


def several(filled: Fill) -> Store:
    """Two tasks, of which one has a failed run, as another store's files copied together."""
    failed = {"record": {"status": "failed", "reason": "out of memory"}}
    store = filled("r", {"baseline": {}, "fgm": STRONG, "eda": failed}, seeds=2)
    for seed in range(2):
        for arm in ("baseline", "lora"):
            tables = make_tables(arm, seed, accuracy=0.7, aua={"a": 0.4}, raw_bonus=0, n=30, attacked=10, noise=0)
            store.write(make_record(arm, seed, task="another", recipes=["a"]), tables)
    return store


def test_any_number_of_processes_makes_the_same_boards(filled: Fill, tmp_path: Path) -> None:
    store = several(filled)
    alone, shared = (leaderboard.build(store, workers=workers) for workers in (1, 2))
    assert len(alone) == 2
    assert everything(shared) == everything(alone)
    assert [arm.values.keys() for board in shared for arm in board.arms] == [
        arm.values.keys() for board in alone for arm in board.arms
    ]
    # what another process sends back is written alike
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        sent = pool.submit(copy.copy, alone).result()
    assert [formats.pieces(shown_of(board)) for board in sent] == [formats.pieces(shown_of(board)) for board in alone]
    made = [making.make(store, tmp_path / str(workers), workers) for workers in (1, 2)]
    # the page's folder is named by its content
    assert len({one.page.read_bytes() for one in made}) == 1
    for one in made:
        written = {path.suffix[1:]: path.read_text() for path in one.page.parent.glob("leaderboard.*")}
        assert written == everything(alone)


def test_a_file_named_after_another_task_stands_on_its_own_board(filled: Fill) -> None:
    store = several(filled)
    wanted = everything(leaderboard.build(store))
    renamed = "another--bert-tiny--fgm--s0--quick--11111111"
    path = store.records / "movie_reviews--bert-tiny--fgm--s0--quick--00000000.json"
    assert path.is_file()
    data = json.loads(path.read_text()) | {"spec_id": renamed}
    (store.records / f"{renamed}.json").write_text(json.dumps(data))
    path.unlink()
    found = everything(leaderboard.build(store))
    assert len(reading.partitions(store.ids())) == 2
    assert found["csv"] == wanted["csv"]


def test_ids_are_parted_by_what_boards_keep_apart() -> None:
    ids = [
        "a--m--fgm--s0--quick--1",
        "a--m--fgm--s0--smoke--1",
        "a--m--eda--s1--quick--2",
        "b--m--fgm--s0--quick--1",
        "x",
    ]
    assert reading.partitions(ids) == [[ids[0], ids[2]], [ids[1]], [ids[3]], [ids[4]]]


def test_equal_settings_are_held_once(filled: Fill) -> None:
    store = filled("r", {"baseline": {}}, seeds=2)
    (first, _), (second, _) = reading.read(store.folder, store.ids())
    assert first.environment is second.environment
    assert first.spec["settings"] is second.spec["settings"]
    assert [first, second] == [record.model_copy(update={"tables": {}}) for record in store]


def test_columns_and_frames_are_read_alike(filled: Fill) -> None:
    store = filled("r", {"fgm": STRONG}, seeds=1)
    (record,) = store
    first, second = (extract(record, functools.partial(get, record)) for get in (store.columns, store.tables))
    assert first.keys() == second.keys()
    assert all(np.array_equal(first[name].top, second[name].top, equal_nan=True) for name in first)
    assert all(first[name].ids == second[name].ids for name in first)


def test_records_read_together_say_what_each_says_alone(filled: Fill) -> None:
    """With arms of other examples, columns and tables, unknown cells, and a record without tables."""
    stores = [
        filled("a", {"fgm": STRONG, "eda": {"raw_bonus": 0.3}}, seeds=2),
        filled("b", {"baseline": {}}, seeds=1, n=90, attacked=20),
    ]
    read = [(record, dict(record.tables)) for store in stores for record in store]
    clean = read[0][1]["clean"].inline or {}
    sure = clean.get("confidence") or [0.6] * len(clean["id"])
    for hole, (_, tables) in enumerate(read[1:3]):
        columns = (tables["clean"].inline or {}) | {"confidence": [None] * 150 * hole + list(sure)[150 * hole :]}
        tables["clean"] = Table(inline=columns)
    records = [one.model_copy(update={"tables": tables}) for one, tables in read]
    records.append(records[0].model_copy(update={"tables": {}}))
    together = extract_all(records, stores[0].columns)
    for record, found in zip(records, together, strict=True):
        alone = extract(record, functools.partial(stores[0].columns, record))
        assert found.keys() == alone.keys()
        for name, values in alone.items():
            assert found[name].ids == values.ids
            np.testing.assert_array_equal(found[name].top, values.top)
            np.testing.assert_array_equal(found[name].bottom, values.bottom)


def test_of_records_read_together_the_bad_one_is_named(filled: Fill) -> None:
    store = filled("r", {"fgm": STRONG}, seeds=3)
    first, second, third = store
    columns = (second.tables["clean"].inline or {}) | {"correct": ["yes"] * 200}
    bad = second.model_copy(update={"tables": second.tables | {"clean": Table(inline=columns)}})
    with pytest.raises(UserError, match=f"record '{second.spec_id}': table 'clean'"):
        extract_all([first, bad, third], store.columns)


def test_columns_of_a_frame_say_none_for_the_unknown() -> None:
    frame = pd.DataFrame({"x": [1.5, np.nan], "y": ["a", None], "z": [True, False]})
    assert columns_of(frame) == {"x": [1.5, None], "y": ["a", None], "z": [True, False]}


@pytest.mark.parametrize("n", [1, 7, 15, 40, 1000])
def test_bins_of_equal_mass_are_those_of_numpy(n: int) -> None:
    rng = np.random.default_rng(n)
    sure, right = rng.random(n), (rng.random(n) < 0.5).astype(float)
    parts = np.array_split(np.argsort(sure, kind="stable"), min(15, n))
    means, accuracies, sizes = equal_mass(sure, right)
    assert means.tolist() == [sure[part].mean() for part in parts]
    assert accuracies.tolist() == [right[part].mean() for part in parts]
    assert sizes.tolist() == [len(part) for part in parts]


def test_a_resample_draws_n_of_n_with_replacement() -> None:
    counts = paired._counts(0, 40, 10_000, 1).astype(float)
    assert (counts.sum(axis=0) == 40).all()
    np.testing.assert_allclose(counts.mean(axis=1), 1, atol=0.06)
    # a binomial of 40 tries with probability 1/40
    np.testing.assert_allclose(counts.var(axis=1), 1 - 1 / 40, atol=0.1)
    assert paired._counts(0, 300, 50, 1).sum() == 300 * 50


def test_weights_of_one_are_no_weights_and_nothing_before_matters() -> None:
    rng = np.random.default_rng(2)
    a, b = rng.random((3, 60)), rng.random((3, 60))
    first = stats.paired_bootstrap(a, b)
    stats.paired_bootstrap(a[:, :50], b[:, :50], seed=5)
    ones = np.ones_like(a)
    weighted = stats.paired_bootstrap(a, b, a_weight=ones, b_weight=ones)
    assert first is not None
    assert weighted is not None
    assert stats.paired_bootstrap(a, b) == first
    for name in ("value", "low", "high", "p"):
        assert getattr(weighted, name) == pytest.approx(getattr(first, name), abs=1e-3)


def test_an_interval_is_widened_to_the_quantiles_of_the_draws() -> None:
    draws = np.random.default_rng(3).gamma(2.0, size=2001)
    low, high = np.quantile(draws, [(1 - 0.95) / 2, 1 - (1 - 0.95) / 2])
    for edges in ((low - 1, high + 1), (low + 0.01, high - 0.01), (low, high), (low + 0.01, high + 1)):
        found = paired._widened(draws, 0.95, *map(float, edges))
        assert found == (min(low, edges[0]), max(high, edges[1]))


@pytest.mark.parametrize(
    "value",
    [[], {}, [[]], {"a": {}}, {"a": [1, 2.5, None, True], "b": {"c": "ü\n", "d": [{"e": 1e-9}, 3]}}, [{"x": []}, "y"]],
)
def test_json_is_indented_as_by_python(value: object) -> None:
    assert json_text.indented(value, 0) == json.dumps(value, indent=1)


@pytest.mark.parametrize("digits", [3, 4])
def test_a_column_is_shortened_as_its_cells(digits: int) -> None:
    rng = np.random.default_rng(5)
    floats = [*(rng.random(50) * 10.0 ** rng.integers(-12, 17, 50)).tolist(), 0.0, -0.5, 2.0, 1e15, 123456.0]
    for column in (floats, [*floats, None], [*floats, 3], [1.5, math.nan], [1.5, math.inf], [1, True, None], []):
        assert [repr(x) for x in script.shorts(column, digits)] == [
            repr(value if isinstance(value, bool) else script.short(value, digits)) for value in column
        ]


@pytest.mark.parametrize(
    "value", [{"a": [1, 0.1, None, True, "<b>"]}, ["ü \u2028"], ["NaN"], [1e-7, 1e300], ["half \ud83d"]]
)
def test_data_in_scripts_is_ascii_json_without_tags(value: object) -> None:
    text = script.encode(value)
    assert text.isascii()
    assert "<" not in text
    assert json.loads(text) == value


def test_a_number_that_is_none_is_in_no_script() -> None:
    with pytest.raises(ValueError, match="JSON"):
        script.encode([math.nan])
    assert script.encode([math.nan, -math.inf, "NaN", "\u00fc\U0001f600"], unknown=True) == (
        '[null,null,"NaN","\\u00fc\\ud83d\\ude00"]'
    )


def test_json_refuses_what_is_no_number() -> None:
    with pytest.raises(ValueError, match="JSON"):
        json_text.indented({"a": float("nan")}, 0)
