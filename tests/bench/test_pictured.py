"""Pictures that need a checkpoint, on a tiny model: curves, layers, a sentence of the reader's own."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pandas as pd
import pytest
from rich.console import Console

from bench.report.gallery import command
from bench.report.gallery.command import Asked
from bench.store import Store
from tests.bench.conftest import make_record
from training.errors import UserError
from training.model import open_classifier

WORDS = ("the", "film", "was", "great")


@pytest.fixture(scope="module")
def checkpoint(tiny_model: Path, sentiment_task, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("checkpoint")
    open_classifier(tiny_model, sentiment_task(), 32, 0).save(folder)
    return folder


@pytest.fixture
def store(tmp_path: Path, checkpoint: Path) -> Store:
    """Two arms with one stored text; only the first one's checkpoint is there."""
    store = Store(tmp_path / "results", write=True)
    stored = {"id": "aaa", "version": "clean", "words": json.dumps(WORDS), "scores": "[1, 2, -1, 3]"}
    for number, arm in enumerate(("baseline", "fgm")):
        record = make_record(arm, 0, summary={"train_seconds": 1.5 + number}, spec={"settings": {"max_length": 32}})
        store.write(record, {"attributions:integrated_gradients": pd.DataFrame([stored])})
    (store.folder / "work").mkdir()
    (store.folder / "work" / "train-0123456789abcdef").symlink_to(checkpoint)
    (checkpoint / "result.json").write_text(json.dumps({"seconds": 1.0, "result": {"train_seconds": 1.5}}))
    return store


def drawn(store: Store, **options: str) -> tuple[str, Path]:
    console = Console(file=io.StringIO(), width=200, record=True)
    command.run(Asked(**options), store, store.folder / "pictures", console)  # type: ignore[arg-type]
    return console.export_text(), store.folder / "pictures"


def read(path: Path) -> list[list[str]]:
    return list(csv.reader(io.StringIO(path.read_text(encoding="utf8"))))


def test_curves_and_layers_come_from_the_checkpoint_that_is_there(store: Store) -> None:
    said, out = drawn(store)
    assert "! fgm: no curves and no layers: the checkpoint of" in said
    curves = read(out / "aaa-curves-baseline.csv")
    # at 0, 1, ... 4 words
    assert [float(row[1]) for row in curves[1:]] == [0.0, 0.25, 0.5, 0.75, 1.0]
    at = {name: place for place, name in enumerate(curves[0])}
    # nothing masked is everything kept
    assert float(curves[1][at["deletion"]]) == pytest.approx(float(curves[-1][at["insertion"]]), abs=1e-6)
    layers = read(out / "aaa-layers-baseline.csv")
    assert layers[0] == ["layer", *WORDS]
    assert [row[0] for row in layers[1:3]] == ["embeddings", "layer 1"]
    assert not (out / "aaa-layers-fgm.csv").exists()


def test_a_sentence_is_explained_by_the_arms_that_can(store: Store) -> None:
    said, out = drawn(store, sentence="the film <b>was")
    assert "! fgm: the checkpoint of" in said
    grid = read(out / "sentence-grid.csv")
    assert grid[0] == ["mitigation", "the", "film", "<b>was"]
    (row,) = grid[1:]
    assert row[0].startswith("baseline → class ")
    # integrated gradients of the embeddings are the first row of the layers
    first = [float(cell) for cell in read(out / "sentence-layers-baseline.csv")[1][1:]]
    assert [float(cell) for cell in row[1:]] == pytest.approx(first, rel=0.05, abs=1e-4)
    assert "<b>was" not in (out / "pictures.html").read_text(encoding="utf8")


def test_no_checkpoint_at_all_is_said(store: Store) -> None:
    (store.folder / "work" / "train-0123456789abcdef").unlink()
    assert "curves and layers need the checkpoints, and there are none in" in drawn(store)[0]
    with pytest.raises(UserError, match=r"no arm explains this sentence\. baseline: the checkpoint of"):
        drawn(store, sentence="the film")
