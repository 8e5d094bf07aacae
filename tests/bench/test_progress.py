"""The ETA: shares add up, cached cells count as done, a pipe gets plain lines."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from bench.progress import RAW, UNIT, Display, Work
from tests.bench.test_spec import spec


def work_of(*specs) -> Work:
    return Work(specs, lambda _: 100, lambda s: s.task != "ner_finance")


def test_everything_done_is_one():
    made = work_of(spec(), spec(seed=1))
    assert made.share == 0.0
    made.finish(spec().id)
    assert made.share == pytest.approx(0.5)
    made.finish(spec(seed=1).id)
    assert made.share == pytest.approx(1.0)


def test_a_half_trained_cell_is_part_done_and_never_counts_twice():
    made = work_of(spec())
    made.advance(spec().id, "train", 50, 100)
    half = made.share
    made.advance(spec().id, "train", 50, 100)
    assert made.share == half == pytest.approx(50 / sum(made.weights.values()))
    made.advance(spec().id, "no such stage", 1, 1)
    assert made.share == half


def test_tagging_cells_expect_no_attack():
    tagging, texts = work_of(spec(task="ner_finance")), work_of(spec())
    assert {stage for _, stage in tagging.weights} == {"train", "evaluate", "throughput"}
    attacked = spec().sizes.attacked * UNIT["deepwordbug"]
    assert texts.weights[spec().id, "deepwordbug:raw"] == pytest.approx(RAW * attacked)


def test_a_pipe_gets_lines_with_an_eta(monkeypatch):
    out = io.StringIO()
    made = work_of(spec())
    with Display(made, {spec().id: "toy fgm s0"}, Console(file=out, width=100)) as display:
        display.last_line -= 100
        display.started -= 60
        display.update(spec().id, "train", 50, 100)
        display.update(spec().id, "train", 51, 100)
    (line,) = out.getvalue().splitlines()
    assert "toy fgm s0: train 50/100" in line
    assert "ETA" in line
    assert "\x1b" not in line
