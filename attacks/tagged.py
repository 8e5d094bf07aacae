"""What goes into an attack on a tagger (TaggedSample) and what comes out (TaggedOutcome), one of each per sentence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, get_args

from attacks.entities import span_counts
from attacks.outcome import Status

WORDS = ("words", "gold", "predicted", "perturbed", "perturbed_gold", "perturbed_predicted")


@dataclass(frozen=True)
class TaggedSample:
    """A sentence of words with a BIO tag each. `id` is stable and unique within a run."""

    id: str
    words: tuple[str, ...]
    tags: tuple[str, ...]

    def __post_init__(self) -> None:
        if len(self.words) != len(self.tags):
            raise ValueError(f"sample {self.id!r} has {len(self.words)} words but {len(self.tags)} tags")


@dataclass(frozen=True)
class TaggedOutcome:
    """What one recipe did to one TaggedSample.

    status: "success": the goal was reached; "failed": the victim survived; "skipped": the victim's entities were not
    exactly the gold ones before the attack; "error": no verdict, `error` says why. `predicted` is what the victim said
    of `words`, None only for an error. `perturbed`, the gold tags re-aligned to it, what the victim says of it and
    `words_changed` (edit distance in words) are set exactly when the status is "success", so that every success can be
    scored again on any tagger. `queries` counts what TextAttack counts (repeated sentences
    included); `seconds` is wall time and the only field that differs between two equal runs.
    """

    id: str
    status: Status
    words: tuple[str, ...]
    gold: tuple[str, ...]
    predicted: tuple[str, ...] | None
    perturbed: tuple[str, ...] | None
    perturbed_gold: tuple[str, ...] | None
    perturbed_predicted: tuple[str, ...] | None
    queries: int
    words_changed: int | None
    seconds: float
    error: str | None

    def __post_init__(self) -> None:
        if self.status not in get_args(Status):
            raise ValueError(f"status is {self.status!r}; allowed: {', '.join(get_args(Status))}")
        success, error = self.status == "success", self.status == "error"
        wanted = {"predicted": not error, "words_changed": success, "error": error}
        wanted |= dict.fromkeys(("perturbed", "perturbed_gold", "perturbed_predicted"), success)
        for name, due in wanted.items():
            if (getattr(self, name) is not None) != due:
                raise ValueError(f"TaggedOutcome.{name} must be {'set' if due else 'None'} when it is {self.status!r}")
        for own in (self._lengths(WORDS[:3]), self._lengths(WORDS[3:])):
            if len(own) > 1:
                raise ValueError(f"sample {self.id!r}: words and tags differ in number: {sorted(own)}")
        for name in WORDS:
            row = getattr(self, name)
            if row is not None and not (isinstance(row, tuple) and all(isinstance(x, str) for x in row)):
                raise ValueError(f"TaggedOutcome.{name} is {row!r}; allowed: a tuple of strings")
        for name in ("queries", "words_changed"):
            value = getattr(self, name)
            if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 0):
                raise ValueError(f"TaggedOutcome.{name} is {value!r}; allowed: a whole number >= 0")
        if not 0 <= self.seconds < float("inf"):
            raise ValueError(f"TaggedOutcome.seconds is {self.seconds!r}; allowed: a finite number >= 0")

    def _lengths(self, names: tuple[str, ...]) -> set[int]:
        return {len(getattr(self, name)) for name in names if getattr(self, name) is not None}

    @property
    def counts(self) -> tuple[int, int, int] | None:
        """(true positives, false positives, false negatives) under attack; None for an error.

        Of the perturbed sentence after a success, else of the sentence as it was: a victim that survived, or was wrong
        without any attack, is counted with what it said there.
        """
        if self.status == "success":
            return span_counts(self.perturbed_gold or (), self.perturbed_predicted or ())
        return None if self.predicted is None else span_counts(self.gold, self.predicted)

    def to_dict(self) -> dict[str, Any]:
        """A dict that `json.dumps(..., allow_nan=False)` takes; tuples become lists."""
        row = {field.name: getattr(self, field.name) for field in fields(self)}
        return row | {name: list(row[name]) for name in WORDS if row[name] is not None}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> TaggedOutcome:
        """The inverse of `to_dict`. Raises ValueError for missing or unknown keys and values that are not allowed."""
        names = {field.name for field in fields(cls)}
        if set(data) != names:
            missing, unknown = sorted(names - set(data)), sorted(set(data) - names)
            raise ValueError(f"a TaggedOutcome lacks {missing} and has the unknown fields {unknown}")
        rows = {name: tuple(data[name]) for name in WORDS if isinstance(data[name], list)}
        return cls(**{**data, **rows})
