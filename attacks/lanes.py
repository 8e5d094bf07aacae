"""Many attacks in flight in one thread: each runs in a lane, and what the lanes ask of a model goes to it together.

A lane is a greenlet that runs ordinary code, TextAttack's search among it. Where that code asks a model for texts
(`ask`), the lane is parked. When all lanes are parked, each model gets one call with the texts of all of them. Only one
lane runs at a time, in a fixed order, with random generators of its own; so what a lane computes does not depend on how
many others there are.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, cast

import numpy as np
from greenlet import getcurrent, greenlet

Serve = Callable[[Sequence[str]], Sequence[Any]]


class Lane(greenlet):
    """`seconds`: its own running time, and of the calls that served several lanes its share by texts."""

    started = seconds = 0.0
    generators: tuple[Any, ...] | None = None
    asked: tuple[Serve, Sequence[str]] | None = None


def ask(serve: Serve, texts: Sequence[str]) -> Sequence[Any]:
    """`serve(texts)`, one answer a text; in a lane, together with what other lanes ask of the same `serve`."""
    lane = getcurrent()
    if not isinstance(lane, Lane):
        return serve(texts)
    lane.asked = (serve, texts)
    return cast(Sequence[Any], lane.parent.switch())


def clock() -> float:
    """Seconds for measuring durations: inside a lane only the lane's own time passes."""
    lane = getcurrent()
    return time.perf_counter() if not isinstance(lane, Lane) else lane.seconds + time.perf_counter() - lane.started


def run(jobs: Sequence[Callable[[], Any]], in_flight: int) -> Iterator[tuple[int, Any]]:
    """(position, result) of every job, in the order in which they end; at most `in_flight` (>= 1) run at a time.

    An exception of a job, or of a model that serves it, is raised here and ends the run.
    """
    waiting = list(enumerate(jobs))[::-1]
    lanes: list[tuple[int, Lane]] = []
    answers: dict[Lane, Any] = {}
    while waiting or lanes:
        while waiting and len(lanes) < in_flight:
            position, job = waiting.pop()
            lanes.append((position, Lane(job)))
        parked: list[tuple[int, Lane]] = []
        for position, lane in lanes:
            result = _resume(lane, answers.pop(lane, None))
            if lane.dead:
                yield position, result
            else:
                parked.append((position, lane))
        lanes = parked
        answers = _serve([lane for _, lane in lanes])


def _serve(lanes: Sequence[Lane]) -> dict[Lane, Any]:
    """Lane -> its answer, or the exception that its request alone raises."""
    requests: dict[Serve, list[Lane]] = {}
    for lane in lanes:
        if lane.asked is not None:
            requests.setdefault(lane.asked[0], []).append(lane)
    answers: dict[Lane, Any] = {}
    for serve, askers in requests.items():
        answers |= _answer(serve, askers)
    return answers


def _answer(serve: Serve, lanes: list[Lane]) -> dict[Lane, Any]:
    sizes = [len(lane.asked[1]) for lane in lanes if lane.asked is not None]
    started = time.perf_counter()
    try:
        rows = serve([text for lane in lanes if lane.asked is not None for text in lane.asked[1]])
    except Exception as error:  # noqa: BLE001 (it is raised again where the text was asked for)
        if len(lanes) == 1:
            return {lanes[0]: error}
        # one lane's text must not fail the others'
        return {lane: answer for one in lanes for lane, answer in _answer(serve, [one]).items()}
    spent = (time.perf_counter() - started) / max(1, sum(sizes))
    ends = np.cumsum(sizes).tolist()
    for lane, size in zip(lanes, sizes, strict=True):
        lane.seconds += spent * size
    return {lane: rows[end - size : end] for lane, size, end in zip(lanes, sizes, ends, strict=True)}


def _resume(lane: Lane, answer: Any) -> Any:
    """Runs a lane until it asks or ends, with its own random generators in place of the caller's."""
    outside = _generators()
    if lane.generators is not None:
        _set_generators(lane.generators)
    lane.started = time.perf_counter()
    lane.asked = None
    try:
        if isinstance(answer, Exception):
            return lane.throw(answer)
        return lane.switch(answer) if lane.generators is not None else lane.switch()
    finally:
        lane.seconds += time.perf_counter() - lane.started
        lane.generators = _generators()
        _set_generators(outside)


def _generators() -> tuple[Any, ...]:
    import torch

    return random.getstate(), np.random.get_state(), torch.get_rng_state()


def _set_generators(states: tuple[Any, ...]) -> None:
    import torch

    random.setstate(states[0])
    np.random.set_state(states[1])
    torch.default_generator.set_state(states[2])
