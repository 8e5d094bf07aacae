"""The material of the report page: known answers for every chart, the same bytes again, whole or not there."""

from __future__ import annotations

import itertools
import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from bench import leaderboard
from bench.report import making
from bench.report.page import budget, examples, script, source, table, write
from bench.report.page.budget import Budget, accuracy
from bench.report.page.health import Health, thin
from bench.report.page.reliability import bins
from bench.report.page.runs import Runs
from bench.report.page.transfer import Transfer
from bench.report.shown import shown_of
from bench.speed import reporting
from bench.store import Store
from tests.bench.conftest import attack_table, make_record, make_tables
from training.errors import UserError

Fill = Callable[..., Store]
STRONG = {"aua": {"deepwordbug": 0.9, "textfooler": 0.85}}


def made(store: Store, folder: Path) -> Path:
    return making.make(store, folder).page


def place_of(index: Path) -> Path:
    found = re.findall(r'src="(page-[0-9a-f]{12})/', index.read_text(encoding="utf8"))
    assert len(set(found)) == 1
    return index.parent / found[0]


def read(index: Path, name: str) -> Any:
    text = (place_of(index) / "data" / f"{name}.js").read_text(encoding="ascii")
    told, _, value = text.removeprefix("temper.data(").removesuffix(");\n").partition(",")
    assert json.loads(told) == name
    return json.loads(value)


def stored(tmp_path: Path, tables: dict[str, pd.DataFrame], **changes: Any) -> source.Tables:
    store = Store(tmp_path / "one", write=True)
    record = store.write(make_record(**changes), tables)
    return source.Tables(store, record)


def test_accuracy_falls_where_the_attacks_succeeded() -> None:
    spent = np.array([[20, 40, 500, 1, np.nan], [10, 10, 10, 10, 10]])
    # of four known texts three were right before; one falls at 2 queries a word, one at 4
    (found,) = accuracy(["ssfke"], spent, np.array([1.0, 1.99, 2.0, 3.0, 4.0, 50.0]))
    assert found.tolist() == [0.75, 0.75, 0.5, 0.5, 0.25, 0.25]
    assert accuracy(["s"], np.array([[1.0], [2.0]]), np.array([0.25])).tolist() == [[0.0]]


def test_attacks_are_counted_apart_and_one_without_a_verdict_has_no_curve(tmp_path: Path) -> None:
    spent = np.array([[20, 40, 30, np.nan], [10, 10, 10, 10]])
    assert accuracy(["sf", "ss"], spent, np.array([1.0, 2.0, 3.0])).tolist() == [[1.0, 0.5, 0.5], [1.0, 1.0, 0.5]]
    failed, broken = np.array([1, 1]), ["error", "error"]
    part = Budget()
    part.add(0, stored(tmp_path, {"attack:a:raw": attack_table(failed), "attack:b:raw": attack_table(failed, broken)}))
    data = part.data()
    assert data is not None
    assert [(one["recipe"], set(one["arms"]["0"]["mean"])) for one in data["attacks"]] == [("a", {1})]


