"""Step times and memory of a mitigation beside the baseline's, measured in one run."""

from __future__ import annotations

import ctypes
import gc
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import psutil
import torch

from training.hooks import Context
from training.loop import Session
from training.model import Classifier
from training.stack import Stack

VERSION = 1
WARM_UP = 3


def measure(
    build: Callable[[], Classifier], stack: Stack, context: Context, rounds: int, baseline: Stack | None = None
) -> pd.DataFrame:
    """Alternates one baseline step and one step of `stack`, `rounds` times after 3 warm-up steps of each. Both arms
    see the same batches, unless the mitigation changes the data.

    Returns one row per round and arm: round, arm ("baseline" | "this"), seconds, samples, tokens (real ones, no
    padding), peak_memory_bytes (of the process while only that arm's session existed; None where the system does not
    tell). The device is synchronised inside the timed region.
    """
    if rounds < 1:
        raise ValueError(f"rounds is {rounds}; at least one is needed")
    arms = {"baseline": baseline or Stack([]), "this": stack}
    peaks = {arm: _peak_memory(build, chosen, context) for arm, chosen in arms.items()}
    sessions = {arm: _session(build, chosen, context) for arm, chosen in arms.items()}
    streams = {arm: session.batches() for arm, session in sessions.items()}
    rows = []
    for index in range(-WARM_UP, rounds):
        for arm, session in sessions.items():
            batch = next(streams[arm])
            _synchronise()
            started = time.perf_counter()
            session.step(batch)
            _synchronise()
            seconds = time.perf_counter() - started
            if index >= 0:
                tokens = int(batch.attention_mask.sum())
                rows.append((index, arm, seconds, len(batch.labels), tokens, peaks[arm]))
    return pd.DataFrame(rows, columns=["round", "arm", "seconds", "samples", "tokens", "peak_memory_bytes"])


def _session(build: Callable[[], Classifier], stack: Stack, context: Context) -> Session:
    session = Session(build(), stack, context)
    # the copy of the weights that telemetry makes now and then is no cost of the arm
    session.telemetry.sampling = False
    return session


def _synchronise() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def _peak_memory(build: Callable[[], Classifier], stack: Stack, context: Context) -> int | None:
    """Peak bytes of three steps in a session of its own, above what the process held before; None if unknown."""
    _release()
    before = torch.cuda.memory_allocated() if torch.cuda.is_available() else psutil.Process().memory_info().rss
    if not _reset_peak():
        return None
    session = _session(build, stack, context)
    batches = session.batches()
    for _ in range(WARM_UP):
        session.step(next(batches))
    peak = _read_peak()
    return None if peak is None else max(0, peak - before)


def _release() -> None:
    """Gives freed memory back, so that one arm does not live in the pages of another."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    elif sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)


def _reset_peak() -> bool:
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
        return True
    try:
        # proc(5): writing 5 resets the peak resident set size
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return False
    return True


def _read_peak() -> int | None:
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return None
