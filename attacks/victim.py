"""A fine-tuned model as the attacker sees it: texts in, probabilities out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from attacks import lanes
from attacks.memory import Memory

if TYPE_CHECKING:
    from attacks.white_box import WhiteBox

REMEMBERED = 200_000  # texts, of some 150 characters: about 100 MB when full


@dataclass
class Counts:
    """`requested`: texts asked for; `forwarded`: texts that went through the model."""

    requested: int = 0
    forwarded: int = 0


class BadPredictionError(ValueError):
    """The model's answer is no finite (n, classes) array; it concerns the texts of this call only."""


@dataclass
class Victim:
    """Any `predict(texts) -> logits (n, classes)` in the shape of TextAttack's ModelWrapper.

    `temperature` (> 0) divides the logits before a float32 softmax. TextAttack applies a softmax of its own to rows
    that do not sum to 1 within 1e-6, so what it gets here are probabilities.

    Logits are remembered by text, and lanes (attacks/lanes.py) ask together: so a row of `predict` must not depend on
    the other texts of its call, not even in the last bit, or a resumed run could differ from an undisturbed one;
    attacks/batching.py says how. `with_temperature` gives a victim that shares the memory, which makes attacking at a
    second temperature nearly free where both attacks take the same path.

    `white_box`: the module behind `predict`, for recipes that follow gradients; None: predictions are all there is.
    """

    predict: Callable[[Sequence[str]], np.ndarray]
    temperature: float = 1.0
    counts: Counts = field(default_factory=Counts)
    _memory: Memory[str, np.ndarray] = field(default_factory=lambda: Memory(REMEMBERED), repr=False)
    white_box: WhiteBox | None = None

    def __post_init__(self) -> None:
        if not (np.isfinite(self.temperature) and self.temperature > 0):
            raise ValueError(f"temperature is {self.temperature}; allowed: a finite number > 0")

    @property
    def model(self) -> Victim:
        """TextAttack looks at the class of a wrapper's `model`, nothing else."""
        return self

    def with_temperature(self, temperature: float) -> Victim:
        """The same model and the same memory of its logits, at another temperature."""
        return Victim(self.predict, temperature, self.counts, self._memory, self.white_box)

    def logits(self, texts: Sequence[str]) -> np.ndarray:
        """(n, classes) float32 logits. Raises BadPredictionError when the model's answer is not usable."""
        self.counts.requested += len(texts)
        return np.stack(list(lanes.ask(self._serve, texts))) if texts else np.empty((0, 2), dtype=np.float32)

    def _serve(self, texts: Sequence[str]) -> list[np.ndarray]:
        return self._memory.answers(texts, lambda new: list(self._forward(new)))

    def probabilities(self, texts: Sequence[str]) -> np.ndarray:
        """(n, classes) float32, rows sum to 1."""
        scaled = (self.logits(texts).astype(np.float64) / self.temperature).astype(np.float32)
        powers = np.exp(scaled - scaled.max(axis=1, keepdims=True))
        return powers / powers.sum(axis=1, keepdims=True)

    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        return self.probabilities(texts)

    def _forward(self, texts: Sequence[str]) -> np.ndarray:
        self.counts.forwarded += len(texts)
        logits = np.array(self.predict(list(texts)), dtype=np.float32)
        if logits.ndim != 2 or len(logits) != len(texts) or logits.shape[1] < 2:
            raise BadPredictionError(
                f"the victim answered with shape {logits.shape} for {len(texts)} texts; "
                "allowed: (number of texts, at least 2 classes)"
            )
        if not np.isfinite(logits).all():
            bad = texts[int(np.argmin(np.isfinite(logits).all(axis=1)))]
            raise BadPredictionError(f"the victim's logits are not finite for the text {bad[:80]!r}")
        return logits
