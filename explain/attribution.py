"""One explained prediction: a score per word, and how well the scores add up."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any


@dataclass(frozen=True)
class Attribution:
    """What an explainer said about one text.

    text: the text as given. words: its whitespace words that reached the model, in reading order.
    scores: one finite float per word (sub-word pieces summed), in logits; positive supports the target.
    target: class index explained. other: the rival class, frozen from the unperturbed input.
    margin: f(x) = logit[target] - logit[other]. baseline_margin: f(x'), every word masked.
    convergence_delta: sum(scores) - (f(x) - f(x')), in logits; None where the method promises no sum.
    completeness_error: |convergence_delta| / max(|f(x) - f(x')|, 1e-6), a ratio; None likewise.
    dropped: words of the text the model never saw (cut off by truncation, or empty to the tokenizer).

    Raises ValueError on values that cannot be: unequal lengths, NaN or infinity, negative indices.
    """

    text: str
    words: tuple[str, ...]
    scores: tuple[float, ...]
    target: int
    other: int
    margin: float
    baseline_margin: float
    convergence_delta: float | None
    completeness_error: float | None
    dropped: int = 0

    def __post_init__(self) -> None:
        if not self.words or len(self.words) != len(self.scores):
            raise ValueError(
                f"{len(self.words)} words with {len(self.scores)} scores: give one score per word, one word at least"
            )
        if self.target < 0 or self.other < 0 or self.target == self.other:
            raise ValueError(f"target {self.target} and other {self.other}: give two different classes, 0 or above")
        if self.dropped < 0:
            raise ValueError(f"dropped is {self.dropped}: give a count, 0 or above")
        if (self.convergence_delta is None) != (self.completeness_error is None):
            raise ValueError("convergence_delta and completeness_error: give both or neither")
        if self.completeness_error is not None and self.completeness_error < 0:
            raise ValueError(f"completeness_error is {self.completeness_error}: give a ratio, 0 or above")
        numbers = (*self.scores, self.margin, self.baseline_margin, self.convergence_delta, self.completeness_error)
        if any(number is not None and not math.isfinite(number) for number in numbers):
            raise ValueError(
                "an attribution holds NaN or infinity: the model's logits are probably not finite; "
                "check that its training did not diverge"
            )

    def to_dict(self) -> dict[str, Any]:
        """As JSON types."""
        return {**asdict(self), "words": list(self.words), "scores": list(self.scores)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Attribution:
        """The inverse of to_dict. Raises ValueError on missing or unknown fields and on bad values."""
        known = {field.name for field in fields(cls)}
        if set(values) != known:
            wrong = sorted(known ^ set(values))
            raise ValueError(f"an attribution has the fields {sorted(known)}; missing or unknown: {wrong}")
        return cls(**{**values, "words": tuple(values["words"]), "scores": tuple(values["scores"])})
