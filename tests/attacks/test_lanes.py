from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np
import pytest
import torch

from attacks import lanes


class Model:
    """Answers a text with its length, and keeps the calls that were made."""

    def __init__(self) -> None:
        self.calls: list[list[str]] = []

    def serve(self, texts: Sequence[str]) -> list[int]:
        self.calls.append(list(texts))
        if "bad" in texts:
            raise ValueError("no answer to a bad text")
        return [len(text) for text in texts]


def test_lanes_are_served_together_and_outside_of_lanes_nothing_is_special() -> None:
    model = Model()
    assert lanes.ask(model.serve, ["abc"]) == [3]

    def job(name: str) -> list[int]:
        return [*lanes.ask(model.serve, [name]), *lanes.ask(model.serve, [name * 2, name * 3])]

    found = dict(lanes.run([lambda name=name: job(name) for name in ("a", "bb", "ccc")], in_flight=2))
    assert found == {0: [1, 2, 3], 1: [2, 4, 6], 2: [3, 6, 9]}
    assert model.calls[1:] == [["a", "bb"], ["aa", "aaa", "bbbb", "bbbbbb"], ["ccc"], ["cccccc", "ccccccccc"]]


@pytest.mark.parametrize("in_flight", [1, 3, 10])
def test_every_lane_has_its_own_random_generators(in_flight: int) -> None:
    model = Model()

    def job(seed: int) -> list[float]:
        random.seed(seed)
        np.random.seed(seed)
        torch.manual_seed(seed)
        drawn = []
        for _ in range(3):
            drawn += [random.random(), float(np.random.random()), torch.rand(1).item()]
            lanes.ask(model.serve, ["x"])
        return drawn

    alone = [job(seed) for seed in range(5)]
    random.seed(99)
    expected = random.random()
    random.seed(99)
    together = dict(lanes.run([lambda seed=seed: job(seed) for seed in range(5)], in_flight))
    assert [together[i] for i in range(5)] == alone
    assert random.random() == expected


def test_an_error_reaches_the_lane_that_asked_for_it_and_no_other() -> None:
    model = Model()

    def job(text: str) -> object:
        try:
            return lanes.ask(model.serve, [text])[0]
        except ValueError as error:
            return str(error)

    found = dict(lanes.run([lambda text=text: job(text) for text in ("a", "bad", "cc")], in_flight=3))
    assert found == {0: 1, 1: "no answer to a bad text", 2: 2}


def test_an_error_that_no_lane_catches_ends_the_run() -> None:
    with pytest.raises(ZeroDivisionError):
        list(lanes.run([lambda: 1 // 0], in_flight=2))


def test_a_lanes_clock_counts_its_own_time_only(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("attacks.lanes.time.perf_counter", lambda: now[0])

    def serve(texts: Sequence[str]) -> Sequence[str]:
        now[0] += 8.0
        return texts

    def job(own: float, count: int) -> float:
        start = lanes.clock()
        now[0] += own
        lanes.ask(serve, ["x"] * count)
        return lanes.clock() - start

    found = dict(lanes.run([lambda: job(1.0, 1), lambda: job(5.0, 3)], in_flight=2))
    assert found == {0: 1.0 + 8.0 / 4, 1: 5.0 + 8.0 * 3 / 4}
