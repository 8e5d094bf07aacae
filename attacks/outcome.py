"""What goes into an attack (Sample) and what comes out (Outcome), one of each per text."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, get_args

Status = Literal["success", "failed", "skipped", "error"]


@dataclass(frozen=True)
class Sample:
    """A labelled text. `id` is stable and unique within a run; `label` is a class index, 0 <= label."""

    id: str
    text: str
    label: int


@dataclass(frozen=True)
class Outcome:
    """What one recipe did to one Sample.

    status: "success": the attack fooled the victim; "failed": the victim survived; "skipped": the victim was wrong
    before the attack; "error": no verdict, `error` says why. `perturbed`, `probabilities_after` and `words_changed` are
    set exactly when the status is "success", `error` exactly when it is "error". Probabilities are the victim's, after
    its temperature, over all classes; `probabilities_before` is empty only for an "error". `queries` counts what
    TextAttack counts (repeated texts included); `words` and `words_changed` are TextAttack's words; `seconds` is wall
    time and the only field that differs between two equal runs.
    """

    id: str
    status: Status
    text: str
    perturbed: str | None
    label: int
    probabilities_before: tuple[float, ...]
    probabilities_after: tuple[float, ...] | None
    queries: int
    words: int
    words_changed: int | None
    seconds: float
    error: str | None

    def __post_init__(self) -> None:
        if self.status not in get_args(Status):
            raise ValueError(f"status is {self.status!r}; allowed: {', '.join(get_args(Status))}")
        for name in ("id", "text"):
            _check(isinstance(getattr(self, name), str), name, self, "a string")
        for name in ("label", "queries", "words"):
            _check(_whole(getattr(self, name)), name, self, "a whole number >= 0")
        _check(_number(self.seconds) and self.seconds >= 0, "seconds", self, "a finite number >= 0")
        _check(_row(self.probabilities_before), "probabilities_before", self, "probabilities in [0, 1]")
        self._check_optional()

    def _check_optional(self) -> None:
        success, error = self.status == "success", self.status == "error"
        checks: tuple[tuple[str, bool, Any, str], ...] = (
            ("perturbed", success, lambda x: isinstance(x, str), "a string"),
            ("probabilities_after", success, _row, "probabilities in [0, 1]"),
            ("words_changed", success, _whole, "a whole number >= 0"),
            ("error", error, lambda x: isinstance(x, str), "a string"),
        )
        for name, wanted, valid, kind in checks:
            value = getattr(self, name)
            allowed = f"{kind if wanted else 'None'} when the status is {self.status!r}"
            _check(valid(value) if wanted else value is None, name, self, allowed)
        _check(error or len(self.probabilities_before) > 0, "probabilities_before", self, "not empty")

    def to_dict(self) -> dict[str, Any]:
        """A dict that `json.dumps(..., allow_nan=False)` takes; tuples become lists."""
        out = asdict(self)
        for name in ("probabilities_before", "probabilities_after"):
            out[name] = None if out[name] is None else list(out[name])
        return out

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Outcome:
        """The inverse of `to_dict`. Raises ValueError for missing or unknown keys, NaN, numbers as strings."""
        names = {field.name for field in fields(cls)}
        if set(data) != names:
            missing, unknown = sorted(names - set(data)), sorted(set(data) - names)
            raise ValueError(f"an Outcome lacks {missing} and has the unknown fields {unknown}")
        values = dict(data)
        for name in ("probabilities_before", "probabilities_after"):
            if isinstance(values[name], list):
                values[name] = tuple(values[name])
        return cls(**values)


def _check(good: bool, name: str, outcome: Outcome, allowed: str) -> None:
    if not good:
        raise ValueError(f"Outcome.{name} is {getattr(outcome, name)!r}; allowed: {allowed}")


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _row(value: Any) -> bool:
    return isinstance(value, tuple) and all(_number(x) and 0 <= x <= 1 for x in value)
