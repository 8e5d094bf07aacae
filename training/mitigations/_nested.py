"""A training inside a training, with random choices of its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def own_randomness() -> Iterator[None]:
    """What is drawn in here leaves torch's global generators as they were: the dropout of the training around it is
    what it would be without the one inside."""
    with torch.random.fork_rng([torch.cuda.current_device()] if torch.cuda.is_available() else []):
        yield
