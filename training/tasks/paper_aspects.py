"""What a passage of a paper tells: a challenge, an approach or an outcome. With human rationales.

Source: "ACLSum: A New Dataset for Aspect-based Summarization of Scientific Publications", the package `aclsum` (MIT):
of 250 papers in natural-language processing, people marked the sentences of abstract, introduction and conclusion that
tell of each aspect. The task is ours: a passage is three sentences running, of which at least one is marked, and all
marked ones for one aspect, the label. The rationale are the words of the marked sentences, as ACLSum marks no words. A
sentence marked for two aspects is in no passage.

Around each marked sentence stands one passage; whether it is its first, second or third sentence follows from its text,
so that the place gives nothing away. Splits are ACLSum's, by paper.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from training.errors import UserError
from training.resources import Resources
from training.task import Example, Task, classified, without_duplicates

VERSION = 1
RESOURCES = ("aclsum",)
LABELS = ("challenge", "approach", "outcome")
SECTIONS = ("abstract", "introduction", "conclusion")
LENGTH = 3  # sentences of a passage
FILES = {"train": "train.jsonl", "validation": "val.jsonl", "test": "test.jsonl"}


def load(resources: Resources) -> Task:
    """The task; raises MissingResource when `aclsum` was not fetched, UserError when a file is not as it was pinned."""
    folder = resources.path("aclsum")
    splits: dict[str, tuple[Example, ...]] = {}
    taken: set[str] = set()
    # the held-out splits first: a passage that two papers share stays where it is scored
    for split in reversed(FILES):
        distinct, _, _ = without_duplicates(_read(folder / FILES[split]))
        splits[split] = tuple(example for example in distinct if example.id not in taken)
        taken |= {example.id for example in splits[split]}
    return Task(
        name="paper_aspects",
        kind="classification",
        labels=LABELS,
        train=splits["train"],
        validation=splits["validation"],
        test=splits["test"],
        out_of_domain={},
        licence="MIT (aclsum); the papers are the ACL Anthology's",
        source="aclsum 0.1.2, dataset",
        version=VERSION,
    ).check()


def _read(path: Path) -> Iterator[Example]:
    for number, line in enumerate(path.read_text(encoding="utf-8").split("\n"), start=1):
        if not line:
            continue
        paper = json.loads(line)
        for section in SECTIONS:
            sentences = paper["sentences"][section]
            marked = {aspect: paper["highlights"][aspect][section] for aspect in LABELS}
            if any(len(marks) != len(sentences) for marks in marked.values()):
                raise UserError(f"{path.name} line {number}: {section}: not a mark for each sentence")
            yield from passages(sentences, marked)


def passages(sentences: Sequence[str], marked: Mapping[str, Sequence[Any]]) -> Iterator[Example]:
    """The passages of a section, in order. `marked`: aspect -> 1 for each sentence that tells of it, else 0."""
    aspects = [{aspect for aspect in LABELS if marked[aspect][place]} for place in range(len(sentences))]
    for place, found in enumerate(aspects):
        if len(found) != 1 or len(sentences) < LENGTH:
            continue
        first = min(max(place - _offset(sentences[place]), 0), len(sentences) - LENGTH)
        inside = range(first, first + LENGTH)
        if set().union(*(aspects[one] for one in inside)) != found:
            continue
        marks = tuple(int(bool(aspects[one])) for one in inside for _ in sentences[one].split())
        yield classified(" ".join(sentences[one] for one in inside), LABELS.index(next(iter(found))), marks)


def _offset(sentence: str) -> int:
    """Which sentence of its passage a marked one is, 0 to 2: by its text, the same on every machine."""
    return hashlib.sha256(sentence.encode()).digest()[0] % LENGTH