@pytest.mark.parametrize("waiting", [1, 7])
def test_curves_found_bit_by_bit_are_the_same(filled: Fill, monkeypatch: pytest.MonkeyPatch, waiting: int) -> None:
    store = filled("r", {"baseline": {}, "fgm": STRONG}, seeds=3)

    def found() -> Any:
        part = Budget()
        for place, record in enumerate(store):
            part.add(place // 3, source.Tables(store, record))
        return part.data()

    whole = found()
    monkeypatch.setattr(budget, "WAITING", waiting)
    assert found() == whole


def test_a_budget_curve_ends_at_the_accuracy_under_attack(filled: Fill, tmp_path: Path) -> None:
    store = filled("r", {"baseline": {}, "fgm": STRONG})
    (board,) = leaderboard.build(store)
    part = Budget()
    for place, arm in enumerate(board.arms):
        for record in arm.records:
            part.add(place, source.Tables(store, store.read(record.spec_id)))
    data = part.data()
    assert data is not None
    for attack in data["attacks"]:
        for place, line in attack["arms"].items():
            cell = board.arms[int(place)].cells[f"aua_{attack['mode']}:{attack['recipe']}"]
            assert line["mean"][-1] == pytest.approx(cell.value, abs=1e-4)  # type: ignore[union-attr]
            assert line["low"][-1] <= line["mean"][-1] <= line["high"][-1]


def test_bins_hold_equally_many_texts() -> None:
    confidence = np.array([0.9, 0.6, 0.8, 0.7, np.nan])
    assert bins(confidence, np.array([1.0, 0.0, 1.0, 1.0, 1.0]), 2) == [[0.65, 0.5, 2], [0.85, 1, 2]]
    assert bins(np.array([np.nan]), np.array([1.0])) == []


def test_thinning_takes_medians_and_keeps_gaps() -> None:
    values = np.array([1.0, 2.0, 30.0, np.nan, np.nan, np.nan])
    found = thin(np.array([np.arange(6.0), values]), 2)
    assert found[0].tolist() == [1.0, 4.0]
    assert found[1][0] == 2.0
    assert np.isnan(found[1][1])


def test_thinning_many_lines_is_the_median_of_each_group() -> None:
    rng = np.random.default_rng(0)
    rows = rng.random((3, 47))
    rows[1, rng.random(47) < 0.4] = np.nan
    edges = np.linspace(0, 47, 10).astype(int)
    groups = [rows[:, a:b] for a, b in itertools.pairwise(edges)]
    np.testing.assert_array_equal(thin(rows, 9), np.stack([np.nanmedian(group, axis=1) for group in groups], axis=1))


def test_layers_stand_from_bottom_to_top_and_zero_is_a_gap(tmp_path: Path) -> None:
    names = ("norm:head", "norm:layer.01", "norm:embeddings", "norm:layer.00")
    telemetry = pd.DataFrame({"step": [1, 2], "loss": [0.7, 0.6], **{name: [0.5, 0.0] for name in names}})
    tables = stored(tmp_path, {"telemetry": telemetry})
    part = Health()
    part.add(0, tables)
    data = part.data()
    assert data is not None
    assert data["layers"] == ["embeddings", "layer.00", "layer.01", "head"]
    assert data["arms"]["0"]["head"] == [[1, 2], [0.5, None]]
    assert data["arms"]["0"]["loss"] == [[1, 2], [0.7, 0.6]]


def test_a_run_that_ended_early_is_compared_as_far_as_it_goes(tmp_path: Path) -> None:
    part = Health()
    for seed, steps in enumerate((4, 2)):
        frame = pd.DataFrame({"step": range(1, steps + 1), "loss": 1.0 + seed, "norm:head": 0.5})
        part.add(0, stored(tmp_path, {"telemetry": frame}, seed=seed))
    data = part.data()
    assert data is not None
    assert data["arms"]["0"]["loss"] == [[1, 2, 3, 4], [1.5, 1.5, 1, 1]]


def test_the_transfer_matrix_counts_by_donor(tmp_path: Path) -> None:
    rows = [("fgm", "a", True), ("fgm", "b", False), ("baseline", "a", True), ("fgm", "c", None)]
    frame = pd.DataFrame(rows, columns=["donor", "id", "correct"])
    plain = pd.DataFrame({"id": ["a", "b"], "correct": [True, False]})
    tables = stored(tmp_path, {"transfer:textfooler": frame, "transfer:deepwordbug": plain})
    part = Transfer()
    part.add(3, tables)
    assert part.data() == {
        "donors": ["baseline", "fgm"],
        "entities": False,
        "recipes": {"deepwordbug": {"3": [[1, 2], None]}, "textfooler": {"3": [[1, 1], [1, 2]]}},
    }


def test_runs_name_what_failed(tmp_path: Path) -> None:
    table_ = attack_table(np.array([1, 0, 0]), ["failed", "error", "error"])
    tables = stored(tmp_path, {"attack:textfooler:raw": table_})
    store = Store(tmp_path / "one")
    part = Runs(leaderboard.build(store)[0])
    part.add(0, tables)
    (row,) = (part.data() or {})["rows"]
    assert row["errors"] == [["textfooler:raw", "boom", 2]]
    assert row["seconds"] == 13.5


def test_json_in_a_script_stays_text() -> None:
    hostile = "</script><!-- \u2028 \u00e9 ' \" \\"
    text = script.encode({"a": hostile})
    assert text.isascii()
    assert "<" not in text
    assert json.loads(text) == {"a": hostile}
    with pytest.raises(ValueError, match="not JSON compliant"):
        script.encode(float("nan"))


@pytest.mark.parametrize(
    ("value", "printed"), [(0.123456, 0.1235), (2.0, 2), (float("nan"), None), (None, None), ("x", None), (7, 7)]
)
def test_short_numbers(value: Any, printed: Any) -> None:
    assert script.short(value) == printed


def test_the_page_prints_what_the_leaderboard_prints(filled: Fill, tmp_path: Path) -> None:
    from bench.report import sections

    store = filled("r", {"baseline": {}, "fgm": STRONG})
    index = made(store, tmp_path / "out")
    (board,) = leaderboard.build(store)
    shown = read(index, "board-0")
    for section in (sections.verdict(board), *sections.details(board)):
        title = section.title.removesuffix(", continued")
        columns = next(one for one in shown["sections"] if one["title"] == title)["columns"]
        for place, head in enumerate(section.header):
            cells = next(column for column in columns if column["head"] == head)["cells"]
            assert [" ".join(filter(None, cell[:2])) for cell in cells] == [row[place].text for row in section.rows]


def test_every_metric_of_the_board_is_a_column(filled: Fill, tmp_path: Path) -> None:
    from bench.report import wording

    (board,) = leaderboard.build(filled("r", {"baseline": {}, "fgm": STRONG}))
    heads = {column["head"] for section in table.content(shown_of(board))["sections"] for column in section["columns"]}
    assert {wording.heading(name) for name in board.metrics} - heads == set()


def test_the_same_records_give_the_same_page(filled: Fill, tmp_path: Path) -> None:
    store = filled("r", {"baseline": {}, "fgm": STRONG})
    first, second = made(store, tmp_path / "one"), made(Store(store.folder), tmp_path / "two")
    assert first.read_bytes() == second.read_bytes()
    assert place_of(first).name == f"page-{write.digest(place_of(first))}"
    assert place_of(first).name == place_of(second).name


def test_an_older_page_goes_and_what_is_not_ours_stays(filled: Fill, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    old = place_of(made(filled("r", {"baseline": {}}), folder))
    (folder / "page-notes").mkdir()
    (folder / "page-0123456789ab").mkdir()
    new = place_of(made(filled("s", {"baseline": {}, "fgm": STRONG}), folder))
    assert old != new
    assert not old.exists()
    assert sorted(p.name for p in folder.iterdir() if p.stem != "leaderboard") == sorted(
        ["index.html", new.name, "page-0123456789ab", "page-notes"]
    )


def test_examples_that_wait_on_disk_are_the_same(filled: Fill, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = filled("r", {"baseline": {}, "fgm": STRONG})
    monkeypatch.setattr(examples, "PIECE_BYTES", 50_000)
    whole = place_of(made(store, tmp_path / "one"))
    monkeypatch.setattr(examples, "BUFFER", 7)
    spilled = place_of(made(store, tmp_path / "two"))
    assert whole.name == spilled.name
    assert len(list(whole.glob("data/examples-0-piece-*.js"))) > 5
    assert not list(spilled.glob("data/.*"))


def test_an_example_knows_its_outcomes(filled: Fill, tmp_path: Path) -> None:
    store = filled("r", {"baseline": {}, "fgm": STRONG}, seeds=2)
    index = made(store, tmp_path / "out")
    board, piece = read(index, "board-0"), read(index, "examples-0-piece-0")
    first = piece["texts"][0]
    assert (first["id"], first["text"], board["examples"]["texts"]) == ("text-0", "text 0", 50)
    rows = rows_of(piece, 0)
    wanted = itertools.product(range(2), range(2), range(4))
    assert sorted(row[:3] for row in rows) == sorted(map(list, wanted))
    fooled = [row for row in rows if row[3] == "s"]
    assert {row[4] for row in fooled} <= {0}
    assert {row[4] for row in rows if row[3] != "s"} == {None}
    assert {tuple(row[5:]) for row in fooled} <= {(0.9, 0.4, 30, 10, 2, None)}
    assert first["versions"] == (["texxt 0"] if fooled else [])
    listed = read(index, "examples-0-index-0")[0]
    assert listed == ["text-0", 0, "text 0", len(fooled), 16]
    letters = read(index, "examples-0-letters-0")["0"]
    assert sorted(letters) == sorted(f"{attack}|{seed}" for attack in range(4) for seed in range(2))
    assert all(len(line) == 50 and set(line) <= set("sf") for line in letters.values())


def rows_of(piece: Any, text: int) -> list[list[Any]]:
    """[arm, seed, attack, letter, version, ...] as the page makes them."""
    return [
        [*head, *([column[k] if isinstance(column, list) else column for column in (list(letters), *columns)])]
        for block, letters, *columns in piece["texts"][text]["o"]
        for k, head in enumerate(zip(*piece["runs"][block], strict=True))
    ]


def test_outcomes_of_arms_are_parted_and_found_again(
    filled: Fill, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = filled("r", {"baseline": {}, "fgm": STRONG, "eda": {}})
    whole = read(made(store, tmp_path / "one"), "examples-0-letters-0")
    monkeypatch.setattr(examples, "LETTERS_BYTES", 1)
    index = made(store, tmp_path / "two")
    assert read(index, "board-0")["examples"]["letters"] == [0, 1, 2]
    assert [read(index, f"examples-0-letters-{arm}") for arm in range(3)] == [{k: whole[k]} for k in ("0", "1", "2")]


def test_runs_that_attacked_other_texts_stand_beside_each_other(tmp_path: Path) -> None:
    store = Store(tmp_path / "two", write=True)
    for seed in range(2):
        frame = attack_table(np.array([1, 0, 1, 0])).iloc[[2, 1, 0] if seed == 0 else [3, 1]]
        told = {"id": ["text-1", "text-1", "text-9"], "version": ["clean", "attacked", "clean"]}
        words = {"words": ['["a", "b"]', '["a", "c"]', "[]"], "scores": ["[1, 0.12345]", "[NaN, 2]", "[]"]}
        tables = {"attack:textfooler:raw": frame, "attributions:lime": pd.DataFrame(told | words)}
        store.write(make_record(seed=seed), tables)
    index = made(store, tmp_path / "out")
    piece = read(index, "examples-0-piece-0")
    assert [text["id"] for text in piece["texts"]] == ["text-2", "text-1", "text-0", "text-3"]
    assert [[row[:5] for row in rows_of(piece, text)] for text in range(4)] == [
        [[0, 0, 0, "f", None]],
        [[0, 0, 0, "s", 0], [0, 1, 0, "s", 0]],
        [[0, 0, 0, "f", None]],
        [[0, 1, 0, "s", 0]],
    ]
    assert read(index, "examples-0-letters-0") == {"0": {"0|0": "fsf", "0|1": "-s-s"}}
    assert [row[3:] for row in read(index, "examples-0-index-0")] == [[0, 1], [2, 2], [0, 1], [1, 1]]
    text = piece["texts"][1]
    assert text["words"] == [["a", "b"], ["a", "c"]]
    clean, attacked = text["a"]
    assert clean[1:] == [["clean", "clean"], [0, 0], [[1, 0.12345]] * 2]
    assert attacked[1:] == [["attacked", "attacked"], [1, 1], [[None, 2]] * 2]
    assert piece["runs"][clean[0]] == [[0, 0], [0, 1], [0, 0]]


@pytest.mark.parametrize("scores", ["[1, 2", "3"])
def test_torn_attributions_are_refused_by_name(tmp_path: Path, scores: str) -> None:
    store = Store(tmp_path / "torn", write=True)
    stored_ = pd.DataFrame([{"id": "text-0", "words": '["a"]', "scores": scores}])
    record = store.write(make_record(), {"attack:a:raw": attack_table(np.array([1])), "attributions:lime": stored_})
    with pytest.raises(UserError, match=f"record '{record.spec_id}': a table is not as this suite writes it"):
        made(store, tmp_path / "out")


def test_tables_of_several_thousand_rows_are_read_from_parquet(tmp_path: Path) -> None:
    store = Store(tmp_path / "big", write=True)
    survived = np.arange(1500) % 3 > 0
    store.write(make_record(), {"attack:textfooler:calibrated": attack_table(survived)})
    index = made(store, tmp_path / "out")
    letters = read(index, "examples-0-letters-0")["0"]["0|0"]
    assert (letters.count("s"), letters.count("f")) == (500, 1000)
    assert read(index, "board-0")["examples"]["pieces"] == 2


def test_an_empty_store_and_an_unreadable_table(tmp_path: Path) -> None:
    index = made(Store(tmp_path / "none"), tmp_path / "out")
    assert read(index, "manifest") == {"boards": [], "labels": []}
    store = Store(tmp_path / "torn", write=True)
    store.write(make_record(), {"transfer:textfooler": pd.DataFrame({"id": ["a"], "correct": [True]})})
    store.write(make_record(), {"transfer:textfooler": pd.DataFrame({"id": ["a"]})}, replace=True)
    with pytest.raises(Exception, match="is not as this suite writes it"):
        made(store, tmp_path / "out")
    assert read(index, "manifest") == {"boards": [], "labels": []}
    assert not list((tmp_path / "out").glob(".page-*"))


WRITER = """
import sys
from pathlib import Path
from bench.report import making
from bench.store import Store
print("ready", flush=True)
making.make(Store(sys.argv[1]), Path(sys.argv[2]))
"""


def test_a_kill_at_any_moment_leaves_a_whole_page(filled: Fill, tmp_path: Path) -> None:
    folder, stores = tmp_path / "out", [filled(f"r{i}", {"baseline": {}, "fgm": STRONG}, seeds=2 + i) for i in (0, 1)]
    started = time.perf_counter()
    made(stores[0], folder)
    lasts = time.perf_counter() - started
    seen = set()
    for step in range(3):
        command = [sys.executable, "-c", WRITER, str(stores[step % 2 == 0].folder), str(folder)]
        child = subprocess.Popen(command, stdout=subprocess.PIPE)
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        time.sleep(lasts * (0.2 + 0.3 * step))
        child.send_signal(signal.SIGKILL)
        child.wait()
        child.stdout.close()
        place = place_of(folder / "index.html")
        assert place.name == f"page-{write.digest(place)}"
        seen.add(place.name)
    made(stores[1], folder)
    assert place_of(folder / "index.html").name == f"page-{write.digest(place_of(folder / 'index.html'))}"
    assert seen


def test_the_scale_records_are_in_the_real_schema(tmp_path: Path) -> None:
    reporting.fill(tmp_path / "r", 2 * reporting.SEEDS)
    (board,) = leaderboard.build(Store(tmp_path / "r"))
    assert [arm.label for arm in board.arms if arm.verdict == "baseline"] == ["baseline"]
    assert len(board.metrics) > 20
    assert reporting.measure(tmp_path / "r", tmp_path / "out")["files"] > 0


def test_the_page_is_written_without_torch() -> None:
    code = "import bench.report.making, sys; print({'torch', 'transformers', 'matplotlib'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_settings_keep_their_words(tmp_path: Path) -> None:
    store = Store(tmp_path / "two", write=True)
    for rate in (1e-4, 5e-5):
        record = make_record("fgm", 0, spec={"settings": {"learning_rate": rate}}, spec_id=f"a{rate}")
        store.write(record, make_tables("fgm", 0, accuracy=0.8, aua={}, raw_bonus=0, n=20, attacked=5, noise=0))
    index = made(store, tmp_path / "out")
    rates = [spec["settings"]["learning_rate"] for spec in read(index, "runs-0")["specs"].values()]
    assert sorted(rates) == [5e-5, 1e-4]
