"""Fewer labels: boards of their own, a curve over them, and what stages hand to a training."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import leaderboard
from bench.report import curves, formats
from bench.stages import Cell
from bench.store import Store
from tests.bench.conftest import RECIPES, make_record, make_tables


def fill(folder: Path) -> Store:
    store = Store(folder, write=True)
    for share, accuracy in ((1.0, 0.8), (0.1, 0.7), (0.01, 0.55)):
        for mitigation in ("baseline", "gan_bert"):
            for seed in range(3):
                tables = make_tables(
                    mitigation, seed, accuracy=accuracy, aua=RECIPES, raw_bonus=0.0, n=200, attacked=50, noise=share
                )
                settings = {"epochs": 2, "learning_rate": 5e-5, "labelled": share}
                record = make_record(mitigation, seed, spec={"settings": settings})
                store.write(record.model_copy(update={"spec_id": f"{record.spec_id}-{share}"}), tables)
    return store


def test_each_share_is_a_board_and_the_curve_joins_them(tmp_path: Path) -> None:
    boards = leaderboard.build(fill(tmp_path))
    assert [board.labelled for board in boards] == [1.0, 0.1, 0.01]
    assert boards[1].name.endswith("quick, 10 % of the labels")
    assert {len(board.arms) for board in boards} == {2}
    (section,) = curves.fewer_labels(boards)
    assert section.header == ("mitigation", "1 %", "10 %", "100 %")
    assert {row[0].text for row in section.rows} == {"baseline", "gan_bert"}
    for row in section.rows:
        values = [cell.number for cell in row[1:]]
        assert values == sorted(values)
    assert section.title in formats.markdown(boards)
    assert "by share of labels" in formats.html(boards)


def test_one_share_makes_no_curve(tmp_path: Path) -> None:
    boards = [board for board in leaderboard.build(fill(tmp_path)) if board.labelled == 1.0]
    assert curves.fewer_labels(boards) == []


@pytest.mark.parametrize(("share", "known"), [(1.0, 96), (0.25, 24), (0.001, 2)])
def test_a_cell_withholds_labels_but_no_steps(share, known, sentiment_task, tiny_model):
    from types import SimpleNamespace

    from bench.spec import Sizes
    from training.hooks import Settings
    from training.loop import Session
    from training.stack import Stack

    settings = Settings(learning_rate=1e-3, epochs=1, batch_size=16, max_length=32, labelled=share)
    sizes = Sizes(attacked=1, explained=1, throughput_rounds=1)
    spec = SimpleNamespace(settings=settings.model_dump(), sizes=sizes, seed=0, mitigations=())
    cell = Cell(
        spec, sentiment_task(), tiny_model, None, lambda: None, lambda _: None, lambda _: None, Path, lambda *_: None
    )
    context = cell.context
    assert len(context.task.train) == known
    assert len(context.unlabelled) == 96 - known
    assert not {e.id for e in context.task.train} & {e.id for e in context.unlabelled}
    session = Session(cell.build(), Stack([]), context)
    assert session.steps_per_epoch == 6
    assert len(session.rows) == known
