"""A task: labelled texts in fixed splits, and the rules every task must keep."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

from training.errors import UserError

# No encoder here reads beyond 512 pieces, and an attack's cost grows with the square of the length
MAX_CHARACTERS = 20_000
SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class Example:
    """One labelled text, or one sentence of tagged words."""

    # first 16 hex digits of sha256 over the normalised text, so equal texts share it; a repeat that is kept has its own
    id: str
    text: str  # tagging: the words joined by a space
    label: int | None  # index in Task.labels; None for tagging
    words: tuple[str, ...] = ()
    tags: tuple[int, ...] = ()  # indices in Task.labels (BIO tag names), one per word
    group: int | None = None  # index in Task.groups, where the task has groups
    rationale: tuple[int, ...] = ()  # 1 on words that justify the label; words are split at white space, or `words`


@dataclass(frozen=True)
class Task:
    """A data set with splits. `labels` are class names, or for tagging the BIO tag names."""

    name: str
    kind: Literal["classification", "tagging"]
    labels: tuple[str, ...]
    train: tuple[Example, ...]
    validation: tuple[Example, ...]
    test: tuple[Example, ...]
    out_of_domain: Mapping[str, tuple[Example, ...]]
    licence: str
    source: str
    version: int
    notes: tuple[str, ...] = field(default=(), compare=False)  # what was dropped or converted, to be shown
    groups: tuple[str, ...] = ()  # names of the groups whose worst accuracy is scored

    @property
    def splits(self) -> dict[str, tuple[Example, ...]]:
        """Every split by name, the out-of-domain ones as `ood:<domain>`."""
        own = {name: getattr(self, name) for name in SPLITS}
        return own | {f"ood:{domain}": examples for domain, examples in self.out_of_domain.items()}

    @cached_property
    def fingerprint(self) -> str:
        """sha256 (hex) over name, version, labels and every example of every split, in order."""
        known = [self.name, self.version, self.kind, list(self.labels), *([list(self.groups)] if self.groups else [])]
        digest = hashlib.sha256(_line(known))
        for split, examples in self.splits.items():
            digest.update(_line([split, len(examples)]))
            for example in examples:
                row = [example.id, example.text, example.label, example.words, example.tags]
                extra = [example.group, example.rationale] if example.group is not None or example.rationale else []
                digest.update(_line(row + extra))
        return digest.hexdigest()

    def check(self) -> Task:
        """Returns the task itself, or raises UserError naming the first rule it breaks."""
        if len(self.labels) < 2:
            raise UserError(
                f"task '{self.name}' has the labels {list(self.labels)}, a single class; at least two are needed to "
                "learn anything"
            )
        seen: dict[str, str] = {}
        for split, examples in self.splits.items():
            if not examples:
                raise UserError(f"task '{self.name}': the {split} split is empty; give it at least one example")
            for row, example in enumerate(examples, start=1):
                self._check_example(example, f"task '{self.name}', {split} row {row}")
            ids = {example.id for example in examples}
            if len(ids) < len(examples):
                raise UserError(f"task '{self.name}': the {split} split holds the same text twice; keep one of them")
            for known in sorted(ids & seen.keys()):
                raise UserError(
                    f"task '{self.name}': the text with id {known} is in {seen[known]} and in {split}; a "
                    "text may be in one split only, or the score measures memory"
                )
            seen |= dict.fromkeys(ids, split)
        self._check_variety()
        return self

    def _check_example(self, example: Example, where: str) -> None:
        if not example.text.strip():
            raise UserError(f"{where}: the text is empty; fill it in or remove the row")
        if len(example.text) > MAX_CHARACTERS:
            raise UserError(
                f"{where}: the text has {len(example.text):,} characters, at most {MAX_CHARACTERS:,} are "
                "allowed; cut it into pieces or remove the row"
            )
        if self.kind == "classification":
            indices = [-1 if example.label is None else example.label]
        else:
            indices = list(example.tags)
            if len(example.tags) != len(example.words):
                raise UserError(
                    f"{where}: {len(example.words)} words but {len(example.tags)} tags; each word needs one tag"
                )
        spoken = len(example.words) if self.kind == "tagging" else len(example.text.split())
        if example.rationale and len(example.rationale) != spoken:
            raise UserError(
                f"{where}: a rationale of {len(example.rationale)} marks for {spoken} words; each word needs one"
            )
        if example.group is not None and not 0 <= example.group < len(self.groups):
            raise UserError(f"{where}: group {example.group} is out of range; the task has {len(self.groups)} groups")
        for index in indices:
            if not 0 <= index < len(self.labels):
                raise UserError(
                    f"{where}: label {index} is out of range; the task has labels 0 to {len(self.labels) - 1}"
                )

    def _check_variety(self) -> None:
        found = {example.label for example in self.train} | {tag for example in self.train for tag in example.tags}
        found.discard(None)
        if len(found) < 2:
            only = self.labels[next(iter(found))] if found else "none"  # type: ignore[index]
            raise UserError(
                f"task '{self.name}': every training example has the label '{only}'; a model can learn "
                "nothing from a single class, so add examples of another"
            )


def normalise(text: str) -> str:
    """Casefolded, whitespace runs collapsed to one space, ends stripped: texts equal under it count as
    duplicates."""
    return " ".join(text.casefold().split())


def text_id(text: str) -> str:
    """An Example's id: 16 hex digits."""
    return hashlib.sha256(normalise(text).encode()).hexdigest()[:16]


def classified(text: str, label: int, rationale: tuple[int, ...] = ()) -> Example:
    """An Example of a classification task."""
    return Example(text_id(text), text, label, rationale=rationale)


def tagged(words: Sequence[str], tags: Sequence[int]) -> Example:
    """An Example of a tagging task."""
    text = " ".join(words)
    return Example(text_id(text), text, None, tuple(words), tuple(tags))


def split_by_text(texts: Iterable[str], fractions: Mapping[str, float], salt: str = "") -> list[str]:
    """The split name of each text: equal normalised texts always share one, whatever the order or the other
    texts.

    `fractions` add up to 1 and are met in expectation. Another `salt` gives another split.
    """
    if any(share < 0 for share in fractions.values()) or abs(sum(fractions.values()) - 1) > 1e-9:
        raise ValueError(f"fractions must be non-negative and add up to 1, got {dict(fractions)}")
    chosen = []
    for text in texts:
        digest = hashlib.sha256(f"{salt}\n{normalise(text)}".encode()).digest()
        place = int.from_bytes(digest[:8], "big") / 2**64
        bound = 0.0
        for name, share in fractions.items():  # noqa: B007  (the last name takes what rounding leaves)
            bound += share
            if place < bound:
                break
        chosen.append(name)
    return chosen


def without_duplicates(examples: Iterable[Example]) -> tuple[list[Example], int, int]:
    """First of each text, plus how many repeats and how many contradicting examples were dropped.

    A text that occurs with two different labels has no right answer: all its occurrences go. A sentence
    tagged in two ways keeps its first tagging, since most of its tags agree.
    """
    first: dict[str, Example] = {}
    contradicted: set[str] = set()
    total = 0
    for example in examples:
        total += 1
        if first.setdefault(example.id, example).label != example.label:
            contradicted.add(example.id)
    kept = [example for key, example in first.items() if key not in contradicted]
    return kept, total - len(first), len(contradicted)


def _line(value: object) -> bytes:
    return (json.dumps(value, ensure_ascii=False, separators=(",", ":")) + "\n").encode("utf-8", "surrogatepass")
